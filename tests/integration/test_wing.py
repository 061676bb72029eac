"""A real wing, a real broker and a real Puppet: what an orchestrator asks is done, proven, and survives."""

import signal
from pathlib import Path

import pytest

from broker.ids import Boot
from broker.messages import (
    CHAIN_START,
    Accepted,
    Ack,
    Converge,
    Failed,
    Interrupted,
    Live,
    Lost,
    Message,
    Offline,
    Presence,
    Progress,
    Rejected,
    RejectReason,
    Replay,
    Report,
    RunChunk,
    Started,
    Succeeded,
    Trouble,
    Verdict,
)
from tests.integration.wing_site import Site, site

WRITES = "file { \"${facts['tarmak']['root']}/made\": content => \"by ${facts['tarmak']['instance']}\\n\" }"
SLEEPS = "exec { '/bin/sleep 600': timeout => 0 }"
FAILS = "exec { '/bin/false': }"
MOST_RESIDENT_KB = 45 * 1024


async def test_a_converge_is_carried_out_and_proven(tmp_path: Path) -> None:
    """Birth, command, facts, proof: the file is there, and the answer is a signed, chained `succeeded`."""
    async with site(tmp_path) as mesh, mesh.wing() as wing:
        birth = await mesh.until_born()
        assert birth.host.puppet[0].isdigit()
        await mesh.send(mesh.bundle(WRITES))
        answer = await mesh.until_told(Succeeded, Failed)
        assert isinstance(answer.body, Succeeded), answer
        assert answer.body.result is not None
        assert answer.body.result.verdict is Verdict.CONVERGED
        assert (tmp_path / "root" / "made").read_text() == "by worker-1\n"
        kinds = [type(fact.body) for fact in mesh.facts if not isinstance(fact.body, RunChunk)]
        assert kinds == [Accepted, Started, Succeeded]
        wing.terminate()
        assert await wing.wait() == 0


async def test_facts_are_one_chain_without_a_hole(tmp_path: Path) -> None:
    """Numbers count from 1, and each fact carries the hash of the one before, up to the signed head."""
    async with site(tmp_path) as mesh, mesh.wing():
        await mesh.until_born()
        await mesh.send(mesh.bundle(WRITES))
        await mesh.until_told(Succeeded)
        heartbeat = await mesh.until_heartbeat()
        assert [fact.seq for fact in mesh.facts] == list(range(1, len(mesh.facts) + 1))
        assert mesh.facts[0].prev == CHAIN_START
        assert heartbeat.standing.head_seq == len(mesh.facts)
        assert [(span.first, span.last) for span in heartbeat.standing.backlog] == [(1, len(mesh.facts))]
        await mesh.send(Ack(boot=heartbeat.standing.boot, seq=len(mesh.facts)))
        assert (await mesh.until_heartbeat()).standing.backlog == ()


async def test_a_wing_killed_in_its_run_says_so_on_return(tmp_path: Path) -> None:
    """SIGKILL: its will is published; the next boot ends what was left, then answers `interrupted`."""
    async with site(tmp_path) as mesh:
        async with mesh.wing() as wing:
            await mesh.until_born()
            command = await mesh.send(mesh.bundle(SLEEPS))
            await mesh.until(_is_at_work)
            wing.kill()
            await mesh.until(lambda message: isinstance(message, Presence) and isinstance(message.body, Lost))
        async with mesh.wing():
            birth = await mesh.until_born()
            (told,) = [span for span in birth.standing.backlog if span.boot == mesh.boot]
            await mesh.send(Replay(boot=told.boot, first=told.first))
            answer = await mesh.until_told(Interrupted, Succeeded, Failed)
            assert isinstance(answer.body, Interrupted)
            assert answer.body.command == command.id
            assert "sleep" in answer.body.reason
            assert answer.boot == mesh.boot
            assert (await mesh.until_heartbeat()).standing.observed is not None


async def test_sigterm_ends_the_run_in_order(tmp_path: Path) -> None:
    """SIGTERM: the run is ended and answered `interrupted`, `offline` is said, and the exit code is 0."""
    async with site(tmp_path) as mesh, mesh.wing() as wing:
        await mesh.until_born()
        await mesh.send(mesh.bundle(SLEEPS))
        await mesh.until(_is_at_work)
        wing.send_signal(signal.SIGTERM)
        assert isinstance((await mesh.until_told(Interrupted, Succeeded, Failed)).body, Interrupted)
        await mesh.until(lambda message: isinstance(message, Presence) and isinstance(message.body, Offline))
        assert await wing.wait() == 0


async def test_a_failing_resource_is_named(tmp_path: Path) -> None:
    """What fails is never converged; the reason names resource, file and line."""
    async with site(tmp_path) as mesh, mesh.wing():
        await mesh.until_born()
        await mesh.send(mesh.bundle(FAILS))
        answer = await mesh.until_told(Succeeded, Failed)
        assert isinstance(answer.body, Failed)
        assert "Exec[/bin/false]" in answer.body.reason
        assert "site.pp:1" in answer.body.reason


@pytest.mark.parametrize("case", ["other boot", "bad signature", "stale epoch"])
async def test_what_must_not_run_is_refused_with_its_reason(tmp_path: Path, case: str) -> None:
    """A command for another boot, altered, or of an older epoch: nothing runs, and the reason is told."""
    async with site(tmp_path) as mesh, mesh.wing():
        await mesh.until_born()
        order = mesh.bundle(WRITES)
        await _send_wrong(mesh, case, order)
        refused = await mesh.until_told(Rejected, Accepted)
        assert isinstance(refused.body, Rejected)
        assert refused.body.reason is RejectReason(case)
        assert not (tmp_path / "root" / "made").exists()


@pytest.mark.parametrize("cloned", [False, True], ids=["another host", "a clone"])
async def test_two_hosts_with_one_identity_run_nothing(tmp_path: Path, cloned: bool) -> None:  # noqa: FBT001
    """Each meets the other's birth at the broker: it says so, and refuses to change its host."""
    async with site(tmp_path) as mesh:
        async with mesh.wing():
            await mesh.until_born()
        other = mesh.second_host(cloned=cloned)
        async with mesh.wing(), mesh.wing(other):
            boots = {(await mesh.until_born()).standing.boot, (await mesh.until_born()).standing.boot}
            assert len(boots) == 2
            trouble = await mesh.until_told(Trouble)
            assert isinstance(trouble.body, Trouble)
            assert trouble.body.what == "identity conflict"
            order = mesh.bundle(WRITES)
            refusals: set[RejectReason] = set()
            while RejectReason.IDENTITY_CONFLICT not in refusals:
                for boot in boots:
                    await mesh.send(order, boot=boot)
                refused = await mesh.until_told(Rejected, Started)
                assert isinstance(refused.body, Rejected)
                refusals.add(refused.body.reason)
            assert not (tmp_path / "root" / "made").exists()


async def test_at_rest_it_is_small(tmp_path: Path) -> None:
    """An idle wing that has run once has at most 45 MB resident, started as its unit starts it.

    The second start is measured: the first one compiles, which leaves a heap with holes.
    """
    compiled = {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    compiled |= {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}  # what measures is not weighed
    async with site(tmp_path) as mesh:
        async with mesh.wing(**compiled):
            await mesh.until_born()
        async with mesh.wing(**compiled) as wing:
            await mesh.until_born()
            await mesh.send(mesh.bundle(WRITES))
            await mesh.until_told(Succeeded)
            await mesh.until_heartbeat()
            assert resident_kb(wing.pid) <= MOST_RESIDENT_KB


def resident_kb(pid: int) -> int:
    """Return how much memory a process has resident, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def _is_at_work(message: Message) -> bool:
    match message:
        case Live(body=Progress(resource=resource)):
            return "Exec[" in resource
        case _:
            return False


async def _send_wrong(mesh: Site, case: str, order: Converge) -> None:
    if case == "other boot":
        await mesh.send(order, boot=Boot("7-01234567"))
    elif case == "stale epoch":
        await mesh.send(Report(), epoch=5)
        await mesh.send(order, epoch=4)
    else:
        command = mesh.command(order)
        await mesh.resend(command, tampered=True)
