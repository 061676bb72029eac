"""The tail as server-sent events: resumable, live where asked, and gone when the server goes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from broker import ids
from orchestrator.api import events
from orchestrator.api.server import SocketConfig, serve
from orchestrator.domain.views import LiveView
from orchestrator.sse import Decoder, SentEvent
from tests.unit.orchestrator.faces import NOW, Memory, an_event, run_id

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    made = Memory(tmp_path)
    made.tail.stored += [an_event(1), an_event(2), an_event(3)]
    return made


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "api.sock"


@pytest.fixture
async def api(memory: Memory, socket: Path) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(path=str(socket))
    async with (
        serve(memory.faces, SocketConfig(path=socket)),
        aiohttp.ClientSession("http://localhost", connector=connector) as made,
    ):
        yield made


@asynccontextmanager
async def tail(
    api: aiohttp.ClientSession, query: str = "", **headers: str
) -> AsyncIterator[AsyncIterator[SentEvent]]:
    async with api.get(f"/v1/events{query}", headers={**STREAM, **headers}) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield frames(response)


async def frames(response: aiohttp.ClientResponse) -> AsyncIterator[SentEvent]:
    decoder = Decoder()
    async for piece in response.content.iter_any():
        for event in decoder.feed(piece):
            yield event


async def cursors(stream: AsyncIterator[SentEvent], count: int) -> list[str | None]:
    return [(await anext(stream)).id for _ in range(count)]


async def test_the_stream_has_what_was_and_what_comes(api: aiohttp.ClientSession, memory: Memory) -> None:
    """Stored events first, each with its cursor as id, then new ones as they happen."""
    async with tail(api) as stream:
        assert await cursors(stream, 3) == ["1", "2", "3"]
        memory.tail.stored.append(an_event(4))
        memory.tail.more.set()
        assert await cursors(stream, 1) == ["4"]


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?cursor=2", {}), ("", {"Last-Event-ID": "2"}), ("?cursor=1", {"Last-Event-ID": "2"})],
)
async def test_the_stream_goes_on_where_it_was(
    api: aiohttp.ClientSession, query: str, headers: dict[str, str]
) -> None:
    """A reader that comes back with the last id (or a cursor) gets what is behind it; the later counts."""
    async with tail(api, query, **headers) as stream:
        assert await cursors(stream, 1) == ["3"]


async def test_a_last_event_id_that_is_none_of_ours_is_refused(api: aiohttp.ClientSession) -> None:
    """A reader that resumes from nonsense must not silently get everything again."""
    async with api.get("/v1/events", headers={**STREAM, "Last-Event-ID": "abc"}) as response:
        assert response.status == 400


async def test_live_lines_come_without_an_id(api: aiohttp.ClientSession, memory: Memory) -> None:
    """Log lines and progress come only when asked for, and never move the place to resume from."""
    line = LiveView(
        kind="progress.v1",
        at=NOW,
        instance=ids.instance_id("worker-1"),
        role=ids.role("worker"),
        run=run_id(1),
        body={"done": 1},
    )
    memory.tail.lines.append(line)
    async with tail(api, "?live=1") as stream:
        found = [await anext(stream) for _ in range(4)]
    (live,) = [event for event in found if event.name == "live"]
    assert live.id is None
    async with tail(api, f"?live=1&run={run_id(2)}") as stream:
        assert await cursors(stream, 3) == ["1", "2", "3"]


async def test_live_lines_are_of_the_roles_asked_for(api: aiohttp.ClientSession, memory: Memory) -> None:
    """A stream of one role has no line of another."""
    for name in ("etcd-1", "worker-1"):
        view = LiveView(
            kind="progress.v1",
            at=NOW,
            instance=ids.instance_id(name),
            role=ids.role(name.rpartition("-")[0]),
            run=run_id(1),
            body={},
        )
        memory.tail.lines.append(view)
    async with tail(api, "?live=1&role=worker&cursor=3") as stream:
        assert "worker-1" in (await anext(stream)).content


async def test_silence_is_kept_alive(api: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing happens a comment is sent, so that both ends notice a broken connection."""
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.001)
    async with api.get("/v1/events?cursor=3", headers=STREAM) as response:
        async for line in response.content:
            if line == b": still here\n":
                return
    raise AssertionError("the stream ended without a sign of life")


async def test_streams_end_when_the_server_goes(memory: Memory, socket: Path) -> None:
    """A stop does not wait for readers: their streams end in order, and the socket is gone."""
    async with AsyncExitStack() as stack:
        session = aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(path=str(socket)))
        await stack.enter_async_context(session)
        server = AsyncExitStack()
        await server.enter_async_context(serve(memory.faces, SocketConfig(path=socket)))
        async with asyncio.TaskGroup() as tasks, tail(session, "?cursor=3") as stream:
            tasks.create_task(server.aclose())
            assert [event async for event in stream] == []
    assert not list(socket.parent.glob("*.sock"))


async def test_a_reader_that_leaves_ends_its_own_stream_only(
    api: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server notices at the next write that a reader has gone, and serves the others on."""
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.001)
    async with tail(api, "?cursor=2") as stream:
        assert await cursors(stream, 1) == ["3"]
    async with tail(api, "?cursor=2") as stream:
        assert await cursors(stream, 1) == ["3"]


async def test_a_page_has_an_end(api: aiohttp.ClientSession) -> None:
    """As JSON the tail is a list with a limit, after a cursor."""
    response = await api.get("/v1/events?cursor=1&limit=1")
    assert [event["cursor"] for event in await response.json()] == [2]


async def test_filters_go_to_the_tail(api: aiohttp.ClientSession, memory: Memory) -> None:
    """Roles, instances, kinds and the moment are the tail's to judge."""
    query = "role=worker&instance=worker-1&kind=started.v1&kind=failed.v1&since=2026-01-02T03:04:05Z"
    await api.get(f"/v1/events?{query}")
    (asked,) = memory.tail.asked
    assert (asked.roles, asked.instances) == (("worker",), ("worker-1",))
    assert (asked.kinds, asked.since) == (("started.v1", "failed.v1"), NOW)
