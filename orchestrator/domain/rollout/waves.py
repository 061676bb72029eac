"""In which order instances go: role after role, canaries first, then as many at once as may be away."""

from collections.abc import Iterable, Sequence

from broker.ids import InstanceId, Role
from orchestrator.domain.rollout.model import Step, StepState, Wave
from orchestrator.domain.rollout.scene import Scene, foreign_cordon
from orchestrator.domain.rollout.strategy import Strategy


def forward_waves(
    targets: Iterable[tuple[InstanceId, Role]], strategy: Strategy, scene: Scene
) -> tuple[Wave, ...]:
    """Return the waves of a rollout. Those who are not available anyway go first: they cost nothing more.

    Whom somebody else has cordoned goes last, for it has to wait until that is over.
    """
    by_role: dict[Role, list[InstanceId]] = {}
    for instance, role in targets:
        by_role.setdefault(role, []).append(instance)
    waves: list[Wave] = []
    for role in sorted(by_role, key=strategy.rank_of):
        members = sorted(by_role[role], key=lambda name: (_place(scene, name, role), natural(name)))
        canaries = min(strategy.canary, len(members))
        most = strategy.unavailable_of(role, len(scene.members.get(role, ())))
        for group, canary in _groups(members, canaries, most):
            waves.append(Wave(number=len(waves) + 1, role=role, instances=group, canary=canary))
    return tuple(waves)


def _place(scene: Scene, instance: InstanceId, role: Role) -> int:
    known = scene.instances.get(instance)
    if known is not None and foreign_cordon(known) is not None:
        return 2
    return int(instance not in scene.absent.get(role, {}))


def _groups(
    members: Sequence[InstanceId], canaries: int, most: int
) -> Iterable[tuple[tuple[InstanceId, ...], bool]]:
    if canaries:
        yield tuple(members[:canaries]), True
    for first in range(canaries, len(members), most):
        yield tuple(members[first : first + most]), False


def back_waves(steps: Iterable[Step], strategy: Strategy, scene: Scene) -> tuple[Wave, ...]:
    """Return the waves of the way back: the roles in reverse, in each the failed instances first."""
    by_role: dict[Role, list[Step]] = {}
    for step in steps:
        by_role.setdefault(step.role, []).append(step)
    waves: list[Wave] = []
    for role in sorted(by_role, key=strategy.rank_of, reverse=True):
        members = sorted(by_role[role], key=_urgency)
        most = strategy.unavailable_of(role, len(scene.members.get(role, ())))
        for first in range(0, len(members), most):
            names = tuple(step.instance for step in members[first : first + most])
            waves.append(Wave(number=len(waves) + 1, role=role, instances=names))
    return tuple(waves)


def _urgency(step: Step) -> tuple[bool, tuple[tuple[int, int, str], ...]]:
    away = step.state is StepState.FAILED or step.state.is_away
    return (not away, natural(step.instance))


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key by which worker-2 comes before worker-10."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in name.split("-"))
