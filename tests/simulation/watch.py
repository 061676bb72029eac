"""What rollouts, drains and converges did to the fleet, judged at each commit by the laws of rollouts.

It knows what was written, transaction by transaction, and what really happened on hosts and Nodes; the code
under test is never asked. Who was away is counted at the moment at which something new begins: what dies
afterwards is nobody's fault.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from broker.ids import InstanceId, Role, RolloutId, RunId
from broker.messages import Cancel, Drain, Uncordon, Verdict
from orchestrator.adapters.memory import MemoryJournal
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Order, Run, Work
from orchestrator.domain.rollout.model import Cause, Rollout, RolloutState, Slot, Step, StepState
from orchestrator.domain.rollout.strategy import GUARDED, QUORATE
from orchestrator.domain.views import PresenceState
from orchestrator.records import Batch

if TYPE_CHECKING:
    from tests.simulation.ledger import Proof
    from tests.simulation.node import Node

SOMEBODY: Final = "(kubectl)"
"""Whoever changes Nodes and is none of us."""

STOPPED: Final = frozenset({RolloutState.PAUSED, RolloutState.FAILED, RolloutState.ABORTED})
AWAY: Final = frozenset({StepState.DRAINING, StepState.REPLACING, StepState.CONVERGING, StepState.VERIFYING})


class Watch:
    """Takes note of each commit, and of what happens to Nodes; `fault` is told each law that was broken."""

    def __init__(self, fault: Callable[[str], None], proofs: Callable[[RunId], "list[Proof]"]) -> None:
        self.nodes: dict[InstanceId, Node] = {}
        self.roles: dict[InstanceId, Role] = {}
        self.rollouts: dict[RolloutId, Rollout] = {}
        self.steps: dict[tuple[RolloutId, InstanceId], Step] = {}
        self.slots: dict[InstanceId, Slot] = {}
        self.is_restored = False
        self._fault = fault
        self._proofs = proofs
        self._stored: dict[InstanceId, Instance] = {}
        self._desired_of_roles: dict[Role, str] = {}
        self._heard: set[InstanceId] = set()
        self._runs: dict[RunId, Run] = {}
        self._known: set[str] = set()
        self._open: dict[str, Work] = {}
        self._done: set[str] = set()
        self._cancelled: set[str] = set()
        self._meddled: set[str] = set()
        self._ungated: set[InstanceId] = set()
        self._held: dict[InstanceId, str] = {}
        self._machines: dict[InstanceId, int] = {}
        self._found: dict[tuple[RolloutId, InstanceId], int] = {}

    # What happens to hosts and Nodes ---------------------------------------------------------------------

    def enrol(self, instance: InstanceId, role: Role, node: "Node") -> None:
        """Take note of a host."""
        self.roles[instance] = role
        self.nodes[instance] = node

    def remade(self, name: InstanceId, machine: int) -> None:
        """Take note that an instance is another machine, the `machine`th."""
        self._machines[name] = machine

    def cordoned(self, name: str, owner: str, before: str | None) -> None:
        """Take note of a cordon that was set, or taken over from `before`."""
        rollout = self.rollouts.get(RolloutId(before or ""))
        if rollout is not None and not rollout.state.is_final and not self.is_restored:
            self._fault(f"{owner} takes the cordon of {name} from {before}, which has not ended")

    def uncordoned(self, name: str, owner: str | None, by: str) -> None:
        """Take note of a cordon of `owner` that was lifted; one of us lifts only their own."""
        if by == SOMEBODY:
            self._meddled.add(name)
        elif by != owner:
            self._fault(f"{by} lifts the cordon of {name}, which is {owner}'s")

    def carried_out(self, order: str, *, done: bool) -> None:
        """Take note of an order that came to its end."""
        if done:
            self._done.add(order)

    def applied(self, name: str, run_id: RunId, node: "Node", diff: str | None) -> None:
        """Judge an attempt of a run that begins to change its host.

        Its changes `diff`, if known, are those approved, and a Node that was to be drained is empty by then.
        """
        run = self._runs.get(run_id)
        rollout = None if run is None or run.rollout is None else self.rollouts.get(run.rollout)
        if rollout is None or run is None:
            return
        step = self.steps[rollout.id, run.instance]
        if diff and step.approved not in {None, diff} and not step.back and not self.is_restored:
            self._fault(f"{rollout.id} makes changes on {name} that nobody approved")
        if self._is_old(rollout, step):
            self._fault(f"{rollout.id} changes {name} before its machine is made anew")
        if rollout.strategy.drain is None:
            return
        if node.pods and node.name not in self._meddled and not self.is_restored:
            self._fault(f"{rollout.id} changes {name} with {len(node.pods)} pods on it")

    def _is_old(self, rollout: Rollout, step: Step) -> bool:
        """Tell whether a step is to have another machine, and has the one that it found."""
        anew = rollout.strategy.replace and not step.back
        return anew and not self._is_another(rollout.id, step.instance)

    def _is_another(self, rollout: RolloutId, name: InstanceId) -> bool:
        """Tell whether an instance is another machine than the one that a rollout has found."""
        found = self._found.get((rollout, name))
        return self.is_restored or found is None or self._machines.get(name, 1) > found

    # What is written -------------------------------------------------------------------------------------

    def begins(self) -> None:
        """Take note of an orchestrator's start: it has heard nobody yet."""
        self._heard.clear()

    def restored(self, journal: MemoryJournal) -> None:
        """Take note that the journal is one from earlier, and of what it holds."""
        self.is_restored = True
        self._stored = dict(journal._instances)
        self._desired_of_roles = dict(journal._roles)
        self._runs = dict(journal._runs)
        self.slots = dict(journal._slots)
        self.rollouts = dict(journal._rollouts)
        self.steps = {
            (key, name): step for key, steps in journal._steps.items() for name, step in steps.items()
        }
        works: list[Work] = [*journal._runs.values(), *journal._orders.values()]
        begun = [work for work in works if work.released]
        self._known = {work.id for work in begun}
        self._open = {work.id: work for work in begun if not work.state.is_final and _disrupts(work)}

    def committed(self, batch: Batch) -> None:
        """Judge a transaction, and take note of it."""
        before = {key: self.rollouts[key].state for key in self.rollouts}
        moved = [(key, self.steps.get(key), step) for key, step in batch.steps.items()]
        self._held = {name: slot.owner for name, slot in self.slots.items()}
        self._take_in(batch)
        fresh = [work for work in _works(batch) if self._is_new(work)]
        self._ungated = {work.instance for work in fresh if self._is_ungated(work)}
        for work in fresh:
            self._known.add(work.id)
            for law in self._begun(work, before):
                self._fault(law)
        for (rollout, name), old, step in moved:
            if old is None:
                self._found[rollout, name] = self._machines.get(name, 1)
            for law in self._stepped(rollout, old, step):
                self._fault(law)
        for key, item in batch.rollouts.items():
            for law in self._moved(item, before.get(key)):
                self._fault(law)

    def _take_in(self, batch: Batch) -> None:
        self._stored |= batch.instances
        for name, instance in batch.instances.items():
            if instance.shown.state is PresenceState.ONLINE and not instance.shown.disputed:
                self._heard.add(name)
            else:
                self._heard.discard(name)
        self._desired_of_roles |= batch.role_desired
        self.slots |= batch.slots
        for freed in batch.freed:
            self.slots.pop(freed, None)
        self.rollouts |= batch.rollouts
        self.steps |= batch.steps
        self._runs |= batch.runs
        cancels = (item.body for item in batch.deliveries.values())
        self._cancelled |= {body.run for body in cancels if isinstance(body, Cancel)}
        for work in _works(batch):
            if work.state.is_final:
                self._open.pop(work.id, None)
            elif _disrupts(work) and work.released:
                self._open[work.id] = work

    def _is_new(self, work: Work) -> bool:
        return work.id not in self._known and work.released and not work.state.is_final

    # Laws on what begins ---------------------------------------------------------------------------------

    def _begun(self, work: Work, before: dict[RolloutId, RolloutState]) -> Iterator[str]:
        owner = _owner(work)
        rollout = self.rollouts.get(RolloutId(owner))
        if rollout is not None and _brings_new(work):
            yield from _nothing_new(rollout, work, before.get(rollout.id))
        if isinstance(work, Order) and isinstance(work.body, Uncordon):
            yield from self._may_lift(work, work.body)
        if not _disrupts(work):
            return
        slot = self.slots.get(work.instance)
        if slot is None or slot.owner != owner:
            yield f"{owner} disrupts {work.instance}, whose slot is {slot and slot.owner}'s"
        others = [
            each
            for each in self._open.values()
            if each.instance == work.instance and each is not work and each.id not in self._cancelled
        ]
        if others:
            yield f"{work.id} begins on {work.instance} while {others[0].id} is open there"
        if not self.is_restored and self._held.get(work.instance) != owner:
            yield from self._room(work, rollout)

    def _room(self, work: Work, rollout: Rollout | None) -> Iterator[str]:
        who, role = work.instance, work.role
        if self._is_ungated(work):
            return
        away = {name: why for name in self.roles if name != who and (why := self._absence(name, role))}
        total = sum(other == role for other in self.roles.values())
        told = ", ".join(f"{name} {why}" for name, why in away.items())
        if role in QUORATE and total > 1 and total - 1 - len(away) < total // 2 + 1:
            yield f"{_owner(work)} takes {who} away from {total} of role {role}, below the quorum: {told}"
        if rollout is None:
            most = 1 if isinstance(work, Run) else total
            counted = len(away)
        else:
            most = rollout.strategy.unavailable_of(role, total)
            failed = [name for name in away if self._has_failed(rollout, name)]
            counted = len(away) - min(rollout.beyond, len(failed))
        if counted + 1 > most:
            yield f"{_owner(work)} takes {who} away, and at most {most} of role {role} may be: {told}"

    def _is_ungated(self, work: Work) -> bool:
        """Tell whether a person's converge goes without a gate: of a worker, or where nothing serves yet."""
        if not isinstance(work, Run) or work.rollout is not None or work.noop:
            return False
        stored = self._stored.get(work.instance)
        return work.role not in GUARDED or stored is None or stored.observed is None

    def _absence(self, name: InstanceId, role: Role) -> str:
        """Return why an instance of `role` is not available to it, by what was written and what is so."""
        if self.roles[name] != role:
            return ""
        observed = self._stored[name].observed if name in self._stored else None
        is_open = any(work.instance == name for work in self._open.values())
        reasons = {
            "has a slot": name in self.slots and name not in self._ungated,
            "is worked on": is_open and name not in self._ungated,
            f"is cordoned by {self.nodes[name].owner}": self.nodes[name].is_ours,
            "was not heard of": name not in self._heard,
            "has failed": observed is not None and observed.verdict is Verdict.FAILED,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    def holds_up(self, run: Run) -> bool:
        """Tell whether there is anything that a run may wait for before it begins."""
        total = sum(role == run.role for role in self.roles.values())
        if run.instance in self.slots or (run.role in QUORATE and total == 2):
            return True
        return any(self._absence(name, run.role) for name in self.roles if name != run.instance)

    def _has_failed(self, rollout: Rollout, name: InstanceId) -> bool:
        step = self.steps.get((rollout.id, name))
        return step is not None and step.state is StepState.FAILED

    def _may_lift(self, order: Order, body: Uncordon) -> Iterator[str]:
        step = self.steps.get((RolloutId(body.owner), order.instance))
        if order.owner != body.owner or (
            step is not None and step.state in AWAY and order.requested_by != body.owner
        ):
            yield f"{order.requested_by} lifts the cordon of {order.instance}, which is {body.owner}'s"

    # Laws on how steps and rollouts move -----------------------------------------------------------------

    def _stepped(self, rollout_id: RolloutId, old: Step | None, step: Step) -> Iterator[str]:
        rollout = self.rollouts[rollout_id]
        who, was = step.instance, None if old is None else old.state
        moved = f"{who} in {rollout_id} is {step.state.value} after {was and was.value}"
        work = None if old is None else old.work
        stored = self._stored.get(who)
        match was, step.state:
            case StepState.CONVERGING, StepState.VERIFYING:
                if not self._is_proved(work, step):
                    yield f"{moved}, and its run {work} proved nothing"
            case StepState.VERIFYING, StepState.UNCORDONING:
                healthy = rollout.strategy.health_of(step.role).is_empty() or work in self._done
                if not healthy:
                    yield f"{moved}, and was not seen to be healthy"
            case _, StepState.CONVERGING if self._is_old(rollout, step):
                yield f"{moved}, and its machine is the one that it was"
            case StepState.DRAINING, StepState.CONVERGING | StepState.REPLACING:
                if work not in self._done:
                    yield f"{moved}, and its drain {work} did not succeed"
            case _, StepState.DONE | StepState.REVERTED if was not in {StepState.DONE, StepState.REVERTED}:
                if stored is None or stored.desired != step.goal:
                    yield f"{moved}, and {stored and stored.desired} is desired of it, not {step.goal}"
            case _:
                pass

    def _is_proved(self, work: str | None, step: Step) -> bool:
        proofs = self._proofs(RunId(work or ""))
        return any(proof.good and not proof.noop and proof.digest == step.goal for proof in proofs)

    def _moved(self, rollout: Rollout, before: RolloutState | None) -> Iterator[str]:
        if rollout.why is not None and rollout.why.cause is Cause.INVARIANT_BROKEN:
            yield f"{rollout.id} stopped itself: {rollout.why.said}"
        if before is not None and before.is_final:
            yield f"{rollout.id} was {before.value}, and is {rollout.state.value}"
        if not rollout.state.is_final:
            return
        held = [name for name, slot in self.slots.items() if slot.owner == rollout.id]
        if held:
            yield f"{rollout.id} is {rollout.state.value}, and has slots: {held}"
        at_work = [each for each in self._open.values() if _owner(each) == rollout.id]
        at_work = [each for each in at_work if each.id not in self._cancelled]
        if at_work:
            yield f"{rollout.id} is {rollout.state.value}, and {at_work[0].id} is still at work"
        if rollout.state is RolloutState.SUCCEEDED:
            steps = [step for (key, _), step in self.steps.items() if key == rollout.id]
            odd = [step for step in steps if step.state not in {StepState.DONE, StepState.SKIPPED}]
            if odd:
                yield f"{rollout.id} has succeeded with {odd[0].instance} {odd[0].state.value}"
            desired = self._desired_of_roles
            lacking = [role for role in rollout.whole_roles if desired.get(role) != rollout.bundle]
            if lacking:
                yield f"{rollout.id} has succeeded, and its bundle is not desired of {lacking}"


def _nothing_new(rollout: Rollout, work: Work, before: RolloutState | None) -> Iterator[str]:
    if before in STOPPED and rollout.state in STOPPED:
        yield f"{rollout.id} is {rollout.state.value}, and {work.id} begins on {work.instance}"


def _works(batch: Batch) -> Iterator[Work]:
    yield from batch.runs.values()
    yield from batch.orders.values()


def _brings_new(work: Work) -> bool:
    return isinstance(work, Run) or isinstance(work.body, Drain)


def _disrupts(work: Work) -> bool:
    return not work.noop if isinstance(work, Run) else isinstance(work.body, Drain)


def _owner(work: Work) -> str:
    if isinstance(work, Run):
        return work.rollout or work.ticket or ""
    return work.owner
