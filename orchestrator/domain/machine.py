"""The orchestrator's decisions about one instance, in one place: `(instance, event) → (instance, effects)`.

This module only says who answers which event, and when an instance wants to be woken.
"""

from datetime import datetime
from typing import assert_never

from orchestrator.domain import answers, births, delivery, nodes, rejoining
from orchestrator.domain.effects import Effect
from orchestrator.domain.events import (
    BrokerFound,
    BrokerLost,
    CancelRequested,
    DesiredSet,
    FactHeard,
    InstanceEvent,
    InstanceRevoked,
    MachineReplaced,
    NodeHeard,
    NodeUnwatched,
    OrderRequested,
    PongHeard,
    PresenceHeard,
    RunHeld,
    RunReleased,
    RunRequested,
    Woke,
)
from orchestrator.domain.instance import Instance, Surroundings, Turn
from orchestrator.domain.views import RunState


def handle(
    instance: Instance, event: InstanceEvent, around: Surroundings
) -> tuple[Instance, tuple[Effect, ...]]:
    """Return the instance after `event`, and what has to be done because of it."""
    turn = Turn(instance=instance, at=event.at, around=around)
    _dispatch(turn, event)
    return turn.instance, tuple(turn.effects)


def next_wake(instance: Instance) -> datetime | None:
    """Return when the instance wants a `Woke`, None if nothing is due by itself."""
    due = answers.deadlines(instance)
    command = delivery.deadline(instance)
    if command is not None:
        due.append(command)
    presence = instance.presence_changes_at()
    if presence is not None:
        due.append(presence)
    node = nodes.forgotten_at(instance)
    if node is not None:
        due.append(node)
    return min(due, default=None)


def _dispatch(turn: Turn, event: InstanceEvent) -> None:  # noqa: C901, PLR0912 - it only dispatches
    match event:
        case PresenceHeard():
            births.heard(turn, event)
        case FactHeard():
            answers.arrived(turn, event.arrived)
            delivery.deliver(turn)
        case PongHeard():
            births.ponged(turn, event)
        case RunRequested():
            delivery.request(turn, event.run)
        case RunReleased():
            delivery.release(turn, event.run)
        case RunHeld():
            delivery.hold(turn, event.run, event.reason)
        case OrderRequested():
            delivery.order(turn, event.order)
        case CancelRequested():
            delivery.cancel(turn, event.work, by=event.by)
        case DesiredSet():
            turn.become(desired=event.digest)
            turn.emit("desired_set", digest=event.digest, by=event.by)
        case Woke():
            _woke(turn)
        case NodeHeard():
            nodes.heard(turn, event.node)
        case NodeUnwatched():
            nodes.unwatched(turn)
        case BrokerLost():
            births.disconnected(turn)
        case BrokerFound():
            delivery.reconnected(turn)
        case InstanceRevoked():
            _revoked(turn)
        case MachineReplaced():
            rejoining.replaced(turn, event.enrolment)
        case _:
            assert_never(event)


def _woke(turn: Turn) -> None:
    nodes.look(turn)
    births.look(turn)
    answers.acknowledge(turn)
    answers.ask(turn)
    delivery.deliver(turn)


def _revoked(turn: Turn) -> None:
    for work in turn.instance.work():
        delivery.end(turn, work, RunState.FAILED, "the instance was taken off the roster")
    for command in list(turn.instance.deliveries):
        turn.drop_delivery(command)
    turn.become(asked=None, ask_at=None, to_ack=frozenset())
    turn.emit("instance_revoked")
