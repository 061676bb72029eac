"""Who may come in, and whose socket it is."""

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from orchestrator.api import peer as peers
from orchestrator.api.peer import Peer, admit
from orchestrator.api.server import SocketConfig, SocketInUseError, serve
from orchestrator.operations import RefusedError
from tests.unit.orchestrator.faces import Memory

STRANGER = Peer(uid=54321, name="stranger", groups=frozenset({54321}))


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path)


def test_a_stranger_is_refused() -> None:
    """Who is neither root, nor the daemon's user, nor in a group is told whom to ask."""
    with pytest.raises(RefusedError) as caught:
        admit(STRANGER, groups=["root"])
    assert caught.value.status == 403
    assert "stranger" in caught.value.detail
    assert caught.value.action


@pytest.mark.parametrize("uid", [0, os.geteuid()])
def test_root_and_the_daemons_user_come_in(uid: int) -> None:
    """They could do all of it anyhow."""
    admit(Peer(uid=uid, name="own", groups=frozenset()), groups=[])


def test_members_of_a_named_group_come_in() -> None:
    """A group is named in the configuration; one that does not exist lets nobody in."""
    member = Peer(uid=54321, name="member", groups=frozenset({0}))
    admit(member, groups=["no-such-group", "root"])
    with pytest.raises(RefusedError):
        admit(member, groups=["no-such-group"])


async def test_the_kernels_word_decides(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's user is that of the connection; a stranger gets 403 on every route, even unknown ones."""
    monkeypatch.setattr(peers.os, "geteuid", lambda: 11111)
    monkeypatch.setattr(peers, "_known", lambda _uid, _gid: STRANGER)
    path = tmp_path / "api.sock"
    async with serve(memory.faces, SocketConfig(path=path)):
        for route in ("/v1/instances", "/nowhere"):
            answer = await asked(path, route)
            assert answer.startswith(b"HTTP/1.1 403 ")
            assert b"application/problem+json" in answer


async def asked(path: Path, route: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(f"GET {route} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_a_user_without_a_name_has_a_number() -> None:
    """A user that no database knows is still named in the journal."""
    assert peers._known(4_000_000_000, 7) == Peer(
        uid=4_000_000_000, name="uid 4000000000", groups=frozenset({7})
    )


@pytest.mark.parametrize(("groups", "mode"), [((), 0o600), (("adm",), 0o666)])
async def test_the_file_lets_in_whom_the_check_may_admit(
    memory: Memory, tmp_path: Path, groups: tuple[str, ...], mode: int
) -> None:
    """Without groups only the owner and root reach the socket; with some the check decides."""
    path = tmp_path / "api.sock"
    async with serve(memory.faces, SocketConfig(path=path, groups=groups)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert not path.exists()


async def test_a_stale_socket_is_taken_over(memory: Memory, tmp_path: Path) -> None:
    """A daemon that was killed left its file behind; the next one serves all the same."""
    path = tmp_path / "run" / "api.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with serve(memory.faces, SocketConfig(path=path)):
        assert (await asked(path, "/healthz")).startswith(b"HTTP/1.1 200 ")


async def test_a_live_socket_is_not_robbed(memory: Memory, tmp_path: Path) -> None:
    """A second daemon on the same socket is an error that names it, and the first one serves on."""
    path = tmp_path / "api.sock"
    async with serve(memory.faces, SocketConfig(path=path)):
        with pytest.raises(SocketInUseError) as caught:
            async with serve(memory.faces, SocketConfig(path=path)):
                pass
        assert caught.value.path == path
        assert (await asked(path, "/healthz")).startswith(b"HTTP/1.1 200 ")
