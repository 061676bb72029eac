"""A wing's papers are read with the bridge's own bounded readers, in a thread, since they may be large."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from broker.ids import InstanceId
from orchestrator.domain.views import ChangeView
from orchestrator.ports import PapersError
from puppet_bridge import account, runlog
from puppet_bridge.diff import Scope, normalise
from puppet_bridge.errors import ReportError
from puppet_bridge.report import Change


class BridgePapers:
    """The `PaperReader` of production."""

    async def changes(
        self, report: bytes, *, noop: bool, instance: InstanceId
    ) -> tuple[tuple[ChangeView, ...], int]:
        """Return the changes in a report, and how many were left out of it."""
        try:
            read = await asyncio.to_thread(account.decode, report)
        except ReportError as error:
            raise PapersError(name="report", reason=str(error)) from error
        left_out = read.left_out + sum(
            item.report.left_out for item in read.executions if item.report is not None and item.noop is noop
        )
        scope = Scope(instance=instance, root=read.root)
        found = read.changes(noop=noop)
        return tuple(_view(normalise(change, scope) if noop else change) for change in found), left_out

    async def log_lines(self, log: bytes) -> Sequence[Mapping[str, object]]:
        """Return the lines of a log."""
        try:
            return await asyncio.to_thread(_lines, log)
        except (ReportError, msgspec.DecodeError) as error:
            raise PapersError(name="log", reason=str(error)) from error


def _lines(log: bytes) -> list[Mapping[str, Any]]:
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in runlog.read(log)]


def _view(change: Change) -> ChangeView:
    return ChangeView(
        resource=change.resource,
        property=change.property or "",
        before=change.before or "",
        after=change.after or "",
        diff=change.diff,
        file=change.file,
        line=change.line,
    )
