"""How a drain ends: with everything gone, or with each pod that is left named, and the cordon as agreed.

A drain that was refused or has failed lifts its own cordon again, so that a Node which nobody works on takes
pods; unless its policy keeps it. Nobody else's cordon is touched.
"""

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from broker.messages import DrainFinished, OnTimeout
from wing.cluster import Pod
from wing.drain_events import CordonLifted, Finish, LiftCordon, LiftFailed, WakeAt
from wing.drain_state import Stage, Turn
from wing.events import Done, Stopped, Unable
from wing.targets import Block, Waiting, all_selected


def finished(turn: Turn) -> Turn:
    """Return the turn with the drain done; its cordon stays, for whoever wanted the Node empty."""
    return _over(turn, Done())


def refused(turn: Turn, pods: Sequence[tuple[Pod, str]]) -> Turn:
    """Return the turn with the drain refused as a whole, every refusal named; nothing has been evicted."""
    named = tuple(f"{pod.full_name}: {reason}" for pod, reason in pods)
    return _lifting(turn.become(left=named), "refused, and nothing was evicted")


def given_up(turn: Turn, reason: str) -> Turn:
    """Return the turn with the drain failed for `reason`, or, if its policy says so, gone on by deleting."""
    state = turn.state
    policy = state.charge.order.policy
    if _may_delete(turn):
        return _deleting(turn)
    left = tuple(target.left() for target in state.targets.values())
    turn = turn.become(left=left)
    if policy.on_timeout is OnTimeout.KEEP:
        kept = f", and the cordon of {state.charge.order.owner} is kept" if state.owned else ""
        return _failed(turn, f"{reason}{kept}")
    return _lifting(turn, reason)


def lifted(turn: Turn, event: CordonLifted | LiftFailed) -> Turn:
    """Return the turn with the drain at its end, after it has dealt with its cordon."""
    owner = turn.state.charge.order.owner
    if isinstance(event, LiftFailed):
        note = f"and the cordon of {owner} could not be lifted ({event.reason})"
        return _failed(turn, f"{turn.state.verdict}, {note}")
    reason = "the drain did not succeed"
    turn = turn.become(owned=False).cordon(cordoned=event.cordoned, owned=False, reason=reason)
    return _failed(turn, turn.state.verdict)


def withdrawn(turn: Turn) -> Turn:
    """Return the turn with nothing evicted any more; the cordon is left as it is."""
    left = turn.state.left or tuple(target.left() for target in turn.state.targets.values())
    return _over(turn.become(left=left), Stopped())


def _may_delete(turn: Turn) -> bool:
    """Whether deleting what the policy names would finish the drain; else it would only do harm."""
    state = turn.state
    wanted = state.charge.order.policy.on_timeout is OnTimeout.DELETE
    return (
        wanted
        and state.stage is Stage.EVICTING
        and not state.deleting
        and all_selected(state.targets.values(), state.charge.selectors)
    )


def _deleting(turn: Turn) -> Turn:
    deadline = turn.later(turn.state.pace.deletion_s)
    turn = turn.become(deleting=True, deadline=deadline).then(WakeAt(at=deadline))
    for uid, target in tuple(turn.state.targets.items()):
        again = replace(target, way=Waiting(until=turn.at, looked=False), doubt=None)
        block = Block(since=turn.at, reason="its time is over: it is deleted, past its budgets, as agreed")
        turn = turn.put(uid, again).held_up(uid, block)
    return turn.look()


def _lifting(turn: Turn, verdict: str) -> Turn:
    if not (turn.state.owned or turn.state.tried):
        return _failed(turn, verdict)
    return turn.become(stage=Stage.LIFTING, verdict=verdict).then(LiftCordon())


def _failed(turn: Turn, reason: str) -> Turn:
    named = f": {'; '.join(turn.state.left)}" if turn.state.left else ""
    return _over(turn, Unable(reason=f"{reason}{named}"))


def _over(turn: Turn, end: Done | Stopped | Unable) -> Turn:
    state = turn.state
    told = turn.told(
        DrainFinished(
            command=state.charge.command,
            order=state.charge.order.order,
            took_ms=state.took_ms(turn.at),
            evicted=state.evicted,
            left=state.left,
        )
    )
    return told.become(stage=Stage.OVER, targets=MappingProxyType({})).then(Finish(end=end))
