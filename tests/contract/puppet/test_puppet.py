"""What holds for whatever carries out an order, recorded or real: the loop of a run leans on it."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from broker.ids import ClusterName, InstanceId, Role, RunId
from broker.messages import Level, LogLine
from puppet_bridge.command import PuppetSettings
from puppet_bridge.execution import Ending, Execution, Identity, Order, ProcessIdentity, Puppet
from puppet_bridge.runner import LocalPuppet
from tests.contract.puppet import sites
from tests.contract.puppet.recorded import Notes, RecordedPuppet
from tests.unit.puppet_bridge.executions import CHANGED, FAILED, MOTD, UNCHANGED, exited, reported

RECORDED = {
    sites.SETTLES: [CHANGED, UNCHANGED],
    sites.FAILS: [FAILED],
    sites.SYNTAX_ERROR: [exited(1, reported(completed=False))],
}


@dataclass
class Case:
    """A Puppet, and a bundle for it to apply."""

    puppet: Puppet
    bundle: Path
    notes: Notes = field(default_factory=Notes)

    async def execute(self, *, number: int = 1, noop: bool = False) -> Execution:
        order = Order(
            run=RunId("018f0000-0000-7000-8000-000000000001"),
            number=number,
            bundle=self.bundle,
            noop=noop,
            timeout_s=600,
        )
        return await self.puppet.execute(order, self.notes, asyncio.Event())


Made = Callable[[str], Case]


@pytest.fixture(params=["recorded", "real"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Make a case of a manifest."""
    real = request.param == "real"
    if real and shutil.which("puppet") is None:
        pytest.skip("puppet is not on PATH")

    def make(manifest: str) -> Case:
        bundle = sites.write(tmp_path / "bundle", manifest)
        puppet = _real(tmp_path) if real else RecordedPuppet(RECORDED[manifest])
        return Case(puppet=puppet, bundle=bundle)

    return make


def _real(place: Path) -> LocalPuppet:
    (place / "root").mkdir()
    identity = Identity(
        instance=InstanceId("worker-1"),
        role=Role("worker"),
        pool="",
        cluster=ClusterName("dev"),
        labels={"zone": "a"},
        root=str(place / "root"),
    )
    return LocalPuppet(PuppetSettings(state=place / "state", lock=place / "state" / "lock"), identity)


async def test_what_settles_changes_once(made: Made) -> None:
    """The first apply exits with 2 and reports its changes, the second with 0 and reports none."""
    case = made(sites.SETTLES)
    first = await case.execute()
    second = await case.execute(number=2)
    assert [(each.ending, each.exit_code) for each in (first, second)] == [
        (Ending.EXITED, 2),
        (Ending.EXITED, 0),
    ]
    assert first.report is not None
    assert second.report is not None
    assert (first.report.changed, len(first.report.changes)) == (1, 1)
    assert (second.report.changed, second.report.changes, second.report.failed) == (0, (), 0)


async def test_a_failure_is_in_the_report(made: Made) -> None:
    """A failing resource exits with 4 or 6, and the report names it with its place."""
    execution = await made(sites.FAILS).execute()
    assert execution.exit_code in {4, 6}
    assert execution.report is not None
    (failure,) = execution.report.failures
    assert failure.resource.startswith("Exec[")
    assert failure.file is not None
    assert failure.line is not None


async def test_what_does_not_compile_has_no_complete_report(made: Made) -> None:
    """A catalog that can't be compiled exits with 1, and nothing claims to be a whole report."""
    execution = await made(sites.SYNTAX_ERROR).execute()
    assert (execution.ending, execution.exit_code) == (Ending.EXITED, 1)
    assert execution.report is None or not execution.report.completed


async def test_the_process_is_told_before_anything_else(made: Made) -> None:
    """Whoever has to end it after a crash knows it before Puppet runs; lines and progress follow."""
    case = made(sites.SETTLES)
    told: list[str] = []
    watcher = _Order(case.notes, told)
    order = Order(
        run=RunId("018f0000-0000-7000-8000-000000000001"),
        number=1,
        bundle=case.bundle,
        noop=False,
        timeout_s=600,
    )
    await case.puppet.execute(order, watcher, asyncio.Event())
    assert told[0] == "process"
    assert {"line", "progress"} <= set(told)
    assert all(execution == 1 and 1 <= done <= total for execution, done, total, _ in case.notes.steps)
    assert all(isinstance(line.level, Level) and line.at.tzinfo is not None for line in case.notes.lines)


class _Order(Notes):
    """Notes that also remember what came first."""

    def __init__(self, notes: Notes, told: list[str]) -> None:
        super().__init__()
        self.steps = notes.steps
        self.lines = notes.lines
        self._told = told

    async def process_started(self, process: ProcessIdentity) -> None:
        self._told.append("process")
        await super().process_started(process)

    def said(self, line: LogLine) -> None:
        self._told.append("line")
        super().said(line)

    def progressed(self, execution: int, done: int, total: int, resource: str) -> None:
        self._told.append("progress")
        super().progressed(execution, done, total, resource)


async def test_a_noop_is_reported_as_one(made: Made) -> None:
    """Its report says noop and what would change, and its exit code says nothing."""
    case = made(sites.SETTLES)
    if isinstance(case.puppet, RecordedPuppet):
        case.puppet = RecordedPuppet([replace(exited(0, reported(MOTD, noop=True)), noop=True)])
    execution = await case.execute(noop=True)
    assert execution.noop
    assert execution.report is not None
    assert execution.report.noop
    assert len(execution.report.changes) == 1
