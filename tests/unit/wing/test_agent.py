"""The shell around the machine: a wing's whole life on a broker in memory, in virtual time."""

import asyncio
from datetime import timedelta

import pytest

from broker.ids import Boot
from broker.messages import (
    Accepted,
    Birth,
    Cancel,
    Cancelled,
    Converge,
    DrainStarted,
    Failed,
    Interrupted,
    Level,
    LogLine,
    LogLines,
    Lost,
    Offline,
    Ping,
    Pong,
    Prefetch,
    Presence,
    Progress,
    Rejected,
    RejectReason,
    Replay,
    Report,
    Started,
    Succeeded,
    Trouble,
    Truncated,
)
from tests.unit.wing.agents import Puppet, Site, clock, copied, site
from tests.unit.wing.wings import (
    NOW,
    V1,
    cancel,
    cancel_order,
    converge,
    drain,
    health,
    order_id,
    run_id,
)
from wing.ports import Bound

pytestmark = pytest.mark.looptime

FULL = "database or disk is full"


async def test_what_is_asked_is_done_and_told() -> None:
    """Birth, converge, answer, offline: and the supervisor hears that the wing is up, alive and ending."""
    async with site() as mesh:
        host = mesh.host(puppet=Puppet(LogLine(at=NOW, level=Level.NOTICE, source="Puppet", message="said")))
        async with host.running():
            boot = (await mesh.until_born()).standing.boot
            await mesh.send(converge(), boot=boot)
            await mesh.until_told(Started)
            await asyncio.sleep(10)
            host.puppet.finish.set()
            await mesh.until_told(Succeeded)
        await mesh.until_seen(Offline)
        assert [type(body) for body in mesh.told()] == [Accepted, Started, Succeeded]
        assert {type(body) for body in mesh.lines()} == {LogLines, Progress}
        assert host.watchman.told == ["ready", "alive", "stopping"]


async def test_a_full_disk_is_told_and_nothing_runs() -> None:
    """Commands are dropped and counted while nothing can be recorded; after that they are obeyed again."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running():
            boot = (await mesh.until_born()).standing.boot
            host.journal.unwritable = FULL
            await mesh.send(converge(), boot=boot)
            beat = await mesh.until_beat()
            assert beat.standing.counters["not recorded"] == 1
            await mesh.send(converge(2), boot=boot)
            await mesh.until_beat()
            assert host.puppet.started == []
            assert mesh.told() == []
            host.journal.unwritable = None
            trouble = await mesh.until_told(Trouble)
            assert isinstance(trouble, Trouble)
            assert (trouble.what, FULL in trouble.detail) == ("journal could not be written", True)
            await mesh.send(converge(3), boot=boot)
            await mesh.until_told(Started)
            assert [order.run for order in host.puppet.started if not isinstance(order, Prefetch)] == [
                run_id(3)
            ]


async def test_what_was_lived_through_on_a_full_disk_is_told_later() -> None:
    """A run that ends while nothing can be recorded is answered, in order, as soon as something can."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running():
            await mesh.send(converge(), boot=(await mesh.until_born()).standing.boot)
            await mesh.until_told(Started)
            await asyncio.sleep(1)
            host.journal.unwritable = FULL
            host.puppet.finish.set()
            await mesh.until_beat()
            await asyncio.sleep(60)
            assert [type(body) for body in mesh.told()] == [Accepted, Started]
            host.journal.unwritable = None
            await mesh.until_told(Succeeded)
            assert [type(body) for body in mesh.told()] == [Accepted, Started, Trouble, Succeeded]


async def test_puppet_does_not_start_unrecorded() -> None:
    """When the disk is full at the moment at which Puppet would begin, it doesn't, and that is the answer."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running():
            boot = (await mesh.until_born()).standing.boot
            run = host.puppet.converge

            async def fills_up(*order: object) -> object:
                host.journal.unwritable = FULL
                ended = await run(*order)  # type: ignore[arg-type] # passed on as it came
                host.journal.unwritable = None
                return ended

            host.puppet.converge = fills_up  # type: ignore[method-assign, assignment] # the disk's fault
            await mesh.send(converge(), boot=boot)
            failed = await mesh.until_told(Failed, Succeeded)
            assert isinstance(failed, Failed)
            assert FULL in failed.reason
            assert host.puppet.started == []


async def test_a_wing_stopped_on_a_full_disk_leaves_its_answer_to_the_next_boot() -> None:
    """It ends at once; the boot that follows ends what was left and says `interrupted`."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running():
            await mesh.send(converge(), boot=(await mesh.until_born()).standing.boot)
            await mesh.until_told(Started)
            await asyncio.sleep(1)
            host.journal.unwritable = FULL
        host.journal.unwritable = None
        async with host.running():
            boot = (await mesh.until_born()).standing.boot
            await mesh.send(Replay(boot=boot, first=1))
            answer = await mesh.until_told(Interrupted, Succeeded)
            assert isinstance(answer, Interrupted)
            assert "process 42" in answer.reason
            assert [process.pid for process in host.puppet.leftovers] == [42]


async def test_a_stop_ends_the_run_in_order() -> None:
    """What runs is ended and answered `interrupted`, and nothing new is taken on in between."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running() as agent:
            await mesh.send(converge(), boot=(await mesh.until_born()).standing.boot)
            await mesh.until_told(Started)
            agent.stop()
            agent.stop()
        await mesh.until_seen(Offline)
        assert [type(body) for body in mesh.told()] == [Accepted, Started, Interrupted]


async def test_a_stop_before_the_start_starts_nothing() -> None:
    """A wing that is told to end while it still looks for leftovers never connects."""
    async with site() as mesh:
        host = mesh.host()
        agent = host.agent()
        agent.stop()
        await agent.run()
        assert host.watchman.told == []


async def test_own_files_that_changed_end_it_between_two_runs() -> None:
    """During a run an upgrade waits; after it the wing ends in order and asks to be started again."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running() as agent:
            await mesh.send(converge(), boot=(await mesh.until_born()).standing.boot)
            await mesh.until_told(Started)
            host.changed = True
            await mesh.until_beat()
            await mesh.until_beat()
            assert not isinstance(mesh.told()[-1], Interrupted)
            host.puppet.finish.set()
            await mesh.until_seen(Offline)
            assert agent.renewing
            assert isinstance(mesh.told()[-1], Succeeded)


async def test_a_run_that_upgraded_the_wing_ends_it_at_once() -> None:
    """No heartbeat later: whatever is asked after the run's answer is answered by the new code."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running() as agent:
            await mesh.send(converge(), boot=(await mesh.until_born()).standing.boot)
            await mesh.until_told(Started)
            host.changed = True
            host.puppet.finish.set()
            ended = clock()
            await mesh.until_seen(Offline)
            assert agent.renewing
            assert clock() == ended
        async with host.running():
            await mesh.send(health(), boot=(await mesh.until_born()).standing.boot)
            await mesh.until_told(Succeeded)


async def test_an_order_is_carried_out_and_told() -> None:
    """A drain: what happens in it comes as facts, and its end as the answer."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running():
            await mesh.send(drain(), boot=(await mesh.until_born()).standing.boot)
            started = await mesh.until_told(DrainStarted)
            assert isinstance(started, DrainStarted)
            assert (started.order, started.command) == (order_id(1), host.puppet.orders[0].command)
            host.puppet.finish.set()
            await mesh.until_told(Succeeded)
            assert [type(body) for body in mesh.told()] == [Accepted, Started, DrainStarted, Succeeded]


async def test_a_cancelled_order_is_ended() -> None:
    """`cancel` names the order, whose work is asked to end and then answered."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running():
            boot = (await mesh.until_born()).standing.boot
            await mesh.send(drain(), boot=boot)
            await mesh.until_told(DrainStarted)
            await mesh.send(cancel_order(), boot=boot)
            await mesh.until_told(Cancelled)


async def test_an_orders_process_is_ended_by_the_next_boot() -> None:
    """A wing that dies in a drain leaves a child: it is ended first, then the drain is `interrupted`."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running():
            await mesh.send(drain(), boot=(await mesh.until_born()).standing.boot)
            await mesh.until_told(DrainStarted)
            host.journal.unwritable = FULL
        host.journal.unwritable = None
        async with host.running():
            boot = (await mesh.until_born()).standing.boot
            await mesh.send(Replay(boot=boot, first=1))
            answer = await mesh.until_told(Interrupted, Succeeded)
            assert isinstance(answer, Interrupted)
            assert [process.pid for process in host.puppet.leftovers] == [43]


async def test_a_cancelled_run_is_told_as_cancelled() -> None:
    """`cancel` ends the work, and both commands are answered once."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running():
            boot = (await mesh.until_born()).standing.boot
            await mesh.send(converge(), boot=boot)
            await mesh.until_told(Started)
            await mesh.send(cancel(), boot=boot)
            await mesh.until_told(Cancelled)
            kinds = [type(body) for body in mesh.told()]
            assert kinds == [Accepted, Started, Accepted, Started, Succeeded, Cancelled]


async def test_a_prefetch_runs_beside_a_converge() -> None:
    """What changes no host waits for nothing."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running():
            boot = (await mesh.until_born()).standing.boot
            await mesh.send(converge(), boot=boot)
            await mesh.until_told(Started)
            await mesh.send(Prefetch(digest=V1, size=1, url="file:///b"))
            await mesh.until_told(Started)
            await asyncio.sleep(1)
            assert [type(order) for order in host.puppet.started] == [Converge, Prefetch]
            host.puppet.finish.set()
            await mesh.until_told(Succeeded)
            await mesh.until_told(Succeeded)


async def test_controls_are_answered_at_once() -> None:
    """A ping brings a pong, `report` another birth, and `replay` the recorded facts, byte by byte."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running():
            boot = (await mesh.until_born()).standing.boot
            await mesh.send(Cancel(run=run_id(9)), boot=boot)
            await mesh.until_told(Succeeded)
            first = mesh.told()
            await mesh.send(Ping())
            await mesh.until(lambda message: isinstance(message.body, Pong))
            await mesh.send(Report())
            assert (await mesh.until_born()).standing.head_seq == len(first)
            await mesh.send(Replay(boot=boot, first=1))
            await mesh.until_told(Succeeded)
            assert mesh.told() == [*first, *first]


async def test_a_connection_that_comes_back_brings_a_birth_and_its_backlog() -> None:
    """What was told into the void stays in the journal; the next birth says what to ask for."""
    async with site() as mesh:
        host = mesh.host()
        async with host.running():
            birth = await mesh.until_born()
            boot = birth.standing.boot
            await mesh.send(converge(), boot=boot)
            await mesh.until_told(Started)
            mesh.broker.cut("worker-1", for_good=True)
            await mesh.until_seen(Lost)
            host.puppet.finish.set()
            await asyncio.sleep(100)
            assert not any(isinstance(body, Succeeded) for body in mesh.told())
            mesh.broker.mend("worker-1")
            again = await mesh.until_born()
            assert again.standing.connection > birth.standing.connection
            assert [(span.first, span.last) for span in again.standing.backlog] == [(1, 3)]
            await mesh.send(Replay(boot=boot, first=1))
            await mesh.until_told(Succeeded)


async def test_a_full_journal_gives_up_its_oldest_and_then_takes_nothing_on() -> None:
    """Over its bound what answers nothing goes, and is named; with answers alone it rejects."""
    async with site() as mesh:
        host = mesh.host(bound=Bound(facts=64))
        async with host.running():
            boot = (await mesh.until_born()).standing.boot
            refused = False
            for number in range(60):
                await mesh.send(Cancel(run=run_id(number)), boot=boot)
                answer = await mesh.until_told(Succeeded, Rejected)
                refused = isinstance(answer, Rejected) and answer.reason is RejectReason.JOURNAL_FULL
                if refused:
                    break
            assert refused
            assert any(isinstance(body, Truncated) for body in mesh.told())


@pytest.mark.parametrize("cloned", [False, True], ids=["another host", "a clone"])
async def test_of_two_with_one_identity_one_is_stopped_and_the_other_goes_on(*, cloned: bool) -> None:
    """Both say so, refuse and pause for minutes; when one was stopped in order the other is obeyed again."""
    async with site() as mesh:
        first, second = mesh.host(), mesh.host()
        async with first.running():
            await mesh.until_born()
        if cloned:
            second.journal = copied(first.journal)
        async with first.running() as one, second.running() as other:
            agents = {agent.machine.state.boot: agent for agent in (one, other)}
            told = {await mesh.until_told(Trouble) for _ in agents}
            assert {trouble.what for trouble in told if isinstance(trouble, Trouble)} == {"identity conflict"}
            assert len(told) == 2

            mesh.heard.clear()
            connected = await taking_turns(mesh, hours=1)
            assert len(connected) < 40  # two attempts every four minutes or so, instead of every second
            assert set(connected) == set(agents)
            for boot in agents:
                await mesh.send(converge(), boot=boot)
            assert await refusals(mesh, len(agents)) == {
                RejectReason.IDENTITY_CONFLICT,
                RejectReason.OTHER_BOOT,
            }
            assert first.puppet.started == second.puppet.started == []

            *_, stopped = connected
            agents.pop(stopped).stop()
            (left,) = agents
            while (await mesh.until_born()).standing.boot != left:
                pass
            await mesh.send(converge(5), boot=left)
            assert isinstance(await mesh.until_told(Accepted, Rejected), Accepted)


async def taking_turns(mesh: Site, *, hours: float) -> list[Boot]:
    """Let time pass; return whose births were heard meanwhile, the last of them with the connection."""
    end = clock() + timedelta(hours=hours)
    await mesh.until(lambda message: message.at >= end)
    born = [message.body for message in mesh.heard if isinstance(message, Presence)]
    return [body.standing.boot for body in born if isinstance(body, Birth)]


async def refusals(mesh: Site, count: int) -> set[RejectReason]:
    """Return why the next `count` commands were refused."""
    answers = [await mesh.until_told(Rejected, Started) for _ in range(count)]
    return {answer.reason for answer in answers if isinstance(answer, Rejected)}
