"""Records as rows and back: the only place that knows how each is written down."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import RowMapping

from broker.ids import Boot, Digest, InstanceId, MessageId, Role
from broker.messages import COMMAND_KINDS, Host, Observed, RunChunk
from orchestrator.domain.instance import Instance, Shown
from orchestrator.domain.joining import JoinToken
from orchestrator.domain.model import Cordon, Delivery, Enrolment, Event, Papers, Run, Ticket
from orchestrator.domain.stream import Arrived, Stream
from orchestrator.domain.views import PresenceState
from orchestrator.records import Numbered

T = TypeVar("T")
_KINDS = {body: kind for kind, body in COMMAND_KINDS.items()}


class InstanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What of an instance outlives the process; what is under way has rows of its own."""

    enrolment: Enrolment
    desired: Digest | None
    observed: Observed | None
    ever_ran: bool
    shown: Shown
    version: str | None
    host: Host | None
    trouble: str
    cordon: Cordon | None = None
    tried: Digest | None = None


class DeliveryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A command without its body, which has columns of its own."""

    boot: Boot
    caused_by: MessageId | None
    created_at: datetime
    not_after: datetime
    sends: int
    next_at: datetime | None


def text(value: object) -> str:
    """Return a record as JSON."""
    return msgspec.json.encode(value).decode()


def value(raw: str, into: type[T]) -> T:
    """Return the record that `raw` holds."""
    return msgspec.json.decode(raw, type=into)


def instance_row(instance: Instance, *, revoked: bool) -> dict[str, Any]:
    """Return an instance as its row."""
    names = InstanceRecord.__struct_fields__
    record = InstanceRecord(**{name: getattr(instance, name) for name in names})
    return {"id": instance.enrolment.id, "revoked": int(revoked), "record": text(record)}


def instance_of(row: RowMapping) -> Instance:
    """Return the instance that a row holds, heard of no more than before."""
    record = value(row["record"], InstanceRecord)
    kept = {name: getattr(record, name) for name in InstanceRecord.__struct_fields__}
    return Instance(**{**kept, "shown": replace(record.shown, state=PresenceState.UNKNOWN)})


def ticket_row(ticket: Ticket) -> dict[str, Any]:
    """Return a request as its row."""
    return {
        "id": ticket.id,
        "created_at": ticket.created_at.isoformat(),
        "digest": ticket.digest,
        "noop": int(ticket.noop),
        "record": text(ticket),
    }


def run_row(run: Run) -> dict[str, Any]:
    """Return a run as its row."""
    return {
        "id": run.id,
        "instance": run.instance,
        "ticket": run.ticket,
        "state": run.state.value,
        "papers_due": int(run.papers_due),
        "created_at": run.created_at.isoformat(),
        "record": text(run),
    }


def token_row(token: JoinToken) -> dict[str, Any]:
    """Return a token as its row."""
    return {"id": token.id, "expires_at": token.expires_at.isoformat(), "record": text(token)}


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """Return a command as its row."""
    names = DeliveryRecord.__struct_fields__
    return {
        "id": delivery.id,
        "instance": delivery.instance,
        "kind": _KINDS[type(delivery.body)],
        "body": text(delivery.body),
        "record": text(DeliveryRecord(**{name: getattr(delivery, name) for name in names})),
    }


def delivery_of(row: RowMapping) -> Delivery:
    """Return the command that a row holds."""
    record = value(row["record"], DeliveryRecord)
    names = DeliveryRecord.__struct_fields__
    return Delivery(
        id=row["id"],
        instance=row["instance"],
        body=msgspec.json.decode(row["body"], type=COMMAND_KINDS[row["kind"]]),
        **{name: getattr(record, name) for name in names},
    )


def stream_row(instance: InstanceId, stream: Stream) -> dict[str, Any]:
    """Return a stream as its row."""
    return {
        "instance": instance,
        "boot": stream.boot,
        "handled": stream.handled,
        "announced": stream.announced,
        "head": stream.head,
        "gone": text(stream.gone),
    }


def stream_of(row: RowMapping) -> tuple[InstanceId, Stream]:
    """Return the stream that a row holds, without its held facts."""
    gone = value(row["gone"], tuple[tuple[int, int], ...])
    stream = Stream(
        boot=row["boot"], handled=row["handled"], announced=row["announced"], head=row["head"], gone=gone
    )
    return row["instance"], stream


def held_row(instance: InstanceId, arrived: Arrived) -> dict[str, Any]:
    """Return a fact behind a gap as its row."""
    fact = arrived.fact
    return {"instance": instance, "boot": fact.boot, "seq": fact.seq, "payload": arrived.payload}


def chunk_row(chunk: RunChunk) -> dict[str, Any]:
    """Return a part of an attachment as its row."""
    return {"run": chunk.run, "name": chunk.name, "index": chunk.index, "content": chunk.content}


def papers_row(papers: Papers) -> dict[str, Any]:
    """Return what a run's attachments held as its row; PostgreSQL takes no NUL in a text."""
    return {
        "run": papers.run,
        "log": papers.log,
        "left_out": papers.left_out,
        "reason": papers.reason.replace("\0", "\ufffd"),
    }


def event_row(numbered: Numbered) -> dict[str, Any]:
    """Return an event as its row."""
    event = numbered.event
    return {
        "cursor": numbered.cursor,
        "id": event.id,
        "kind": event.kind,
        "at": event.at.isoformat(),
        "instance": event.instance,
        "role": event.role,
        "boot": event.boot,
        "seq": event.seq,
        "caused_by": event.caused_by,
        "body": text(event.body),
    }


def event_of(row: RowMapping) -> Numbered:
    """Return the event that a row holds."""
    body: Mapping[str, Any] = msgspec.json.decode(row["body"])
    event = Event(
        id=MessageId(row["id"]),
        kind=row["kind"],
        at=datetime.fromisoformat(row["at"]),
        instance=None if row["instance"] is None else InstanceId(row["instance"]),
        role=None if row["role"] is None else Role(row["role"]),
        boot=None if row["boot"] is None else Boot(row["boot"]),
        seq=row["seq"],
        caused_by=row["caused_by"],
        body=body,
    )
    return Numbered(cursor=row["cursor"], event=event)
