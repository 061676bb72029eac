"""Bugs to be planted in rollouts: each breaks a promise of docs/reference/rollouts.md."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from broker import presence
from broker.ids import Digest, InstanceId
from broker.messages import Uncordon
from orchestrator.adapters.memory import MemoryJournal
from orchestrator.domain import invariants
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Work
from orchestrator.domain.rollout import answers, asking, course, gates, replacing, steps
from orchestrator.domain.rollout.effects import BeginRun, TakeSlot
from orchestrator.domain.rollout.model import Rollout, RolloutState, Slot, Step, StepState, Why
from orchestrator.domain.rollout.scene import absence
from orchestrator.domain.rollout.turn import Turn
from orchestrator.records import Batch, Loaded
from orchestrator.service import disruption, drains
from orchestrator.service.disruption import Disruption
from orchestrator.service.state import ClusterState
from orchestrator.service.upgrades import Upgrades
from tests.simulation.node import Draining
from tests.simulation.planting import breaks
from wing.events import Done, End

Patch = pytest.MonkeyPatch


# Who is away -------------------------------------------------------------------------------------------


@breaks("whoever is away for any reason counts", seed=12)
def counts_only_drained_instances(patch: Patch) -> None:
    def drained(instance: Instance, slot: Slot | None) -> Why | None:
        return None if instance.cordon is None else absence(instance, slot)

    patch.setattr(disruption, "absence", drained)


@breaks("a slot is written with what it is for", seed=0)
def forgets_to_write_slots(patch: Patch) -> None:
    real = Disruption.take

    def take(self: Disruption, instance: Instance, owner: str, batch: Batch, at: datetime) -> None:
        real(self, instance, owner, batch, at)
        batch.slots.clear()

    patch.setattr(Disruption, "take", take)


@breaks("a slot is held until the instance is back", seed=0)
def gives_slots_back_after_the_drain(patch: Patch) -> None:
    real = Upgrades._carry_out

    def carry_out(self: Upgrades, rollout: Rollout, effect: Any, work: Any, at: datetime) -> None:
        real(self, rollout, effect, work, at)
        if isinstance(effect, BeginRun) and not effect.noop:
            self._state.disruption.free(self._state.instances[effect.instance], rollout.id, work.batch)

    patch.setattr(Upgrades, "_carry_out", carry_out)


@breaks("never below quorum", seed=4)
def ignores_the_quorum(patch: Patch) -> None:
    for module in (gates, invariants):
        patch.setattr(module, "QUORATE", frozenset())


@breaks("a death ends its own connection only", seed=4)
def takes_a_late_will_for_a_death(patch: Patch) -> None:
    def ended(life: presence.Life, end: Any) -> presence.Life:
        return replace(life, death=end.how, died_at=end.at)

    patch.setattr(presence, "_ended", ended)


# Who leads ---------------------------------------------------------------------------------------------


@breaks("who leads no more writes nothing", seed=2)
def lets_a_former_leader_write(patch: Patch) -> None:
    patch.setattr(MemoryJournal, "_check", lambda _journal, _epoch: None)


@breaks("an order survives its leader", seed=106)
def forgets_orders_on_restart(patch: Patch) -> None:
    real = MemoryJournal.load

    async def load(self: MemoryJournal) -> Loaded:
        return replace(await real(self), orders=())

    patch.setattr(MemoryJournal, "load", load)


@breaks("no step is lost, and none done twice", seed=0)
def forgets_to_write_steps(patch: Patch) -> None:
    real = Upgrades._keep

    def keep(self: Upgrades, *moved: Any) -> None:
        before, after, _, work = moved
        real(self, before, after, (), work)

    patch.setattr(Upgrades, "_keep", keep)


@breaks("what waits goes on when it can", seed=0)
def forgets_who_waits_for_room(patch: Patch) -> None:
    patch.setattr(Upgrades, "stirred", lambda _upgrades, _roles, _at: None)


# What is done to an instance -----------------------------------------------------------------------------


@breaks("nothing new starts in what was stopped", seed=5)
def goes_on_though_paused(patch: Patch) -> None:
    patch.setattr(RolloutState, "may_start", property(lambda state: not state.is_final))


@breaks("a machine is made anew before it is converged", seed=1)
def takes_the_old_machine_for_the_new_one(patch: Patch) -> None:
    patch.setattr(replacing, "noticed", lambda turn, step: turn.put(replace(step, replaced=True)))


@breaks("a Node is empty before it is changed", seed=1)
def skips_the_drain(patch: Patch) -> None:
    def leave(turn: Turn, step: Step) -> None:
        turn.then(TakeSlot(instance=step.instance, role=step.role))
        steps.ask(turn, turn.to(step, StepState.CONVERGING))

    patch.setattr(steps, "leave", leave)


@breaks("no cordon of ours is left unnamed", seed=1)
def leaves_the_cordon(patch: Patch) -> None:
    real = asking.order_for

    def order(turn: Turn, step: Step, number: Any) -> Any:
        return None if step.state is StepState.UNCORDONING else real(turn, step, number)

    patch.setattr(asking, "order_for", order)


@breaks("only our own cordons are lifted", seed=19)
def lifts_whatever_cordon(patch: Patch) -> None:
    def uncordon(self: Draining, order: Uncordon) -> End:
        self._node.uncordon(order.owner)
        self._cordon_changed(cordoned=False)
        return Done()

    patch.setattr(Draining, "uncordon", uncordon)


@breaks("who is in a rollout is left to it", seed=227)
def lets_people_lift_a_rollouts_cordon(patch: Patch) -> None:
    patch.setattr(drains, "refuse_upgrading", lambda _who, _state: None)


@breaks("done only with a proof", seed=32)
def takes_a_failed_converge_for_done(patch: Patch) -> None:
    real = answers._failed
    patch.setattr(invariants, "_is_proved", lambda _step, _instance: True)

    def failed(turn: Turn, step: Step, work: Work) -> None:
        if step.state is StepState.CONVERGING:
            steps.ask(turn, turn.to(step, StepState.VERIFYING))
        else:
            real(turn, step, work)

    patch.setattr(answers, "_failed", failed)


@breaks("back only when healthy", seed=3)
def takes_any_host_for_healthy(patch: Patch) -> None:
    real = answers._failed

    def failed(turn: Turn, step: Step, work: Work) -> None:
        if step.state is StepState.VERIFYING:
            steps.passed(turn, step, work)
        else:
            real(turn, step, work)

    patch.setattr(answers, "_failed", failed)


@breaks("what was taken back stays so", seed=3)
def forgets_what_is_desired_on_the_way_back(patch: Patch) -> None:
    real = ClusterState.desire_of

    def desire_of(self: ClusterState, who: InstanceId, digest: Digest, **more: Any) -> None:
        rollout = self.upgrades.of_instance.get(who)
        if rollout is None or not self.upgrades.open[rollout].steps[who].back:
            real(self, who, digest, **more)

    patch.setattr(ClusterState, "desire_of", desire_of)


@breaks("only approved changes are made", seed=49)
def makes_changes_that_nobody_approved(patch: Patch) -> None:
    real = Upgrades._run

    def run(self: Upgrades, rollout: Rollout, effect: BeginRun, work: Any, at: datetime) -> None:
        real(self, rollout, replace(effect, diff=None), work, at)

    def prefetched(turn: Turn, step: Step, work: Work | None) -> None:
        del work
        steps.advance(turn, turn.to(step, StepState.WAITING))

    patch.setattr(Upgrades, "_run", run)
    patch.setattr(steps, "_prefetched", prefetched)


@breaks("an end waits for what is under way", seed=13)
def ends_with_a_drain_under_way(patch: Patch) -> None:
    def finish_abort(turn: Turn) -> None:
        for step in list(turn.rollout.steps.values()):
            if not step.state.is_over:
                turn.to(step, StepState.SKIPPED)
        course._end(turn, RolloutState.ABORTED, None)

    patch.setattr(course, "_finish_abort", finish_abort)
