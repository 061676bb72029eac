"""Why something waits or failed, whoever it belongs to: a rollout, or an instance that is in none."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from broker.messages import Health
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Order
from orchestrator.domain.rollout import why as reasons
from orchestrator.domain.rollout.model import Cause, Rollout, Why, number_of
from orchestrator.domain.rollout.scene import absence, disrupts, is_there
from orchestrator.domain.rollout.show import step_why_view, why_views
from orchestrator.domain.rollout.turn import why
from orchestrator.domain.rollout_views import WhyView
from orchestrator.domain.show import differs, wanted
from orchestrator.service.state import ClusterState


def explained(
    state: ClusterState, subject: str | None, at: datetime, *, closed: Rollout | None = None
) -> Sequence[WhyView]:
    """Return why a subject waits or failed (None: whatever does); `closed` is the subject if it has ended."""
    scene = state.upgrades.scene()
    if closed is not None:
        return list(why_views(closed, scene, at))
    if subject is None:
        return [*_rollouts(state, at), *_instances(state)]
    for rollout in state.upgrades.open.values():
        if rollout.id == subject:
            return list(why_views(rollout, scene, at, every=True))
    return list(_one(state, subject, at))


def _rollouts(state: ClusterState, at: datetime) -> Iterator[WhyView]:
    for rollout in state.upgrades.open.values():
        yield from why_views(rollout, state.upgrades.scene(), at)


def _instances(state: ClusterState) -> Iterator[WhyView]:
    for name in sorted(set(state.instances) - set(state.upgrades.of_instance)):
        yield from _of_itself(state, state.instances[name])


def _one(state: ClusterState, subject: str, at: datetime) -> Iterator[WhyView]:
    instance = next(item for name, item in state.instances.items() if name == subject)
    rollout_id = state.upgrades.of_instance.get(instance.enrolment.id)
    if rollout_id is None:
        yield from _of_itself(state, instance)
        return
    rollout = state.upgrades.open[rollout_id]
    step = rollout.steps[instance.enrolment.id]
    found = step_why_view(rollout, step, state.upgrades.scene(), at)
    if found is not None:
        yield found


def _of_itself(state: ClusterState, instance: Instance) -> Iterator[WhyView]:
    """Yield why an instance that is in no rollout waits or failed."""
    found = _waiting(instance) or _absent(state, instance) or _differing(state, instance)
    if found is None:
        return
    name = instance.enrolment.id
    places = {"instance": name, "rollout": state.disruption.owner_of(name) or ""}
    command = _next_command(instance, found) or reasons.command(found, **places)
    said = reasons.sentence(found, **places)
    told = said if said.startswith(f"{name} ") else f"{name}: {said}"
    yield WhyView(subject=name, cause=found.cause.value, sentence=told, command=command)


def _waiting(instance: Instance) -> Why | None:
    name = instance.enrolment.id
    for work in instance.work():
        if not work.reason:
            continue
        if isinstance(work, Order) and work.blocked:
            looks = isinstance(work.body, Health)
            cause = Cause.HEALTH_FAILING if looks else Cause.DRAIN_BLOCKED
            return why(cause, instance=name, reason=work.reason)
        cause = Cause.NOT_SENT if work.command is None else Cause.PUPPET_BUSY
        return why(cause, instance=name, work=work.id, reason=work.reason)
    return None


def _absent(state: ClusterState, instance: Instance) -> Why | None:
    if is_there(instance) and any(disrupts(work) for work in instance.work()):
        return None
    return absence(instance, state.disruption.slots.get(instance.enrolment.id))


def _differing(state: ClusterState, instance: Instance) -> Why | None:
    desired = wanted(instance, state.role_desired.get(instance.enrolment.role))
    if instance.work() or not differs(instance, desired):
        return None
    return why(Cause.DIFFERS, instance=instance.enrolment.id, desired=str(desired)[:19])


def _next_command(instance: Instance, found: Why) -> str | None:
    """Return the command for an instance where that of a rollout's step would not fit."""
    name = instance.enrolment.id
    match found.cause:
        case Cause.DRAIN_BLOCKED:
            return f"tarmak uncordon {name}"
        case Cause.OWNED if number_of(found.said.get("owner", ""), "d-"):
            return f"tarmak uncordon {name}"
        case Cause.CONVERGE_FAILED if instance.observed is not None:
            return f"tarmak run show {instance.observed.run}"
        case Cause.OWNED | Cause.PUPPET_BUSY:
            return f"tarmak instance show {name}"
        case _:
            return None
