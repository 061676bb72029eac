"""What operators are told by a daemon that does not lead."""

import asyncio
from pathlib import Path

import pytest

from broker.ids import Epoch
from orchestrator.api import peer as peers
from orchestrator.api.peer import Peer
from orchestrator.api.server import SocketConfig, serve
from orchestrator.api.standby import stand_by
from orchestrator.client import Client
from orchestrator.domain.model import Leadership
from orchestrator.exchange import ProblemError
from tests.unit.orchestrator.domain.playbook import NOW
from tests.unit.orchestrator.faces import Memory

LEADER = Leadership(epoch=Epoch(7), holder="o_2", since=NOW)


async def problem(path: Path) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        await asyncio.to_thread(Client(f"unix://{path}").instances)
    return caught.value


@pytest.mark.parametrize("route", ["GET /v1/instances", "POST /v1/runs", "GET /healthz", "PUT /nowhere"])
async def test_every_route_is_answered_with_a_problem(tmp_path: Path, route: str) -> None:
    """Whatever is asked of it, a daemon that stands by has no answer of its own, and HTTP says so."""
    path = tmp_path / "api.sock"
    async with stand_by(SocketConfig(path=path), lambda: LEADER):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(f"{route} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"application/problem+json" in answer


async def test_operators_are_told_whom_to_ask(tmp_path: Path) -> None:
    """The leader's name is the present one, and the action is what to do now."""
    path, leader = tmp_path / "api.sock", LEADER
    async with stand_by(SocketConfig(path=path), lambda: leader):
        refused = await problem(path)
        assert (refused.kind, refused.status) == ("standing-by", 503)
        assert refused.detail == "o_2 leads, in epoch 7"
        assert refused.action.startswith("Ask o_2, on its own machine")
        leader = Leadership(epoch=Epoch(8), holder="o_3", since=NOW)
        assert (await problem(path)).detail == "o_3 leads, in epoch 8"


async def test_a_journal_that_is_away_is_told(tmp_path: Path) -> None:
    """Without its database a daemon knows of no leader, and says what to look at."""
    path = tmp_path / "api.sock"
    async with stand_by(SocketConfig(path=path), lambda: None):
        assert "database runs" in (await problem(path)).action


async def test_a_stranger_learns_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not use the API isn't told who leads either."""
    stranger = Peer(uid=54321, name="stranger", groups=frozenset({54321}))
    monkeypatch.setattr(peers.os, "geteuid", lambda: 11111)
    monkeypatch.setattr(peers, "_known", lambda _uid, _gid: stranger)
    path = tmp_path / "api.sock"
    async with stand_by(SocketConfig(path=path), lambda: LEADER):
        assert (await problem(path)).status == 403


async def test_the_api_takes_the_sockets_place(tmp_path: Path) -> None:
    """Once it leads, the same daemon serves on the same socket."""
    path, memory = tmp_path / "api.sock", Memory(tmp_path)
    async with stand_by(SocketConfig(path=path), lambda: LEADER):
        await problem(path)
    async with serve(memory.faces, SocketConfig(path=path)):
        assert await asyncio.to_thread(Client(f"unix://{path}").instances) is not None
