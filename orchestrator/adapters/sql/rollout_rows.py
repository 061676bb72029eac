"""Rollouts, their steps, orders and slots as rows and back; the rest of the records is in `rows.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping

from broker.ids import InstanceId, MessageId, OrderId, Role, RolloutId
from broker.messages import COMMAND_KINDS, Drain, Health, OrderBody, Uncordon
from orchestrator.adapters.sql.rows import text, value
from orchestrator.domain.model import Order
from orchestrator.domain.rollout.model import Rollout, Slot, Step, number_of
from orchestrator.domain.views import RunState

_KINDS: Final = {body: kind for kind, body in COMMAND_KINDS.items()}
_BODIES: Final[Mapping[str, type[OrderBody]]] = {_KINDS[body]: body for body in (Drain, Uncordon, Health)}


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An order without its body, which has columns of its own."""

    id: OrderId
    instance: InstanceId
    role: Role
    owner: str
    requested_by: str
    created_at: datetime
    not_after: datetime
    caused_by: MessageId | None = None
    state: RunState = RunState.QUEUED
    released: bool = True
    command: MessageId | None = None
    accepted: bool = False
    reason: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    total: int | None = None
    evicted: int = 0
    blocked: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def rollout_row(rollout: Rollout) -> dict[str, Any]:
    """Return a rollout as its row, without its steps."""
    return {
        "id": rollout.id,
        "number": number_of(rollout.id),
        "state": rollout.state.value,
        "finished_at": None if rollout.finished_at is None else rollout.finished_at.isoformat(),
        "record": text(replace(rollout, steps={})),
    }


def rollout_of(row: RowMapping, steps: Mapping[InstanceId, Step] | None = None) -> Rollout:
    """Return the rollout that a row holds, with these steps."""
    return replace(value(row["record"], Rollout), steps=steps or {})


def step_row(rollout: RolloutId, step: Step) -> dict[str, Any]:
    """Return an instance's way in a rollout as its row."""
    return {"rollout": rollout, "instance": step.instance, "record": text(step)}


def steps_of(found: Sequence[RowMapping]) -> dict[RolloutId, dict[InstanceId, Step]]:
    """Return the steps that rows hold, by their rollout."""
    decoder = msgspec.json.Decoder(Step)
    steps: dict[RolloutId, dict[InstanceId, Step]] = {}
    for row in found:
        step = decoder.decode(row["record"])
        steps.setdefault(row["rollout"], {})[step.instance] = step
    return steps


def order_row(order: Order) -> dict[str, Any]:
    """Return an order as its row; `drain` is the number of the bare drain that owns it, 0 if none does."""
    names = OrderRecord.__struct_fields__
    return {
        "id": order.id,
        "instance": order.instance,
        "owner": order.owner,
        "drain": number_of(order.owner, "d-"),
        "state": order.state.value,
        "kind": _KINDS[type(order.body)],
        "created_at": order.created_at.isoformat(),
        "body": text(order.body),
        "record": text(OrderRecord(**{name: getattr(order, name) for name in names})),
    }


def order_of(row: RowMapping) -> Order:
    """Return the order that a row holds."""
    record = value(row["record"], OrderRecord)
    return Order(
        body=value(row["body"], _BODIES[row["kind"]]),
        **{name: getattr(record, name) for name in OrderRecord.__struct_fields__},
    )


def slot_row(slot: Slot) -> dict[str, Any]:
    """Return a place among the disrupted as its row."""
    return {
        "instance": slot.instance,
        "role": slot.role,
        "owner": slot.owner,
        "since": slot.since.isoformat(),
    }


def slot_of(row: RowMapping) -> Slot:
    """Return the place among the disrupted that a row holds."""
    return Slot(
        instance=row["instance"],
        role=row["role"],
        owner=row["owner"],
        since=datetime.fromisoformat(row["since"]),
    )
