"""The loop of a run, over a Puppet that does what it is told to."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.ids import Digest, RunId
from broker.messages import RunOutcome, Verdict
from puppet_bridge import account, runlog
from puppet_bridge.converge import ConvergeReport, ConvergeRequest, converge, utc_now
from puppet_bridge.errors import BridgeError, LockError, ReportError
from puppet_bridge.execution import Ending, Execution
from puppet_bridge.runlog import RunLog
from tests.contract.puppet.recorded import LINE, Notes, RecordedPuppet
from tests.unit.puppet_bridge.executions import (
    CHANGED,
    EXEC,
    FAILED,
    MOTD,
    SCOPE,
    UNCHANGED,
    exited,
    reported,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = ConvergeRequest(
    run=RunId("018f0000-0000-7000-8000-000000000001"),
    digest=Digest("sha256:" + "0" * 64),
    bundle=Path("/bundle"),
    scope=SCOPE,
)


class World:
    """A Puppet with a script, a clock, and pauses that take no time."""

    def __init__(self, *script: Execution | BridgeError) -> None:
        self.puppet = RecordedPuppet(script)
        self.notes = Notes()
        self.cancel = asyncio.Event()
        self.pauses: list[float] = []
        self.now = START

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    async def wait(self, cancel: asyncio.Event, seconds: float) -> bool:
        self.pauses.append(seconds)
        return cancel.is_set()

    async def run(self, request: ConvergeRequest = REQUEST) -> ConvergeReport:
        return await converge(
            request,
            self.notes,
            puppet=self.puppet,
            cancel=self.cancel,
            clock=self.clock,
            wait=self.wait,
        )


async def test_converges() -> None:
    """A change that is confirmed by a second execution converges, and is counted and told."""
    world = World(CHANGED, UNCHANGED)
    report = await world.run()
    assert (report.result.verdict, report.result.outcome) == (Verdict.CONVERGED, RunOutcome.CHANGED)
    assert (report.result.changed, report.result.total, report.result.exit_codes) == (1, 10, (2, 0))
    assert report.result.finished_at > report.result.started_at > START
    assert report.changes == (MOTD,)
    assert not report.cancelled
    assert [order.number for order in world.puppet.orders] == [1, 2]
    assert world.notes.steps == [(1, 1, 2, "File[/x]"), (2, 1, 2, "File[/x]")]
    assert len(world.notes.processes) == len(world.notes.waited) == 2


async def test_pauses_after_failures() -> None:
    """Between failing attempts a run waits, 2 s and then 5 s."""
    world = World(FAILED, FAILED, FAILED)
    report = await world.run()
    assert world.pauses == [2.0, 5.0]
    assert (report.result.verdict, report.result.failed) == (Verdict.FAILED, 1)


async def test_cancelled_in_a_pause() -> None:
    """A cancel during a pause ends the run, without another execution."""
    world = World(FAILED)
    world.cancel.set()
    world.puppet = RecordedPuppet([])
    report = await world.run()
    assert (report.cancelled, report.result.outcome) == (True, RunOutcome.NOT_RUN)
    assert report.result.verdict is Verdict.FAILED


async def test_cancelled_under_way() -> None:
    """A cancelled execution is a cancelled run."""
    world = World(replace(exited(-15), ending=Ending.CANCELLED))
    world.puppet.on_start = world.cancel.set
    report = await world.run()
    assert report.cancelled
    assert report.result.reason.startswith("cancelled; it had not begun")


async def test_cannot_begin() -> None:
    """A lock that can't be taken is a failed run that says why, not an exception."""
    report = await World(LockError(path="/l", reason="no")).run()
    assert report.result.outcome is RunOutcome.NOT_RUN
    assert report.result.verdict is Verdict.FAILED
    assert report.result.reason == "Puppet's lock /l: no"
    assert report.result.diff_hash is None


async def test_noop() -> None:
    """A noop counts and tells what would change, and proves nothing."""
    world = World(exited(0, reported(MOTD, EXEC, noop=True)))
    report = await world.run(replace(REQUEST, noop=True, approved="0" * 64))
    assert (report.result.verdict, report.result.changed) == (None, 2)
    assert report.result.diff_hash is not None
    assert [order.noop for order in world.puppet.orders] == [True]


async def test_account_travels() -> None:
    """The attachment `report` holds every execution; its changes come back as they were."""
    told = account.decode((await World(CHANGED, UNCHANGED).run()).report)
    assert told.changes(noop=False) == (MOTD,)
    assert [execution.exit_code for execution in told.executions] == [2, 0]
    assert told.left_out == 0


def test_account_is_bounded() -> None:
    """What doesn't fit loses its diff, then goes, and is counted."""
    large = tuple(replace(MOTD, resource=f"File[/{n}]", diff="x" * 1000) for n in range(10))
    told = account.decode(account.encode([exited(2, reported(*large))], limit=5000))
    assert told.left_out > 0
    assert len(told.changes(noop=False)) < 10 or told.changes(noop=False)[-1].diff is None
    assert len(told.changes(noop=False)) > 4


def damaged() -> Sequence[bytes]:
    whole = account.encode([UNCHANGED])
    return (b"", b"noise", whole[:-3])


@pytest.mark.parametrize("content", damaged())
def test_damaged_attachments(content: bytes) -> None:
    """A damaged attachment is a ReportError."""
    with pytest.raises(ReportError):
        account.decode(content)
    with pytest.raises(ReportError):
        list(runlog.read(content))


async def test_log_is_complete() -> None:
    """The attachment `log` holds each line with the execution that said it."""
    lines = [json.loads(line) for line in runlog.read((await World(CHANGED, UNCHANGED).run()).log)]
    assert [(line["execution"], line["message"]) for line in lines] == [(1, "hi"), (2, "hi")]


def test_log_is_bounded() -> None:
    """Past its bound a log says how many lines are missing."""
    log = RunLog(max_plain=500)
    for _ in range(100):
        log.add(1, LINE)
    *_, last = runlog.read(log.finish())
    assert json.loads(last)["missing"] > 90


def test_time_is_utc() -> None:
    """A run's times are aware."""
    assert utc_now().tzinfo is UTC
