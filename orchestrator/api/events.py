"""The tail over HTTP: a page of events as JSON, or all of them as server-sent events without end.

Every stored event carries its cursor as `id:`, so a reader that comes back with `Last-Event-ID` goes on
behind the last one it saw. Log lines and progress have no id: they are not stored, and who was away has
missed them. A reader that is slow makes its own stream wait, and nobody else's.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import msgspec
import structlog
from aiohttp import web

from broker.ids import RunId
from orchestrator import sse
from orchestrator.api.parameters import (
    FLAG,
    INSTANCE,
    INSTANT,
    INTEGER,
    ROLE,
    Parameter,
    as_instances,
    as_roles,
)
from orchestrator.api.problems import refusal
from orchestrator.api.route import Call, Route, answer
from orchestrator.api.runs import as_run
from orchestrator.domain.views import EventView
from orchestrator.operations import EventFilter
from orchestrator.sse import SentEvent

STREAM: Final = "text/event-stream"
KEEP_ALIVE_S: Final = 15
PAGE: Final = 1000
MAX_PAGE: Final = 10_000
AHEAD: Final = 64
HEADERS: Final = {"Content-Type": STREAM, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}

T = TypeVar("T")
Frames = asyncio.Queue[bytes | None]
log = structlog.get_logger(__name__)


async def events(call: Call) -> web.StreamResponse:
    """Answer with a page of events, or with the stream if that is what the caller accepts."""
    query, live = _filter(call), call.query.flag("live")
    limit = call.query.integer("limit", PAGE, least=1, most=MAX_PAGE)
    if STREAM in call.request.headers.get("Accept", ""):
        return await _stream(call, query, live=live)
    page: list[EventView] = []
    async with _closing(call.faces.tail.events(query, follow=False)) as stored:
        async for event in stored:
            page.append(event)
            if len(page) == limit:
                break
    return answer(page)


async def _stream(call: Call, query: EventFilter, *, live: bool) -> web.StreamResponse:
    runs = [as_run(text) for text in call.query.texts("run")]
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(call.request)
    frames: Frames = asyncio.Queue(maxsize=AHEAD)
    sources = [_stored(call, query, frames), _until_stopping(call, frames)]
    if live:
        sources.append(_live(call, query, runs, frames))
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(source, name="api.tail") for source in sources]
            await _write(response, frames)
            for each in running:
                each.cancel()
    except* ConnectionError:
        log.info("reader has gone", caller=call.caller)
    return response


async def _write(response: web.StreamResponse, frames: Frames) -> None:
    await response.write(b": tarmak\nretry: 1000\n\n")
    while True:
        try:
            async with asyncio.timeout(KEEP_ALIVE_S):
                frame = await frames.get()
        except TimeoutError:
            frame = sse.KEEP_ALIVE
        if frame is None:
            return
        await response.write(frame)


async def _stored(call: Call, query: EventFilter, frames: Frames) -> None:
    async with _closing(call.faces.tail.events(query, follow=True)) as stored:
        async for event in stored:
            content = msgspec.json.encode(event).decode()
            await frames.put(sse.encode(SentEvent(id=str(event.cursor), content=content)))
    await frames.put(None)


async def _live(call: Call, query: EventFilter, runs: Sequence[RunId], frames: Frames) -> None:
    async with _closing(call.faces.tail.live(instances=query.instances, runs=runs)) as lines:
        async for line in lines:
            if query.roles and line.role not in query.roles:
                continue
            content = msgspec.json.encode(line).decode()
            await frames.put(sse.encode(SentEvent(name=sse.LIVE, content=content)))


@asynccontextmanager
async def _closing(source: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close a generator where its reader leaves it, not whenever the collector finds it."""
    try:
        yield source
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _until_stopping(call: Call, frames: Frames) -> None:
    await call.stopping.wait()
    await frames.put(None)


def _filter(call: Call) -> EventFilter:
    query = call.query
    return EventFilter(
        cursor=_resumed(call, query.integer("cursor", 0)),
        since=query.instant("since"),
        roles=as_roles(query.texts("role")),
        instances=as_instances(query.texts("instance")),
        kinds=query.texts("kind"),
    )


def _resumed(call: Call, cursor: int) -> int:
    last = call.request.headers.get("Last-Event-ID")
    if last is None:
        return cursor
    if not (last.isascii() and last.isdigit()):
        raise refusal(f"Last-Event-ID: {last!r} is no cursor", action="Send the last `id` of the stream.")
    return max(cursor, int(last))


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/events",
        summary="Events after a cursor, as a list or, with `Accept: text/event-stream`, without end.",
        handler=events,
        answer=list[EventView],
        stream=True,
        parameters=(
            Parameter(name="cursor", summary="Only after this cursor [0].", schema=INTEGER),
            Parameter(name="since", summary="Not before this moment.", schema=INSTANT),
            ROLE,
            INSTANCE,
            Parameter(name="kind", summary="Only of this kind; repeat for more.", repeated=True),
            Parameter(
                name="limit", summary=f"A list's length [{PAGE}].", schema={**INTEGER, "maximum": MAX_PAGE}
            ),
            Parameter(name="live", summary="1: the stream has log lines and progress too.", schema=FLAG),
            Parameter(name="run", summary="Log lines of this run only; repeat for more.", repeated=True),
        ),
    ),
)
