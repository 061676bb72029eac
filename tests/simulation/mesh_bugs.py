"""Bugs to be planted in the mesh of an orchestrator and its wings: each breaks a promise of the protocol."""

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from broker.messages import Command, Fact, FinalAnswer, Observed, Replay, RunResult, Succeeded, Verdict
from orchestrator.domain import answers, dispatch
from orchestrator.domain.effects import Effect, SaveDelivery
from orchestrator.domain.instance import Turn
from orchestrator.domain.model import Delivery, Run
from orchestrator.domain.rollout import gates
from orchestrator.domain.stream import Arrived, Stream, Taken
from orchestrator.service.core import Core
from orchestrator.service.state import ClusterState, Work
from tests.simulation.planting import breaks
from tests.simulation.work import ScriptedWork
from wing import checks, commands, endings, machine, queue
from wing.agent import Agent
from wing.effects import Act, Record
from wing.entries import Underway
from wing.events import Event, Ticked, WingStarted
from wing.ports import Journal
from wing.state import Remembered, State
from wing.step import Step

Patch = pytest.MonkeyPatch


# In the orchestrator ----------------------------------------------------------------------------------


@breaks("what is acknowledged is stored", seed=2)
def sends_before_it_commits(patch: Patch) -> None:
    async def step(self: Core, inputs: Sequence[Any]) -> None:
        work = Work()
        answered = [answer for each in inputs if (answer := self._handle(each, work)) is not None]
        self.state.settle(work, self.clock.now())
        for command in work.commands:
            self.sender.send(command)
        work.commands.clear()
        if not work.batch.is_empty():
            await self._journal.commit(work.batch)
        self._carry_out(work)
        for future, value in answered:
            if not future.done():
                future.set_result(value)

    patch.setattr(Core, "step", step)


@breaks("a command is sent until it is answered", seed=0)
def never_sends_again(patch: Patch) -> None:
    real = dispatch.send

    def send(turn: Turn, item: Delivery) -> None:
        real(turn, item)
        turn.put_delivery(replace(turn.instance.deliveries[item.id], next_at=None))

    patch.setattr(dispatch, "send", send)


@breaks("a command survives its sender", seed=0)
def forgets_what_it_sent(patch: Patch) -> None:
    real = ClusterState._gather

    def gather(self: ClusterState, who: Any, effect: Effect, work: Work, at: Any) -> None:
        if not isinstance(effect, SaveDelivery):
            real(self, who, effect, work, at)

    patch.setattr(ClusterState, "_gather", gather)


@breaks("each fact counts once", seed=1)
def counts_doubles(patch: Patch) -> None:
    real = Stream.take

    def take(self: Stream, arrived: Arrived) -> tuple[Stream, Taken]:
        if arrived.fact.seq <= self.handled:
            return self, Taken(ready=(arrived,))
        return real(self, arrived)

    patch.setattr(Stream, "take", take)


@breaks("facts count in their order, without a hole", seed=1)
def looks_over_gaps(patch: Patch) -> None:
    def take(self: Stream, arrived: Arrived) -> tuple[Stream, Taken]:
        if arrived.fact.seq <= self.handled:
            return self, Taken()
        return replace(self, handled=arrived.fact.seq, head=None), Taken(ready=(arrived,))

    patch.setattr(Stream, "take", take)


@breaks("a noop never changes an outcome", seed=0)
def takes_a_noop_for_a_proof(patch: Patch) -> None:
    real = answers._prove

    def prove(turn: Turn, fact: Fact, run: Run, result: RunResult | None) -> None:
        if run.noop and result is not None and not result.failed:
            at = result.finished_at
            verdict = Verdict.CONVERGED
            turn.become(observed=Observed(digest=run.digest, verdict=verdict, run=run.id, at=at))
        else:
            real(turn, fact, run, result)

    patch.setattr(answers, "_prove", prove)


# In the wing ------------------------------------------------------------------------------------------


@breaks("what is done was recorded before", seed=4)
def acts_before_it_records(patch: Patch) -> None:
    late: dict[Journal, list[Record]] = {}

    def commit(self: Agent, event: Event) -> None:
        self.machine, effects = self.machine.handle(event)
        records = late.setdefault(self._around.journal, [])
        records += [effect for effect in effects if not isinstance(effect, Act)]
        for effect in effects:
            self._carry_out(effect)
        if isinstance(event, Ticked):
            self._around.journal.write(records)
            records.clear()

    patch.setattr(Agent, "_commit", commit)


@breaks("what is accepted survives the wing", seed=2)
def forgets_commands_on_restart(patch: Patch) -> None:
    real = State.restored

    def restored(identity: Any, remembered: Remembered, *, at: Any) -> State:
        return real(identity, replace(remembered, entries=()), at=at)

    patch.setattr(State, "restored", restored)


@breaks("nothing of a lower epoch starts", seed=600)
def forgets_fencing(patch: Patch) -> None:
    patch.setattr(checks, "stale_epoch", lambda _state, _command: None)
    patch.setattr(commands, "fenced", lambda step, _epoch: step)


@breaks("a reinstalled host runs nothing twice", seed=21)
def takes_any_boot_for_its_own(patch: Patch) -> None:
    patch.setattr(checks, "other_boot", lambda _state, _command: None)


@breaks("a command runs at most once", seed=0)
def takes_a_repeated_command_anew(patch: Patch) -> None:
    real = checks.check

    def check(state: State, command: Command, at: Any) -> Any:
        left = {key: entry for key, entry in state.entries.items() if key != command.id}
        return real(replace(state, entries=MappingProxyType(left)), command, at)

    patch.setattr(commands, "check", check)


@breaks("a missing fact is replayed", seed=0)
def ignores_replays(patch: Patch) -> None:
    real = commands.received

    def received(step: Step, command: Command) -> Step:
        return step if isinstance(command.body, Replay) else real(step, command)

    patch.setattr(machine, "received", received)


@breaks("an accepted command gets its answer", seed=2)
def never_says_interrupted(patch: Patch) -> None:
    def started(step: Step, event: WingStarted) -> Step:
        del event
        return queue.advanced(commands.tidied(step))

    patch.setattr(machine, "_started", started)


@breaks("a killed wing's Puppet is ended first", seed=306)
def leaves_leftovers_alone(patch: Patch) -> None:
    async def end_leftovers(self: ScriptedWork, processes: Sequence[Any]) -> Sequence[str]:
        del self, processes
        return ()

    patch.setattr(ScriptedWork, "end_leftovers", end_leftovers)


@breaks("one change at a time", seed=3)
def changes_two_things_at_once(patch: Patch) -> None:
    patch.setattr(queue, "changes_host", lambda _command: False)
    patch.setattr(gates, "taken", lambda _scene, _who, _owner: None)  # or nothing would ever queue at a wing


@breaks("success is what the host proved", seed=4)
def calls_failure_success(patch: Patch) -> None:
    def verdict(entry: Underway, result: RunResult) -> FinalAnswer:
        return Succeeded(command=entry.id, result=result)

    patch.setattr(endings, "_verdict", verdict)
