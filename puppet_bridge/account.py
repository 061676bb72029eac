"""The attachment `report` of a run: what its executions did, in version 1 of a form that only grows.

zlib-compressed MessagePack of `Account`: a map with `version`, `executions` (a list of maps with `noop`,
`ending`, `exit_code`, `took_s`, `report`), `left_out` and `root`. Changes are bounded
together: one that doesn't fit loses its diff, or goes as a whole, and `left_out` counts both.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from puppet_bridge.errors import ReportError
from puppet_bridge.execution import Execution
from puppet_bridge.report import Change, Failure, RunReport

VERSION: Final = 1
MAX_CHANGES: Final = 8 * 1024 * 1024
MAX_PLAIN: Final = 2 * MAX_CHANGES


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionAccount:
    """One execution; `report` is None where Puppet left none."""

    noop: bool
    ending: str
    exit_code: int | None
    took_s: float
    report: RunReport | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """All executions of a run, oldest first; `root` is the directory that the instance manages."""

    version: int = VERSION
    executions: tuple[ExecutionAccount, ...]
    left_out: int = 0
    root: str = "/"

    def changes(self, *, noop: bool) -> tuple[Change, ...]:
        """Return the changes of all executions that were noop, or of all that were not."""
        reports = (execution.report for execution in self.executions if execution.noop is noop)
        return tuple(change for report in reports if report is not None for change in report.changes)


DECODER: Final = msgspec.msgpack.Decoder(Account)


def encode(history: Sequence[Execution], *, root: str = "/", limit: int = MAX_CHANGES) -> bytes:
    """Return the account of `history`; its changes and failures have at most `limit` bytes together."""
    budget = _Budget(limit)
    executions = tuple(_of(execution, budget) for execution in history)
    account = Account(executions=executions, left_out=budget.left_out, root=root)
    return zlib.compress(msgspec.msgpack.encode(account))


def decode(content: bytes) -> Account:
    """Return the account in `content`; raises ReportError, never takes more than the bound of memory."""
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(content, MAX_PLAIN)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise ReportError(reason="the account is cut short, or longer than it may be")
        account = DECODER.decode(plain)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ReportError(reason=f"the account is of no known form: {error}") from error
    if account.version != VERSION:
        raise ReportError(reason=f"the account is of version {account.version}, known is {VERSION}")
    return account


class _Budget:
    """How many bytes may still be told."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self.left_out = 0

    def failures(self, failures: Iterable[Failure]) -> Iterator[Failure]:
        for failure in failures:
            if self._pays(failure):
                yield failure

    def changes(self, changes: Iterable[Change]) -> Iterator[Change]:
        for change in changes:
            if self._pays(change):
                yield change
                continue
            self.left_out += 1
            bare = replace(change, diff=None)
            if change.diff is not None and self._pays(bare):
                yield bare

    def _pays(self, item: Change | Failure) -> bool:
        price = len(msgspec.msgpack.encode(item))
        if price > self._left:
            return False
        self._left -= price
        return True


def _of(execution: Execution, budget: _Budget) -> ExecutionAccount:
    report = execution.report
    if report is not None:
        report = replace(
            report,
            failures=tuple(budget.failures(report.failures)),
            changes=tuple(budget.changes(report.changes)),
        )
    return ExecutionAccount(
        noop=execution.noop,
        ending=execution.ending.value,
        exit_code=execution.exit_code,
        took_s=round(execution.took_s, 3),
        report=report,
    )
