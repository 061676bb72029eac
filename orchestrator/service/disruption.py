"""Who is away, who is kept away by whom, and how many a role can spare: one account for all that disrupts.

Rollouts, catch-ups, bare drains and converges take their slots here, within one transaction of the journal
each, so that no two of them can each believe that the last free place is theirs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from broker.ids import InstanceId, Role
from orchestrator.domain.instance import Instance
from orchestrator.domain.rollout.model import Slot, Why
from orchestrator.domain.rollout.scene import absence
from orchestrator.records import Batch


@dataclass(slots=True)
class Disruption:
    """The members of each role, their slots, and who of them is not available and why."""

    slots: dict[InstanceId, Slot] = field(default_factory=dict)
    members: dict[Role, dict[InstanceId, None]] = field(default_factory=dict)
    absent: dict[Role, dict[InstanceId, Why]] = field(default_factory=dict)
    stirred: set[Role] = field(default_factory=set)

    @classmethod
    def of(cls, instances: Iterable[Instance], slots: Iterable[Slot]) -> "Disruption":
        """Return the account of a cluster as it was written."""
        found = cls(slots={slot.instance: slot for slot in slots})
        for instance in instances:
            found.look(instance)
        return found

    def look(self, instance: Instance) -> None:
        """Take in what an instance is now."""
        who, role = instance.enrolment.id, instance.enrolment.role
        if who not in self.members.setdefault(role, {}):
            self.members[role][who] = None
            self.stirred.add(role)
        away = self.absent.setdefault(role, {})
        reason = absence(instance, self.slots.get(who))
        if reason == away.get(who):
            return
        if reason is None:
            del away[who]
        else:
            away[who] = reason
        self.stirred.add(role)

    def forget(self, instance: Instance, batch: Batch) -> None:
        """Take an instance off the roster, and its slot with it."""
        who, role = instance.enrolment.id, instance.enrolment.role
        self.members.get(role, {}).pop(who, None)
        self.absent.get(role, {}).pop(who, None)
        if who in self.slots:
            self._drop(who, batch)
        self.stirred.add(role)

    def take(self, instance: Instance, owner: str, batch: Batch, at: datetime) -> None:
        """Give an instance's slot to `owner`, who may have it already."""
        who = instance.enrolment.id
        held = self.slots.get(who)
        if held is not None and held.owner == owner:
            return
        slot = Slot(instance=who, role=instance.enrolment.role, owner=owner, since=at)
        self.slots[who] = slot
        batch.slots[who] = slot
        batch.freed.discard(who)
        self.look(instance)

    def free(self, instance: Instance, owner: str, batch: Batch) -> None:
        """Take an instance's slot back, if `owner` has it."""
        who = instance.enrolment.id
        held = self.slots.get(who)
        if held is not None and held.owner == owner:
            self._drop(who, batch)
            self.look(instance)

    def owner_of(self, instance: InstanceId) -> str | None:
        """Return who disrupts an instance, None if nobody does."""
        held = self.slots.get(instance)
        return None if held is None else held.owner

    def away(self, role: Role) -> Mapping[InstanceId, Why]:
        """Return who of a role is not available, and why."""
        return self.absent.get(role, {})

    def _drop(self, who: InstanceId, batch: Batch) -> None:
        del self.slots[who]
        batch.slots.pop(who, None)
        batch.freed.add(who)
