"""What a wing tells of its orders: who is cordoned, which pods have gone, what blocks, what a check saw."""

from dataclasses import replace
from typing import assert_never

from broker.ids import MessageId
from broker.messages import (
    Checked,
    CordonChanged,
    Drain,
    DrainBlocked,
    DrainFinished,
    DrainStarted,
    Fact,
    OrderFact,
    PodEvicted,
    Uncordon,
)
from orchestrator.domain.instance import Turn
from orchestrator.domain.model import Cordon, Order, Work
from orchestrator.domain.views import RunState


def heard(turn: Turn, fact: Fact, body: OrderFact) -> None:
    """Take in what was told in the course of an order."""
    order = turn.instance.orders.get(body.order)
    if isinstance(body, CordonChanged):
        _cordoned(turn, fact, body, order)
    elif order is not None:
        turn.put_order(_told(order, body))


def ended(turn: Turn, fact: Fact, command: MessageId, state: RunState) -> None:
    """Give an order its end, which is its wing's answer to `command`."""
    order = next((each for each in turn.instance.orders.values() if each.command == command), None)
    if order is not None:
        reason = getattr(fact.body, "reason", "")
        ended = replace(order, state=state, accepted=True, reason=reason, finished_at=fact.at)
        cut_off(turn, ended)
        _lifted(turn, ended, fact)
        turn.put_order(ended)


def cut_off(turn: Turn, work: Work) -> None:
    """Take the cordon of a drain that was cut off as set: whether it was, its wing may tell late or never.

    So it is shown, and what lifts it; an uncordon finds out.
    """
    if not isinstance(work, Order) or not isinstance(work.body, Drain):
        return
    if work.state is RunState.INTERRUPTED and turn.instance.cordon is None:
        since = work.started_at or work.finished_at or turn.at  # whatever it tells late counts
        turn.become(cordon=Cordon(owner=work.owner, since=since), lifted=None)


def _lifted(turn: Turn, order: Order, fact: Fact) -> None:
    """Take an uncordon that succeeded at its word: the fact of the change may be lost with a journal."""
    known = turn.instance.cordon
    is_done = isinstance(order.body, Uncordon) and order.state is RunState.SUCCEEDED
    if is_done and known is not None and known.owner == order.owner and known.since <= fact.at:
        turn.become(cordon=None, lifted=known.owner)


def _cordoned(turn: Turn, fact: Fact, body: CordonChanged, order: Order | None) -> None:
    known = turn.instance.cordon
    if known is not None and fact.at < known.since:
        return  # it was told before the cordon that is known, by a boot whose facts come late
    if not body.cordoned:
        lifted = order.owner if order is not None else None if known is None else known.owner
        turn.become(cordon=None, lifted=lifted or turn.instance.lifted)
    elif body.owned and order is not None:
        turn.become(cordon=Cordon(owner=order.owner, since=fact.at), lifted=None)


def _told(order: Order, body: DrainStarted | PodEvicted | DrainBlocked | DrainFinished | Checked) -> Order:
    match body:
        case DrainStarted():
            # What held up its beginning is over.
            return replace(order, total=body.total, blocked=(), reason="")
        case PodEvicted():
            held = tuple(line for line in order.blocked if not line.startswith(f"{body.pod} "))
            return replace(order, evicted=order.evicted + 1, blocked=held, reason="; ".join(held))
        case DrainBlocked():
            others = tuple(line for line in order.blocked if not line.startswith(f"{body.pod} "))
            held = (*others, _blocked(body))
            return replace(order, blocked=held, reason="; ".join(held))
        case DrainFinished():
            return replace(order, evicted=body.evicted, left=body.left, blocked=(), reason="")
        case Checked():
            others = tuple(line for line in order.blocked if not line.startswith(f"{body.check}: "))
            held = others if body.passed else (*others, f"{body.check}: {body.saw}")
            return replace(order, blocked=held, reason="; ".join(held))
        case _:
            assert_never(body)


def _blocked(body: DrainBlocked) -> str:
    if body.budget is None:
        return f"{body.pod} not evicted: {body.reason}"
    if body.healthy is None or body.needed is None:
        return f"{body.pod} not evicted: budget {body.budget}: {body.reason}"
    return f"{body.pod} not evicted: budget {body.budget} has {body.healthy} healthy, needs {body.needed}"
