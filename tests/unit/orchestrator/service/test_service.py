"""The service over a mesh in memory: what was decided is carried out, whoever dies in between."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.messages import Succeeded, Trouble
from broker.signing import SigningKey
from orchestrator.domain.views import InstanceOutcome, RunState, Selector
from orchestrator.operations import ConvergeRequest, EventFilter, RefusedError, RunFilter
from orchestrator.records import Batch
from orchestrator.service.assembly import Service
from tests.unit.orchestrator.domain.playbook import DIGEST, number
from tests.unit.orchestrator.service.stage import ROLE, TOPICS, Stage, tail, until

pytestmark = pytest.mark.looptime

EVERYTHING = Selector(everything=True)


def ask(**more: Any) -> ConvergeRequest:
    return replace(ConvergeRequest(selector=EVERYTHING, digest=DIGEST, requested_by="ann"), **more)


async def test_a_fleet_appears_and_converges(tmp_path: Path) -> None:
    """Births make instances, a request makes runs, facts make them converged; each fact is told once."""
    stage = Stage(wings=3)
    await stage.begin()
    async with stage.alive(), stage.orchestrator(tmp_path) as service:
        await until(service, "instance_online", count=3)
        ticket = await service.runs.converge(ask())
        assert len(ticket.runs) == 3
        await until(service, "succeeded", count=3)
        views = await service.fleet.instances(None)
        assert {view.outcome for view in views} == {InstanceOutcome.CONVERGED}
        assert {view.observed for view in views} == {DIGEST}
        status = await service.fleet.status()
        assert status.healthy, status.problems
        seqs = [event.seq for event in await tail(service) if event.instance == views[0].id and event.seq]
        assert seqs == [1, 2, 3]


async def test_one_that_joins_is_converged_without_being_asked(tmp_path: Path) -> None:
    """What is desired of a role is made so on a wing that has never converged, once."""
    stage = Stage(wings=1)
    await stage.begin()
    await stage.journal.commit(Batch(role_desired={ROLE: DIGEST}))
    async with stage.alive(), stage.orchestrator(tmp_path) as service:
        await until(service, "succeeded")
        await asyncio.sleep(300)
        (run,) = await service.runs.runs(RunFilter())
        assert (run.requested_by, run.state) == ("reconciliation", RunState.SUCCEEDED)


async def test_killed_after_it_wrote_and_before_it_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is in the journal and never left is sent by the next orchestrator, and runs once."""
    stage = Stage(wings=1)
    await stage.begin()
    async with stage.alive():
        async with stage.orchestrator(tmp_path) as service:
            await until(service, "instance_online")
            monkeypatch.setattr(service.core.sender, "send", lambda _command: None)
            await service.runs.converge(ask())
        assert stage.wings[0].ran == []
        async with stage.orchestrator(tmp_path) as service:
            await until(service, "succeeded")
            assert len(stage.wings[0].ran) == 1


async def test_a_broker_that_forgets_everything_loses_nothing(tmp_path: Path) -> None:
    """Commands are sent again, facts are replayed, and each counts once."""
    stage = Stage(wings=2)
    await stage.begin()
    async with stage.alive(), stage.orchestrator(tmp_path) as service:
        await until(service, "instance_online", count=2)
        await service.runs.converge(ask())
        stage.broker.restart(forget=True)
        await until(service, "succeeded", count=2)
        facts = Counter((event.instance, event.boot, event.seq) for event in await tail(service) if event.seq)
        assert set(facts.values()) == {1}
        assert all(len(wing.ran) == 1 for wing in stage.wings)


async def test_facts_that_the_broker_forgot_are_replayed(tmp_path: Path) -> None:
    """What wings said while we were away, and the broker then lost, is asked for and told in order."""
    stage = Stage(wings=1)
    await stage.begin()
    async with stage.alive(), stage.orchestrator(tmp_path) as service:
        await until(service, "instance_online")
        stage.broker.cut("o_1", for_good=True)
        await until(service, "broker_lost")
        for index in range(5):
            await stage.wings[0].tell(Trouble(what="t", detail=str(index)))
        await asyncio.sleep(1)
        stage.broker.restart(forget=True)
        stage.broker.mend("o_1")
        told = await until(service, "trouble", count=5)
        assert [event.seq for event in told] == [1, 2, 3, 4, 5]


async def test_forged_facts_are_not_believed_counted_and_shown(tmp_path: Path) -> None:
    """A `succeeded` that the wing's key did not sign changes nothing, and status says so."""
    stage = Stage(wings=1)
    await stage.begin()
    wing = stage.wings[0]
    wing.answers = False
    async with stage.alive(), stage.orchestrator(tmp_path) as service:
        await until(service, "instance_online")
        ticket = await service.runs.converge(ask())
        forged = wing.wing.say(Succeeded(command=number(1)))
        await wing.publish(TOPICS.facts(ROLE, wing.id), forged.payload, key=SigningKey.generate())
        altered = bytearray(forged.payload)
        altered[-1] ^= 1
        await wing.publish(TOPICS.facts(ROLE, wing.id), bytes(altered), key=SigningKey.generate())
        await asyncio.sleep(1)
        status = await service.fleet.status()
        assert status.counters["bad_signature_evt"] == 2
        assert any("not believed" in problem and wing.id in problem for problem in status.problems)
        assert (await service.runs.run(ticket.runs[0].id)).state is RunState.QUEUED


async def test_parallel_bounds_what_is_under_way_over_a_restart(tmp_path: Path) -> None:
    """With `parallel=1` the second run waits in the journal until the first has ended."""
    stage = Stage(wings=3)
    await stage.begin()
    for wing in stage.wings:
        wing.answers = False
    async with stage.alive():
        async with stage.orchestrator(tmp_path) as service:
            await until(service, "instance_online", count=3)
            await service.runs.converge(ask(parallel=1))
            await asyncio.sleep(1)
            assert len(service.core.state.instances[stage.wings[0].id].deliveries) == 1
            assert sum(len(item.deliveries) for item in service.core.state.instances.values()) == 1
        for wing in stage.wings:
            wing.answers = True
        async with stage.orchestrator(tmp_path) as service:
            await until(service, "succeeded", count=3)
            assert all(len(wing.ran) == 1 for wing in stage.wings)


async def test_a_restored_journal_raises_the_epoch_and_stops_reconciling(tmp_path: Path) -> None:
    """A wing that knows a higher epoch shows it; status says so until someone acknowledges."""
    stage = Stage(wings=1)
    await stage.begin()
    stage.wings[0].wing.epoch = 9
    await stage.journal.commit(Batch(role_desired={ROLE: DIGEST}))
    async with stage.alive(), stage.orchestrator(tmp_path) as service:
        await until(service, "epoch_raised")
        status = await service.fleet.status()
        assert status.epoch == 10
        assert any("restored" in problem for problem in status.problems)
        await service.fleet.acknowledge(requested_by="ann")
        status = await service.fleet.status()
        assert not any("restored" in problem for problem in status.problems)


async def test_ping_measures_the_round_trip_and_names_the_silent(tmp_path: Path) -> None:
    """Whoever answers is measured; whoever does not is named with why."""
    stage = Stage(wings=2)
    await stage.begin()
    async with stage.alive(), stage.orchestrator(tmp_path) as service:
        await until(service, "instance_online", count=2)
        stage.broker.cut("worker-2", for_good=True)
        first, second = await service.fleet.ping(EVERYTHING, timeout_s=3)
        assert first.error is None
        assert first.round_trip_s is not None
        assert second.error == "no answer within 3 s"


async def test_an_empty_selection_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    """Nothing selected is a mistake, never everything."""
    stage = Stage(wings=1)
    await stage.begin()
    async with stage.orchestrator(tmp_path) as service:
        with pytest.raises(RefusedError, match="nothing is selected"):
            await service.runs.converge(ask(selector=Selector()))
        assert await service.runs.runs(RunFilter()) == []


async def test_a_reader_that_comes_back_sees_no_hole_and_no_double(tmp_path: Path) -> None:
    """Stored events and new ones join without a seam, from any cursor, beyond what memory holds."""
    stage = Stage(wings=1)
    await stage.begin()
    wing = stage.wings[0]
    async with stage.alive(), stage.orchestrator(tmp_path) as service:
        await until(service, "instance_online")
        for index in range(20):
            await wing.tell(Trouble(what="t", detail=str(index)))
        seen = [event.cursor for event in await until(service, count=10)]
        seen += [event.cursor for event in await until(service, count=12, cursor=seen[-1])]
        assert seen == list(range(1, 23))
        service.tail._recent.clear()
        query = EventFilter(kinds=("trouble",))
        stored = [event.seq async for event in service.tail.events(query, follow=False)]
        assert stored == list(range(1, 21))


async def test_what_is_asked_of_one_that_stops_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for an answer that will never come."""
    stage = Stage(wings=1)
    await stage.begin()
    refusals: list[RefusedError] = []

    async def converge(service: Service) -> None:
        try:
            await service.runs.converge(ask())
        except RefusedError as error:
            refusals.append(error)

    async with stage.alive(), asyncio.TaskGroup() as tasks, stage.orchestrator(tmp_path) as service:
        await until(service, "instance_online")
        monkeypatch.setattr(stage.journal, "commit", never)
        tasks.create_task(converge(service), name="converge")
        await asyncio.sleep(1)
    assert [(error.kind, error.status) for error in refusals] == [("not-leading", 503)]


async def never(_batch: Batch) -> None:
    await asyncio.get_running_loop().create_future()
