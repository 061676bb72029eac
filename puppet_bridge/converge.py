"""One run, from the first apply to its proof: executions, pauses and the account of it all.

Every decision is `outcome.next_step`'s; this loop only carries out. It never says more than was proven, and
it always returns an account: of a run that was cancelled or that could not begin as well.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from broker.ids import Digest, RunId
from broker.messages import LogLine, RunOutcome, RunResult, Verdict
from puppet_bridge import account
from puppet_bridge.diff import Scope, diff_hash
from puppet_bridge.errors import BridgeError
from puppet_bridge.execution import Execution, Order, ProcessIdentity, Puppet, Watcher
from puppet_bridge.lock import cancelled_within
from puppet_bridge.outcome import Apply, Done, Policy, has_changed, next_step
from puppet_bridge.report import Change
from puppet_bridge.runlog import RunLog

Clock = Callable[[], datetime]
Wait = Callable[[asyncio.Event, float], Awaitable[bool]]
"""Waits so many seconds or until the event is set, and returns whether it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvergeRequest:
    """A run that is asked for; `bundle` is the unpacked bundle of `digest`, `approved` the diff's hash."""

    run: RunId
    digest: Digest
    bundle: Path
    scope: Scope
    noop: bool = False
    approved: str | None = None
    timeout_s: int = 1800
    attempts: int = 3
    confirm: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvergeReport:
    """How a run ended: its result without attachments, and the two attachments' bytes."""

    result: RunResult
    cancelled: bool
    log: bytes
    report: bytes
    changes: tuple[Change, ...]
    executions: tuple[Execution, ...]


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


async def converge(
    request: ConvergeRequest,
    watcher: Watcher,
    *,
    puppet: Puppet,
    cancel: asyncio.Event,
    clock: Clock = utc_now,
    wait: Wait = cancelled_within,
) -> ConvergeReport:
    """Carry the run out and return its account; a set `cancel` ends it early, with all its processes.

    Raises nothing of Puppet's: a Puppet that is missing or a lock that can't be taken is a failed run.
    """
    run = _Run(request, watcher, started_at=clock())
    while isinstance(step := run.next_step(), Apply):
        if await wait(cancel, step.after_s) if step.after_s else cancel.is_set():
            step = Done(outcome=run.outcome_so_far(), verdict=run.no_verdict(), reason="cancelled")
            break
        try:
            run.add(await puppet.execute(run.order(step), run, cancel))
        except BridgeError as error:
            step = Done(outcome=RunOutcome.NOT_RUN, verdict=run.no_verdict(), reason=str(error))
            break
    return run.account(step, finished_at=clock(), cancelled=cancel.is_set())


class _Run:
    """A run under way; the watcher of its executions, for whom it also keeps the log."""

    def __init__(self, request: ConvergeRequest, watcher: Watcher, *, started_at: datetime) -> None:
        self._request = request
        self._watcher = watcher
        self._started_at = started_at
        self._history: tuple[Execution, ...] = ()
        self._log = RunLog()

    async def process_started(self, process: ProcessIdentity) -> None:
        await self._watcher.process_started(process)

    def waits(self, reason: str) -> None:
        self._watcher.waits(reason)

    def said(self, line: LogLine) -> None:
        self._log.add(len(self._history) + 1, line)
        self._watcher.said(line)

    def progressed(self, execution: int, done: int, total: int, resource: str) -> None:
        self._watcher.progressed(execution, done, total, resource)

    def next_step(self) -> Apply | Done:
        asked = self._request
        policy = Policy(
            noop=asked.noop,
            confirm=asked.confirm,
            attempts=asked.attempts,
            timeout_s=asked.timeout_s,
            scope=asked.scope,
            approved=None if asked.noop else asked.approved,
        )
        return next_step(policy, self._history)

    def order(self, step: Apply) -> Order:
        return Order(
            run=self._request.run,
            number=len(self._history) + 1,
            bundle=self._request.bundle,
            noop=step.noop,
            timeout_s=step.timeout_s,
        )

    def add(self, execution: Execution) -> None:
        self._history += (execution,)

    def no_verdict(self) -> Verdict | None:
        return None if self._request.noop else Verdict.FAILED

    def outcome_so_far(self) -> RunOutcome:
        """Return the outcome of a run that was broken off between two executions."""
        return RunOutcome.FAILED if self._history else RunOutcome.NOT_RUN

    def account(self, done: Done, *, finished_at: datetime, cancelled: bool) -> ConvergeReport:
        changes = self._changes()
        return ConvergeReport(
            result=replace(self._counted(done), finished_at=finished_at, diff_hash=self._diff_hash(changes)),
            cancelled=cancelled and done.verdict in (None, Verdict.FAILED),
            log=self._log.finish(),
            report=account.encode(self._history, root=self._request.scope.root),
            changes=changes,
            executions=self._history,
        )

    def _counted(self, done: Done) -> RunResult:
        last = self._history[-1].report if self._history else None
        return RunResult(
            run=self._request.run,
            digest=self._request.digest,
            noop=self._request.noop,
            outcome=done.outcome,
            verdict=done.verdict,
            reason=done.reason,
            changed=self._changed(),
            failed=0 if last is None else last.failed,
            skipped=0 if last is None else last.skipped_count,
            total=0 if last is None else last.total,
            exit_codes=tuple(one.exit_code for one in self._history if one.exit_code is not None),
            started_at=self._started_at,
            finished_at=self._started_at,
        )

    def _changed(self) -> int:
        """Return how many resources were changed over all executions, in a noop how many would be."""
        if self._request.noop:
            return len({change.resource for change in self._changes()})
        reports = [one.report for one in self._history if has_changed(one)]
        return sum(report.changed for report in reports if report is not None)

    def _changes(self) -> tuple[Change, ...]:
        noop = self._request.noop
        reports = (one.report for one in self._history if one.noop is noop)
        return tuple(change for report in reports if report is not None for change in report.changes)

    def _diff_hash(self, changes: tuple[Change, ...]) -> str | None:
        if all(one.report is None for one in self._history):
            return None
        return diff_hash(changes, self._request.scope)
