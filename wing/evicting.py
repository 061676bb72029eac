"""A drain's dealings with its pods: who is asked to go, what is answered, and who is gone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from broker.messages import PodEvicted
from wing.cluster import Busy, Doubtful, Granted, Held, NamespaceEnding, Pod, Refused
from wing.drain_events import Answered, Delete, Evict
from wing.drain_state import Turn
from wing.selection import Refuse, judge
from wing.targets import Asked, Block, Going, Stuck, Target, Waiting


def asked(turn: Turn, *, looked: bool) -> Turn:
    """Return the turn with everyone asked to go whose turn it is; `looked`: the list was read just now."""
    policy = turn.state.charge.order.policy
    past_budgets = policy.disable_eviction or turn.state.deleting
    for uid, target in turn.due(looked=looked):
        wish = Delete(pod=target.pod) if past_budgets else Evict(pod=target.pod)
        turn = turn.put(uid, target.asked(turn.at)).then(wish)
    return turn


def answered(turn: Turn, event: Answered) -> Turn:  # noqa: PLR0911 - one for each kind of answer
    """Return the turn with the API server's answer to one wish taken in."""
    target = turn.state.targets.get(event.uid)
    if target is None or not isinstance(target.way, Asked):
        return turn
    retry_s = turn.state.pace.retry_s
    match event.answer:
        case Granted():
            return turn.put(event.uid, replace(target, way=Going(since=turn.at), block=None))
        case Doubtful(reason=reason):
            return _again(turn, event.uid, retry_s, doubt=reason).look()
        case NamespaceEnding(reason=reason):
            return _with_namespace(turn, event.uid, reason)
        case Held() as held:
            again = _again(turn, event.uid, held.retry_after_s or retry_s)
            return again.held_up(event.uid, _by_budget(turn, held))
        case Busy(reason=reason, retry_after_s=after_s):
            again = _again(turn, event.uid, after_s or retry_s)
            return again.held_up(event.uid, Block(since=turn.at, reason=reason))
        case Refused(reason=reason):
            stuck = turn.put(event.uid, replace(target, way=Stuck(reason=reason)))
            return stuck.held_up(event.uid, Block(since=turn.at, reason=reason))
        case _:
            assert_never(event.answer)


def compared(turn: Turn, pods: Sequence[Pod]) -> Turn:
    """Return the turn with what the Node's own list says of each target, and with who has come since."""
    here = {pod.uid: pod for pod in pods if pod.node == turn.state.charge.node}
    for uid, target in tuple(turn.state.targets.items()):
        pod = here.pop(uid, None)
        turn = _gone(turn, uid, target) if pod is None else _seen(turn, uid, replace(target, pod=pod))
    for pod in here.values():
        turn = _came(turn, pod)
    return turn


def _gone(turn: Turn, uid: str, target: Target) -> Turn:
    charge = turn.state.charge
    return (
        turn.dropped(uid)
        .become(evicted=turn.state.evicted + 1)
        .told(
            PodEvicted(
                command=charge.command,
                order=charge.order.order,
                pod=target.pod.full_name,
                took_ms=target.took_ms(turn.at),
            )
        )
    )


def _seen(turn: Turn, uid: str, target: Target) -> Turn:
    """Return the turn with a pod that is still there: it is going, or goes on waiting, or is overdue."""
    pace, ends_at = turn.state.pace, target.pod.ends_at
    if isinstance(target.way, Waiting) and ends_at is not None:
        target = replace(target, way=Going(since=turn.at), doubt=None)
    elif isinstance(target.way, Going) and ends_at is None and turn.at >= target.way.since + _s(pace.retry_s):
        target = replace(target, way=Waiting(until=turn.at))
    turn = turn.put(uid, target)
    if target.doubt is not None:
        return turn.held_up(uid, Block(since=turn.at, reason=target.doubt))
    if isinstance(target.way, Going) and ends_at is not None and turn.at >= ends_at + _s(pace.overdue_s):
        return turn.held_up(uid, Block(since=ends_at, reason=_overdue(target.pod)))
    return turn


def _came(turn: Turn, pod: Pod) -> Turn:
    """Return the turn with a pod that was not there when it was decided what goes.

    It slipped in before the scheduler knew of the cordon, or while somebody had lifted that. What a cordon
    doesn't keep away would come back for ever, so it is left.
    """
    if pod.returns:
        return turn
    verdict = judge(pod, turn.state.charge.order.policy, turn.at)
    if verdict is None:
        return turn.put(pod.uid, Target(pod=pod, way=Waiting(until=turn.at)))
    if not isinstance(verdict, Refuse):
        return turn
    return turn.put(pod.uid, Target(pod=pod, way=Stuck(reason=f"it came during the drain: {verdict.reason}")))


def _again(turn: Turn, uid: str, seconds: float, *, doubt: str | None = None) -> Turn:
    target = turn.state.targets[uid]
    way = Waiting(until=turn.later(seconds), looked=False)
    return turn.put(uid, replace(target, way=way, doubt=doubt))


def _with_namespace(turn: Turn, uid: str, reason: str) -> Turn:
    target = turn.state.targets[uid]
    if target.pod.ends_at is not None:
        return turn.put(uid, replace(target, way=Going(since=turn.at)))
    again = _again(turn, uid, turn.state.pace.retry_s)
    return again.held_up(uid, Block(since=turn.at, reason=reason))


def _by_budget(turn: Turn, held: Held) -> Block:
    return Block(
        since=turn.at,
        reason=held.reason,
        budget=held.budget,
        healthy=held.healthy,
        needed=held.needed,
    )


def _overdue(pod: Pod) -> str:
    finalizers = f"; finalizers hold it: {', '.join(pod.finalizers)}" if pod.finalizers else ""
    return f"it was to end by {pod.ends_at:%H:%M:%S} UTC and has not{finalizers}"


def _s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
