"""A run's log and report come in parts, before its final answer, which alone vouches for them.

Once the answer is written the parts are put together, checked against the digest that the wing signed, read
within bounds, and kept. It is done again at start for runs where that was cut off.
"""

import asyncio
import hashlib

import structlog

from broker.messages import Attachment
from orchestrator.domain.model import Papers, Run
from orchestrator.domain.views import ChangeView
from orchestrator.operations import RefusedError
from orchestrator.ports import PaperReader, PapersError, RunArchive
from orchestrator.service.core import Core
from orchestrator.service.state import ClusterState, Work

log = structlog.get_logger(__name__)


class PaperDesk:
    """Works through the runs whose papers are due, one after the other."""

    def __init__(self, core: Core, archive: RunArchive, reader: PaperReader, due: tuple[Run, ...]) -> None:
        self._core = core
        self._archive = archive
        self._reader = reader
        self._due: asyncio.Queue[Run] = asyncio.Queue()
        core.on_written(self._written)
        for run in due:
            self._due.put_nowait(run)

    async def run(self) -> None:
        """Work until cancelled, or until the core has stopped: then the next one to lead files the rest."""
        while True:
            run = await self._due.get()
            try:
                await self.file(run)
            except RefusedError as error:
                log.info("papers left to the next start", run=run.id, reason=error.detail)
                return

    async def file(self, run: Run) -> None:
        """Put a run's papers together, and keep them."""
        papers = await self._read(run)
        if papers.reason:
            log.warning("papers not readable", run=run.id, instance=run.instance, reason=papers.reason)

        def act(state: ClusterState, work: Work) -> None:
            state.keep_papers(work, run, papers, at=self._core.clock.now())

        await self._core.call(act)

    async def _read(self, run: Run) -> Papers:
        if run.result is None:
            return Papers(run=run.id, reason="the run has no result")
        try:
            parts = {item.name: await self._part(run, item) for item in run.result.attachments}
            changes, left_out = await self._changes(run, parts.get("report"))
        except PapersError as error:
            return Papers(run=run.id, reason=str(error))
        return Papers(run=run.id, changes=changes, left_out=left_out, log=parts.get("log"))

    async def _changes(self, run: Run, report: bytes | None) -> tuple[tuple[ChangeView, ...], int]:
        if report is None:
            return (), 0
        return await self._reader.changes(report, noop=run.noop, instance=run.instance)

    async def _part(self, run: Run, attachment: Attachment) -> bytes:
        chunks = await self._archive.chunks(run.id, attachment.name)
        content = b"".join(content for _, content in chunks)
        if len(chunks) != attachment.chunks or len(content) != attachment.size:
            reason = f"{len(chunks)} of {attachment.chunks} parts have come"
            raise PapersError(name=attachment.name, reason=reason)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != attachment.digest:
            raise PapersError(name=attachment.name, reason="its content is not what the wing signed for")
        return content

    def _written(self, work: Work) -> None:
        for run in work.papers_due:
            self._due.put_nowait(run)
