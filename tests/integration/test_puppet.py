"""Real Puppet: every way in which a run can end, each told by file and line or by resource."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from broker.ids import ClusterName, Digest, InstanceId, Role, RunId
from broker.messages import RunOutcome, Verdict
from puppet_bridge import lock
from puppet_bridge.command import PuppetSettings
from puppet_bridge.converge import ConvergeReport, ConvergeRequest, converge
from puppet_bridge.diff import Scope
from puppet_bridge.errors import HostModuleError, PuppetMissingError
from puppet_bridge.execution import Identity
from puppet_bridge.host import host_lock, host_modules
from puppet_bridge.processes import is_alive, look
from puppet_bridge.runner import LocalPuppet
from tests.contract.puppet import sites
from tests.contract.puppet.recorded import Notes

pytestmark = pytest.mark.skipif(shutil.which("puppet") is None, reason="needs puppet on PATH")
WORKER = InstanceId("worker-1")


class Host:
    """One instance below a directory of its own."""

    def __init__(self, place: Path) -> None:
        self.root = place / "root"
        self.root.mkdir()
        self.lock = place / "state" / "lock"
        self.place = place
        self.notes = Notes()
        self.cancel = asyncio.Event()
        self.puppet = LocalPuppet(
            PuppetSettings(state=place / "state", lock=self.lock),
            Identity(
                instance=WORKER,
                role=Role("worker"),
                pool="big",
                cluster=ClusterName("dev"),
                labels={"zone": "a"},
                root=str(self.root),
            ),
        )

    def request(self, manifest: str) -> ConvergeRequest:
        return ConvergeRequest(
            run=RunId("018f0000-0000-7000-8000-000000000001"),
            digest=Digest("sha256:" + "0" * 64),
            bundle=sites.write(self.place / "bundle", manifest),
            scope=Scope(instance=WORKER, root=str(self.root)),
        )

    async def run(self, request: ConvergeRequest) -> ConvergeReport:
        report = await converge(request, self.notes, puppet=self.puppet, cancel=self.cancel)
        assert not self.lock.exists()
        assert not any(is_alive(process) for process in self.notes.processes)
        return report


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host whose instance has never run."""
    return Host(tmp_path)


async def test_noop_then_converge(host: Host) -> None:
    """A noop tells the change that the converge then makes, by the same hash, and changes nothing."""
    request = host.request(sites.SETTLES)
    planned = await host.run(replace(request, noop=True))
    assert (planned.result.outcome, planned.result.verdict) == (RunOutcome.CHANGED, None)
    assert list(host.root.iterdir()) == []
    done = await host.run(replace(request, confirm=False, approved=planned.result.diff_hash))
    assert (done.result.verdict, done.result.reason) == (Verdict.APPLIED, "")
    assert (host.root / "motd").read_text() == "hello worker a\n"
    assert done.result.diff_hash == planned.result.diff_hash


async def test_diff_of_a_file(host: Host) -> None:
    """A changed file has its diff, its place in the manifest, and converges at the second apply."""
    (host.root / "motd").write_text("old\n")
    report = await host.run(host.request(sites.SETTLES))
    assert (report.result.verdict, report.result.exit_codes) == (Verdict.CONVERGED, (2, 0))
    [change] = report.changes
    assert change.diff is not None
    assert change.diff.endswith("@@ -1 +1 @@\n-old\n+hello worker a\n")
    assert (change.file, change.line, change.property) == ("manifests/site.pp", 3, "content")
    assert [done for _, done, total, _ in host.notes.steps if done == total]


async def test_syntax_error(host: Host) -> None:
    """A bundle that doesn't compile fails at once with the compiler's words, file and line."""
    result = (await host.run(host.request(sites.SYNTAX_ERROR))).result
    assert (result.outcome, result.verdict) == (RunOutcome.NOT_RUN, Verdict.FAILED)
    assert (result.reason, result.exit_codes) == ("manifests/site.pp:2: Syntax error at '=>'", (1,))


async def test_failing_resource(host: Host) -> None:
    """A failing resource fails the run, named with file and line; what depends on it is skipped."""
    result = (await host.run(replace(host.request(sites.FAILS), attempts=1))).result
    assert (result.verdict, result.failed, result.skipped) == (Verdict.FAILED, 1, 1)
    assert result.reason.startswith("Exec[/bin/false] (manifests/site.pp:1): change from 'notrun'")


async def test_never_settles(host: Host) -> None:
    """A resource that changes at every apply fails the run, named."""
    result = (await host.run(replace(host.request(sites.NEVER_SETTLES), attempts=2))).result
    assert (result.verdict, result.exit_codes) == (Verdict.FAILED, (2, 2))
    assert result.reason.startswith("never settles: Exec[again] (manifests/site.pp:1) still changed")


async def test_hang(host: Host) -> None:
    """A run that hangs is ended with all its processes, and names where it stood."""
    result = (await host.run(replace(host.request(sites.HANGS), timeout_s=20))).result
    assert (result.outcome, result.verdict) == (RunOutcome.TIMEOUT, Verdict.FAILED)
    assert "it was at Exec[hang]" in result.reason
    ended = result.reason.partition("ended: ")[2]
    assert "sleep (" in ended
    assert look(int(ended.partition("sleep (")[2].partition(")")[0])) is None


async def test_cancel(host: Host) -> None:
    """A cancel ends Puppet and what it started, and the run is told as cancelled."""
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(host.run(host.request(sites.HANGS)), name="run")
        await host.notes.at_resource.wait()
        host.cancel.set()
    report = run.result()
    assert report.cancelled
    assert report.result.reason.startswith("cancelled; it was at Exec[hang]; ended: ")


async def test_asyncio_cancellation_ends_all(host: Host) -> None:
    """A task that is cancelled leaves neither process nor lock."""
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(host.run(host.request(sites.HANGS)), name="run")
        await host.notes.at_resource.wait()
        run.cancel()
    assert not any(is_alive(process) for process in host.notes.processes)
    assert not host.lock.exists()


async def test_waits_for_the_lock(host: Host) -> None:
    """A run waits for the Puppet that holds the lock, names it, and a cancel ends the waiting."""
    gate = host.place / "puppet"
    gate.symlink_to("/bin/sh")
    other = await asyncio.create_subprocess_exec(
        "sh", "-c", "read -r _", executable=gate, stdin=asyncio.subprocess.PIPE
    )
    host.lock.parent.mkdir()
    assert lock.acquire(host.lock, other.pid) is None
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(
            converge(host.request(sites.SETTLES), host.notes, puppet=host.puppet, cancel=host.cancel),
            name="run",
        )
        await host.notes.waiting.wait()
        host.cancel.set()
    assert f"is held by process {other.pid}" in host.notes.waited[0]
    assert (run.result().cancelled, run.result().result.outcome) == (True, RunOutcome.NOT_RUN)
    assert not any(is_alive(process) for process in host.notes.processes)
    other.kill()
    await other.wait()


async def test_no_puppet(tmp_path: Path) -> None:
    """A host without Puppet is told so, with what to do."""
    host = Host(tmp_path)
    settings = PuppetSettings(state=tmp_path / "state", executable="puppet-none", lock=host.lock)
    host.puppet = LocalPuppet(settings, host.puppet._instance)
    result = (await host.run(host.request(sites.SETTLES))).result
    assert result.outcome is RunOutcome.NOT_RUN
    assert result.reason.startswith("puppet-none: not found in ")


async def test_asks_puppet_for_its_lock() -> None:
    """Without a configured lock it is the one that the host's agent takes."""
    path = await host_lock("/usr/bin/puppet")
    assert path.name == "agent_catalog_run.lock"
    with pytest.raises(PuppetMissingError, match="does not say where its lock is"):
        await host_lock("/bin/false")


def test_host_modules(tmp_path: Path) -> None:
    """The host's modules are seen only by a bundle that declares them; a missing one is named."""
    bundle = sites.write(tmp_path / "bundle", "")
    modules = tmp_path / "modules"
    (modules / "stdlib").mkdir(parents=True)
    assert host_modules(bundle, [modules]) == ()
    (bundle / "tarmak.yaml").write_text("host_modules: [stdlib]\n")
    assert host_modules(bundle, [modules, tmp_path / "none"]) == (modules,)
    (bundle / "tarmak.yaml").write_text("host_modules: [stdlib, concat]\n")
    with pytest.raises(HostModuleError, match="modules concat, not found in"):
        host_modules(bundle, [modules])
