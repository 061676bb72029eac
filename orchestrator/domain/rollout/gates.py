"""What must hold before an instance is disrupted. The first gate that is shut says why, by name.

All disruption of a role goes through the same count, whoever asks: rollouts, catch-ups, drains and converges.
Not available for any reason counts, so a role never has more away than was allowed, and voters never fewer
than a quorum.
"""

from collections.abc import Mapping
from datetime import datetime

from broker.ids import InstanceId, Role
from orchestrator.domain.instance import Instance
from orchestrator.domain.rollout.model import Cause, Rollout, Step, StepState, Why
from orchestrator.domain.rollout.scene import (
    Scene,
    foreign_cordon,
    is_there,
    is_under_way,
    owner_of,
    presence,
)
from orchestrator.domain.rollout.strategy import QUORATE
from orchestrator.domain.rollout.turn import why

MOST_NAMED = 3


def step_held(rollout: Rollout, step: Step, scene: Scene, at: datetime) -> Why | None:
    """Return why a step may not disrupt its instance now, None if it may."""
    holds = scene.owner_of(step.instance) == rollout.id
    window = rollout.strategy.window
    if not holds and window is not None and not window.is_open(at):
        return why(Cause.WINDOW_CLOSED, opens=f"{window.opens(at):%Y-%m-%d %H:%M} UTC")
    shut = (
        reach(scene, step.instance)
        or taken(scene, step.instance, rollout.id)
        or cordoned(scene, step.instance, rollout.id)
        or _unfinished(scene, step)
    )
    if shut is not None or holds:
        return shut
    most = rollout.strategy.unavailable_of(step.role, len(scene.members.get(step.role, ())))
    return room(scene, step.instance, step.role, most=most, overlooked=overlooked(rollout))


def _unfinished(scene: Scene, step: Step) -> Why | None:
    """Return what of the step's own is still under way, though the step has given it up."""
    for work in scene.instances[step.instance].work():
        if is_under_way(work) and work.id != step.work:
            return why(Cause.OTHER_RUN, instance=step.instance, work=work.id, by=work.requested_by)
    return None


def reach(scene: Scene, instance: InstanceId) -> Why | None:
    """Return why an instance can't be sent anything that disrupts it."""
    if not scene.connected:
        return why(Cause.BROKER_GONE)
    if scene.doubted:
        return why(Cause.JOURNAL_DOUBTED)
    known = scene.instances.get(instance)
    if known is None:
        return why(Cause.REVOKED, instance=instance)
    if known.shown.disputed:
        return why(Cause.DISPUTED, instance=instance)
    if not is_there(known):
        return why(Cause.NOT_ONLINE, instance=instance, presence=presence(known))
    return None


def taken(scene: Scene, instance: InstanceId, owner: str) -> Why | None:
    """Return who else is at work on an instance.

    What waits for its turn itself holds up nobody: two that wait for each other would never begin.
    """
    held_by = scene.owner_of(instance)
    if held_by is not None and held_by != owner:
        return why(Cause.OWNED, instance=instance, owner=held_by)
    known = scene.instances[instance]
    for work in known.work():
        if is_under_way(work) and owner_of(work) != owner:
            return why(Cause.OTHER_RUN, instance=instance, work=work.id, by=work.requested_by)
    return None


def cordoned(scene: Scene, instance: InstanceId, owner: str) -> Why | None:
    """Return who else keeps pods off an instance: whoever did so may be at work on it, and will come back."""
    known = scene.instances.get(instance)
    held = scene.owner_of(instance) == owner
    return None if known is None else foreign_cordon(known, owner=owner, held=held)


def room(
    scene: Scene,
    instance: InstanceId,
    role: Role,
    *,
    most: int,
    overlooked: frozenset[InstanceId] = frozenset(),
) -> Why | None:
    """Return why one more of a role can't go away: too many are, or the voters would lose their quorum.

    An instance that is away already takes no room of its own. `overlooked` ones are failed instances that an
    operator said to go beyond; they count for the quorum all the same.
    """
    absent = scene.absent.get(role, {})
    others = {name: reason for name, reason in absent.items() if name != instance}
    total = len(scene.members.get(role, ()))
    counted = {name: reason for name, reason in others.items() if name not in overlooked}
    if len(counted) + 1 > most:
        return why(
            Cause.NO_ROOM,
            instance=instance,
            role=role,
            count=str(len(counted)),
            total=str(total),
            most=str(most),
            who=named(counted),
        )
    left = total - len(others) - 1
    if role in QUORATE and total > 1 and left < quorum(total):
        return why(
            Cause.NO_QUORUM,
            instance=instance,
            role=role,
            reason=f"{left} of {total} would be left, {quorum(total)} are needed"
            + (f" ({named(others)})" if others else ""),
        )
    return None


def quorum(total: int) -> int:
    """Return how many of `total` voters are needed to decide."""
    return total // 2 + 1


def named(absent: Mapping[InstanceId, Why]) -> str:
    """Return who is away and why, the first few by name."""
    shown = [f"{name}: {short(absent[name])}" for name in sorted(absent)[:MOST_NAMED]]
    more = len(absent) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def short(reason: Why) -> str:
    """Return a reason for being away in a few words."""
    said = reason.said
    match reason.cause:
        case Cause.NOT_ONLINE:
            return said.get("presence", "not online")
        case Cause.OWNED:
            return f"away for {said.get('owner', 'another')}"
        case Cause.CORDONED:
            return f"cordoned by {said.get('owner', 'another')}"
        case Cause.NOT_READY:
            return f"Node not Ready: {said['reason']}"
        case Cause.CONVERGE_FAILED:
            return said["reason"]
        case _:
            return str(reason.cause.value)


def overlooked(rollout: Rollout) -> frozenset[InstanceId]:
    """Return the failed instances of a rollout that an operator said to go beyond."""
    if not rollout.beyond:
        return frozenset()
    failed = sorted(step.instance for step in rollout.steps.values() if step.state is StepState.FAILED)
    return frozenset(failed[: rollout.beyond])


def is_at_work(instance: Instance, owner: str) -> bool:
    """Tell whether something disrupting is under way on an instance in somebody's name."""
    return any(is_under_way(work) and owner_of(work) == owner for work in instance.work())
