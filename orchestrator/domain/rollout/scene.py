"""What a rollout sees of the fleet: who is there, who disrupts whom, and who is not available."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from broker.ids import InstanceId, MessageId, Role
from broker.messages import Health, Verdict
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Order, Run, Work
from orchestrator.domain.nodes import cordoned_by_another
from orchestrator.domain.rollout.model import Cause, Slot, Why
from orchestrator.domain.views import PresenceState

_GOOD = frozenset({Verdict.CONVERGED, Verdict.APPLIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The fleet at one moment. `absent` has, by role, who is not available and why (`absence`).

    `connected` says that the broker is there, `doubted` that the journal seems restored from a backup.
    `new_id` injects ids.
    """

    instances: Mapping[InstanceId, Instance]
    members: Mapping[Role, Collection[InstanceId]]
    absent: Mapping[Role, Mapping[InstanceId, Why]]
    new_id: Callable[[], MessageId]
    slots: Mapping[InstanceId, Slot] = field(default_factory=dict)
    connected: bool = True
    doubted: bool = False

    def owner_of(self, instance: InstanceId) -> str | None:
        """Return who disrupts an instance, None if nobody does."""
        slot = self.slots.get(instance)
        return None if slot is None else slot.owner

    def with_slot(self, instance: InstanceId, role: Role, owner: str, at: datetime) -> "Scene":
        """Return the scene with an instance's slot taken."""
        slot = Slot(instance=instance, role=role, owner=owner, since=at)
        away = {**self.absent.get(role, {})}
        away.setdefault(instance, Why(cause=Cause.OWNED, said={"instance": instance, "owner": owner}))
        return replace(self, slots={**self.slots, instance: slot}, absent={**self.absent, role: away})

    def without_slot(self, instance: InstanceId) -> "Scene":
        """Return the scene with an instance's slot given back."""
        slots = {name: slot for name, slot in self.slots.items() if name != instance}
        found = self.instances.get(instance)
        if found is None:
            return replace(self, slots=slots)
        role = found.enrolment.role
        away = {name: reason for name, reason in self.absent.get(role, {}).items() if name != instance}
        reason = absence(found, None)
        if reason is not None:
            away[instance] = reason
        return replace(self, slots=slots, absent={**self.absent, role: away})

    def is_there(self, instance: InstanceId) -> bool:
        """Tell whether an instance is online, and only one host of its name."""
        found = self.instances.get(instance)
        return found is not None and is_there(found)


def is_there(instance: Instance) -> bool:
    """Tell whether an instance is online, and only one host of its name."""
    return instance.shown.state is PresenceState.ONLINE and not instance.shown.disputed


def absence(instance: Instance, slot: Slot | None) -> Why | None:
    """Return why an instance is not available to its role, None if it is.

    Whoever disrupts it counts, and whatever else keeps it from its work: not available for any reason counts.
    """
    name = instance.enrolment.id
    if instance.shown.disputed:
        return Why(cause=Cause.DISPUTED, said={"instance": name})
    if instance.shown.state is not PresenceState.ONLINE:
        return Why(cause=Cause.NOT_ONLINE, said={"instance": name, "presence": presence(instance)})
    owner = slot.owner if slot is not None else _worked_on_for(instance)
    if owner is not None:
        return Why(cause=Cause.OWNED, said={"instance": name, "owner": owner})
    if instance.cordon is not None:
        return Why(cause=Cause.CORDONED, said={"instance": name, "owner": instance.cordon.owner})
    return foreign_cordon(instance) or not_ready(instance) or _failure(instance)


def _failure(instance: Instance) -> Why | None:
    if instance.observed is not None and instance.observed.verdict is Verdict.FAILED:
        failure = instance.observed.reason or "its last run failed"
        said = {"instance": instance.enrolment.id, "reason": failure}
        return Why(cause=Cause.CONVERGE_FAILED, said=said)
    return None


def _worked_on_for(instance: Instance) -> str | None:
    """Return for whom an instance is still worked on, be it that its slot was given back already."""
    return next((owner_of(work) for work in instance.work() if is_under_way(work)), None)


def disrupts(work: Work) -> bool:
    """Tell whether a run or order changes its host or Node: noops and looks at health don't."""
    match work:
        case Run():
            return not work.noop
        case Order():
            return not isinstance(work.body, Health)


def is_under_way(work: Work) -> bool:
    """Tell whether a run or order without a final answer disrupts its instance, or is about to.

    What waits for its turn does not: it looks at the slots when that comes.
    """
    return work.released and disrupts(work)


def owner_of(work: Work) -> str | None:
    """Return in whose name a run or order is done: a rollout's, a drain's, or a request's."""
    match work:
        case Run():
            return work.rollout or work.ticket
        case Order():
            return work.owner


def foreign_cordon(instance: Instance, *, owner: str | None = None, held: bool = False) -> Why | None:
    """Return that somebody other than `owner` has cordoned an instance (see `cordoned_by_another`)."""
    other = cordoned_by_another(instance, owner=owner, held=held)
    if other is None:
        return None
    said = {"instance": instance.enrolment.id, "owner": other, "node": instance.enrolment.node_name}
    return Why(cause=Cause.CORDONED, said=said)


def not_ready(instance: Instance) -> Why | None:
    """Return that an instance's Node is not Ready."""
    node = instance.node
    if node is None or node.ready:
        return None
    said = {"instance": instance.enrolment.id, "node": node.name, "reason": node.reason or "it says not why"}
    return Why(cause=Cause.NOT_READY, said=said)


def presence(instance: Instance) -> str:
    """Return in words whether an instance is there, and since when."""
    shown = instance.shown
    word = "not heard of yet" if shown.state is PresenceState.UNKNOWN else shown.state.value
    return f"{word} since {shown.since:%Y-%m-%d %H:%M:%S} UTC" if shown.since else word


def has(instance: Instance, digest: str | None) -> bool:
    """Tell whether an instance's last proof is that it has a bundle."""
    observed = instance.observed
    return observed is not None and observed.digest == digest and observed.verdict in _GOOD
