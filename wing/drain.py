"""A Node is emptied: `drain, effects = drain.handle(event)`, and nothing else decides anything of it.

Pure. It begins with a cordon in its owner's name, judges what stands on the Node then (`selection`), asks for
the end of what may go, and believes a pod to be gone only when the Node's own list lacks its uid: a pod that
has vanished is forbidden to its node, not absent, and one of its name may already live elsewhere. Before
anyone is asked a second time that list is read again. At the end of its time the policy decides.

Nothing of this outlives its process: a drain that begins again in the same owner's name finds its cordon and
goes on from what is left.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final, assert_never

from broker.messages import Drainer, DrainStarted
from wing.cluster import Node
from wing.drain_endings import finished, given_up, lifted, refused, withdrawn
from wing.drain_events import (
    Answered,
    Begun,
    CordonFailed,
    CordonLifted,
    CordonSet,
    DrainEffect,
    DrainEvent,
    LiftFailed,
    Looked,
    LookFailed,
    SetCordon,
    WakeAt,
    Withdrawn,
    Woken,
)
from wing.drain_state import Charge, DrainState, Outage, Pace, Stage, Turn
from wing.evicting import answered, asked, compared
from wing.selection import select
from wing.targets import Block, Target, Waiting

_AT_WORK: Final = frozenset({Stage.CORDONING, Stage.EVICTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDrain:
    """A drain that can be told what happened; a value, so the one before stays as it was."""

    state: DrainState

    @classmethod
    def of(cls, charge: Charge, pace: Pace) -> "NodeDrain":
        """Return the drain that `charge` asks for; its first event is `Begun`."""
        return cls(state=DrainState(charge=charge, pace=pace))

    @property
    def over(self) -> bool:
        """Whether it wants nothing more."""
        return self.state.stage is Stage.OVER

    def handle(self, event: DrainEvent) -> tuple["NodeDrain", tuple[DrainEffect, ...]]:
        """Return the drain after `event`, and what that asks for, in order."""
        if self.over:
            return self, ()
        turn = _timed(_handled(Turn(state=self.state, at=event.at), event))
        return replace(self, state=turn.state), turn.effects


def _handled(turn: Turn, event: DrainEvent) -> Turn:  # noqa: PLR0911 - it only dispatches
    if turn.state.stage is Stage.LIFTING and not isinstance(event, CordonLifted | LiftFailed | Withdrawn):
        return turn
    match event:
        case Begun():
            return _begun(turn)
        case Looked() | LookFailed():
            return _looked(turn.become(looking=False), event)
        case CordonSet() | CordonFailed():
            return _cordoned(turn, event)
        case Answered():
            return _ended(asked(answered(turn, event), looked=False))
        case CordonLifted() | LiftFailed():
            return lifted(turn, event)
        case Withdrawn():
            return withdrawn(turn)
        case Woken():
            is_time = turn.state.next_look is not None and turn.at >= turn.state.next_look
            return turn.look() if is_time else turn
        case _:
            assert_never(event)


def _begun(turn: Turn) -> Turn:
    deadline = turn.later(turn.state.charge.order.policy.timeout_s)
    return turn.become(began_at=turn.at, deadline=deadline).then(WakeAt(at=deadline)).look()


def _timed(turn: Turn) -> Turn:
    state = turn.state
    if state.stage not in _AT_WORK or state.deadline is None:
        return turn
    if turn.at < state.deadline:
        return turn
    return given_up(turn, f"not done within {state.charge.order.policy.timeout_s} s")


def _ended(turn: Turn) -> Turn:
    """Return the turn with the drain at its end, if nothing is left that may still go."""
    if turn.state.stage is not Stage.EVICTING or turn.state.open:
        return turn
    return given_up(turn, "not every pod can go") if turn.state.targets else finished(turn)


# Looking ----------------------------------------------------------------------------------------------


def _looked(turn: Turn, event: Looked | LookFailed) -> Turn:
    if isinstance(event, LookFailed):
        turn = _stopped(turn, "look", event.reason, forbidden=event.forbidden)
        return turn.look_in(turn.state.pace.retry_s) if turn.state.stage in _AT_WORK else turn
    turn = _guarded(_recovered(turn, "look"), event.node).look_in(turn.state.pace.look_s)
    if turn.state.stage is Stage.EVICTING:
        return _ended(asked(compared(turn, event.pods), looked=True))
    return _selected(turn, event) if turn.state.settled else turn


def _guarded(turn: Turn, node: Node) -> Turn:
    """Return the turn with the cordon seen to: as it should be, or being set."""
    state = turn.state
    if state.setting is not None:
        return turn
    why = _wanted(state, node)
    if why is not None:
        return turn.become(setting=why, tried=True).then(SetCordon(node=node))
    if state.settled:
        return turn
    owned = node.owner == state.charge.order.owner
    other = node.owner or "somebody else"
    reason = "it was cordoned in this name before" if owned else f"{other} had cordoned it"
    return turn.become(settled=True, owned=owned).cordon(cordoned=True, owned=owned, reason=reason)


def _wanted(state: DrainState, node: Node) -> str | None:
    """Return why the Node has to be cordoned, None if it is as it should be."""
    if not node.cordoned:
        return "somebody had uncordoned it during the drain" if state.settled else ""
    left_by = state.charge.order.takes_over
    if not state.settled and left_by is not None and node.owner == left_by:
        return f"taken over from {left_by}"
    return None


def _cordoned(turn: Turn, event: CordonSet | CordonFailed) -> Turn:
    reason = turn.state.setting or ""
    turn = turn.become(setting=None)
    if isinstance(event, CordonSet):
        turn = _recovered(turn, "cordon").become(settled=True, owned=True)
        return turn.cordon(cordoned=True, owned=True, reason=reason).look()
    return turn.look() if event.changed else _stopped(turn, "cordon", event.reason, forbidden=event.forbidden)


def _selected(turn: Turn, event: Looked) -> Turn:
    """Return the turn with it decided what goes: all that may, or nothing if anything refuses."""
    charge = turn.state.charge
    selection = select(event.pods, charge.order.policy, turn.at)
    if selection.refused:
        return refused(turn, selection.refused)
    targets = {pod.uid: Target(pod=pod, way=Waiting(until=turn.at)) for pod in selection.evicted}
    turn = turn.become(stage=Stage.EVICTING, targets=MappingProxyType(targets)).told(
        DrainStarted(
            command=charge.command,
            order=charge.order.order,
            drainer=Drainer.KUBERNETES,
            node=charge.node,
            total=len(targets),
            pods=tuple(pod.full_name for pod in selection.evicted),
        )
    )
    return _ended(asked(compared(turn, event.pods), looked=True))


# What can't be done now -------------------------------------------------------------------------------


def _stopped(turn: Turn, what: str, reason: str, *, forbidden: bool) -> Turn:
    """Return the turn with it known, and told if it is news, that the API server does not let it go on."""
    known = turn.state.outages.get(what)
    no_since = (known.no_since if known and known.no_since else turn.at) if forbidden else None
    outage = Outage(since=known.since if known else turn.at, reason=reason, no_since=no_since)
    turn = turn.become(outages=MappingProxyType({**turn.state.outages, what: outage}))
    if no_since is not None and turn.at - no_since >= timedelta(seconds=turn.state.pace.patience_s):
        return given_up(turn, f"the API server says no: {reason}")
    if known is not None and known.reason == reason:
        return turn
    name = next((target.pod.full_name for target in turn.state.open), turn.state.charge.node)
    return turn.blocked(name, Block(since=outage.since, reason=reason))


def _recovered(turn: Turn, what: str) -> Turn:
    left = {name: outage for name, outage in turn.state.outages.items() if name != what}
    return turn.become(outages=MappingProxyType(left))
