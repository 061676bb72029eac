"""Everyone sees every event once and in order, however slowly they read, and wherever they begin.

A reader is a cursor. What it lacks is read from the journal page by page; once it has caught up it waits for
the next commit. The newest events are kept in memory, so that those who follow cost no queries. Nothing is
queued for a reader, so a slow one costs nothing and loses nothing.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Any, Final

import msgspec

from broker.ids import InstanceId, RunId
from broker.messages import Live, LogLines, Progress
from orchestrator.domain.show import event_view
from orchestrator.domain.views import EventView, LiveView
from orchestrator.operations import EventFilter
from orchestrator.ports import EventLog, EventQuery
from orchestrator.records import Numbered
from orchestrator.service.core import Core
from orchestrator.service.edge import Believed
from orchestrator.service.state import Work

RECENT: Final = 2_000
PAGE: Final = 500
LIVE_QUEUE: Final = 1_000


class TailService:
    """The `Tail` face."""

    def __init__(self, core: Core, log: EventLog) -> None:
        self._core = core
        self._log = log
        self._recent: deque[Numbered] = deque(maxlen=RECENT)
        self._cursor = core.state.cursor
        self._grown = asyncio.Event()
        self._live: set[_Listener] = set()
        core.on_written(self._written)
        core.on_live(self._heard)

    async def events(self, query: EventFilter, *, follow: bool) -> AsyncIterator[EventView]:
        """Yield stored events in order of cursor, then, with `follow`, new ones without end."""
        cursor = query.cursor
        end = self._cursor
        while True:
            grown = self._grown
            page, cursor = await self._next(query, cursor)
            for numbered in page:
                if follow or numbered.cursor <= end:
                    yield event_view(numbered.cursor, numbered.event)
            if cursor >= self._cursor:
                if not follow:
                    return
                await grown.wait()

    async def live(
        self, *, instances: Sequence[InstanceId], runs: Sequence[RunId]
    ) -> AsyncIterator[LiveView]:
        """Yield log lines and progress as they come (empty: of all); a slow reader misses some."""
        listener = _Listener(frozenset(instances), frozenset(runs))
        self._live.add(listener)
        try:
            while True:
                yield await listener.queue.get()
        finally:
            self._live.discard(listener)

    async def _next(self, query: EventFilter, cursor: int) -> tuple[Sequence[Numbered], int]:
        """Return the next events after `cursor`, and up to where that was looked through."""
        known = self._cursor
        if cursor >= known:
            return (), cursor
        if self._recent and self._recent[0].cursor <= cursor + 1:
            unseen = islice(reversed(self._recent), known - cursor)  # cursors have no holes
            return [item for item in unseen if fits(query, item)][::-1], known
        page = await self._log.events(
            EventQuery(
                cursor=cursor,
                since=query.since,
                roles=query.roles,
                instances=query.instances,
                kinds=query.kinds,
                limit=PAGE,
            )
        )
        if len(page) < PAGE:
            return page, max(known, page[-1].cursor if page else known)
        return page, page[-1].cursor

    def _written(self, work: Work) -> None:
        if not work.batch.events:
            return
        self._recent.extend(work.batch.events)
        self._cursor = work.batch.events[-1].cursor
        self._grown.set()
        self._grown = asyncio.Event()

    def _heard(self, found: Believed) -> None:
        message = found.message
        if not isinstance(message, Live) or not isinstance(message.body, LogLines | Progress):
            return
        role = self._core.state.instances[found.instance].enrolment.role
        body: dict[str, Any] = msgspec.to_builtins(message.body)
        view = LiveView(
            kind="log_lines" if isinstance(message.body, LogLines) else "progress",
            at=message.at,
            instance=found.instance,
            role=role,
            run=message.body.run,
            body=body,
        )
        for listener in self._live:
            listener.hear(view)


class _Listener:
    """One reader of the live lines; when it is slow the oldest lines go."""

    def __init__(self, instances: frozenset[InstanceId], runs: frozenset[RunId]) -> None:
        self._instances = instances
        self._runs = runs
        self.queue: asyncio.Queue[LiveView] = asyncio.Queue(maxsize=LIVE_QUEUE)

    def hear(self, view: LiveView) -> None:
        if self._instances and view.instance not in self._instances:
            return
        if self._runs and view.run not in self._runs:
            return
        with suppress(asyncio.QueueEmpty):
            while self.queue.full():
                self.queue.get_nowait()
        self.queue.put_nowait(view)


def fits(query: EventFilter, item: Numbered) -> bool:
    """Tell whether an event is among those asked for."""
    event = item.event
    return (
        _not_before(query.since, event.at)
        and (not query.roles or event.role in query.roles)
        and (not query.instances or event.instance in query.instances)
        and (not query.kinds or event.kind in query.kinds)
    )


def _not_before(since: datetime | None, at: datetime) -> bool:
    return since is None or at >= since
