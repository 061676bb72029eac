"""How a rollout comes to be: whom it takes from where to where, and in which waves."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from broker.ids import Digest, InstanceId, Role, RolloutId
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Bundle
from orchestrator.domain.rollout.model import Cause, Rollout, Step, StepState
from orchestrator.domain.rollout.scene import has
from orchestrator.domain.rollout.strategy import Strategy
from orchestrator.domain.rollout.turn import why
from orchestrator.domain.rollout.waves import forward_waves

if TYPE_CHECKING:
    from orchestrator.service.state import ClusterState

PREVIEW: Final = RolloutId("")
RECONCILIATION: Final = "reconciliation"


def begun(
    state: "ClusterState",
    targets: Iterable[Instance],
    bundle: Bundle,
    strategy: Strategy,
    *,
    rollout_id: RolloutId,
    by: str,
    at: datetime,
    approved: Mapping[InstanceId, str] | None = None,
    whole_roles: tuple[Role, ...] = (),
    automatic: bool = False,
) -> Rollout:
    """Return a new rollout of `bundle` over a target set that is frozen now."""
    found = tuple(targets)
    scene = state.upgrades.scene()
    members = [(item.enrolment.id, item.enrolment.role) for item in found]
    waves = forward_waves(members, strategy, scene)
    wave_of = {name: wave.number for wave in waves for name in wave.instances}
    agreed = approved or {}
    steps = {
        item.enrolment.id: _step(
            item,
            state,
            bundle.digest,
            strategy,
            wave=wave_of[item.enrolment.id],
            approved=agreed.get(item.enrolment.id),
            at=at,
        )
        for item in sorted(found, key=lambda item: wave_of[item.enrolment.id])
    }
    return Rollout(
        id=rollout_id,
        bundle=bundle.digest,
        strategy=strategy,
        requested_by=by,
        created_at=at,
        automatic=automatic,
        waves=waves,
        steps=steps,
        over=sum(step.state.is_over for step in steps.values()),
        whole_roles=whole_roles,
    )


def _step(
    instance: Instance,
    state: "ClusterState",
    digest: Digest,
    strategy: Strategy,
    *,
    wave: int,
    approved: str | None,
    at: datetime,
) -> Step:
    who, observed = instance.enrolment.id, instance.observed
    before = instance.desired if observed is None else observed.digest
    has_it = has(instance, digest) and not strategy.replace
    return Step(
        instance=who,
        role=instance.enrolment.role,
        wave=wave,
        target=digest,
        origin=before if before in state.bundles else None,
        approved=approved,
        state=StepState.SKIPPED if has_it else StepState.PENDING,
        why=why(Cause.HAS_IT_ALREADY, instance=who) if has_it else None,
        since=at,
    )


def catching_up(state: "ClusterState", instance: Instance, bundle: Bundle, at: datetime) -> Rollout:
    """Return the rollout of one instance to what it shall have, which nobody has to ask for."""
    return begun(
        state,
        [instance],
        bundle,
        Strategy(canary=0),
        rollout_id=state.upgrades.next_id(),
        by=RECONCILIATION,
        at=at,
        automatic=True,
    )
