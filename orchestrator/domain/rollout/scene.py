"""What a rollout sees of the fleet: who is there, who disrupts whom, and who is not available."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from broker.ids import InstanceId, MessageId, Role
from broker.messages import Health, Verdict
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Order, Run, Work
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

    def with_slot(self, slot: Slot) -> "Scene":
        """Return the scene with one more instance disrupted."""
        who, role = slot.instance, slot.role
        known = self.instances.get(who)
        reason = None if known is None else absence(known, slot)
        away = {**self.absent.get(role, {}), **({} if reason is None else {who: reason})}
        return replace(self, slots={**self.slots, who: slot}, absent={**self.absent, role: away})

    def without_slot(self, instance: InstanceId) -> "Scene":
        """Return the scene with an instance given back; until the next event it counts as away."""
        return replace(self, slots={who: slot for who, slot in self.slots.items() if who != instance})

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
    if instance.observed is not None and instance.observed.verdict is Verdict.FAILED:
        reason = instance.observed.reason or "its last run failed"
        return Why(cause=Cause.CONVERGE_FAILED, said={"instance": name, "reason": reason})
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


def presence(instance: Instance) -> str:
    """Return in words whether an instance is there, and since when."""
    shown = instance.shown
    word = "not heard of yet" if shown.state is PresenceState.UNKNOWN else shown.state.value
    return f"{word} since {shown.since:%Y-%m-%d %H:%M:%S} UTC" if shown.since else word


def has(instance: Instance, digest: str | None) -> bool:
    """Tell whether an instance's last proof is that it has a bundle."""
    observed = instance.observed
    return observed is not None and observed.digest == digest and observed.verdict in _GOOD
