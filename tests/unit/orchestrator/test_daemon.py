"""What a daemon tells systemd, and what it keeps others from."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from broker.ids import Epoch
from orchestrator import daemon
from orchestrator.config import load
from orchestrator.domain.model import Leadership
from orchestrator.ports import JournalError
from orchestrator.term import Opened, _held, _retain
from tests.unit.orchestrator.domain.playbook import NOW


class Notifier:
    """Systemd's end of the socket."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def notify(self, state: str) -> None:
        self.heard += state.splitlines()


def opened(folder: Path, **journal: str) -> Opened:
    file = folder / "o.toml"
    table: dict[str, Any] = {
        "cluster": "c",
        "name": "o_1",
        "state_dir": "state",
        "roster": "roster.toml",
        "api": {"socket": "api.sock"},
        "broker": {"host": "h", "ca": "ca", "certificate": "c", "key": "k"},
        "signing": {"key": "k"},
        "journal": journal,
        "bundles": {"listen": "h:1", "url": "https://h", "ca": "ca", "certificate": "c", "key": "k"},
    }
    file.write_text(tomli_w.dumps(table))
    return Opened(file=file, config=load(file))


async def test_systemd_hears_that_a_daemon_stands_by(tmp_path: Path) -> None:
    """It is ready, alive, and says for whom it waits; its socket is there meanwhile."""
    notifier = Notifier()
    leader = Leadership(epoch=Epoch(3), holder="o_2", since=NOW)
    made = opened(tmp_path)
    async with daemon._waiting(made, notifier, lambda: leader):
        await asyncio.sleep(0)
        assert made.socket.path.exists()
        assert notifier.heard == ["READY=1", "WATCHDOG=1", "STATUS=standing by: o_2 leads"]
    assert not made.socket.path.exists()


def test_a_file_is_locked_wherever_it_is(tmp_path: Path) -> None:
    """Two daemons with one SQLite journal and a state directory each still exclude each other."""
    state = tmp_path / "state"
    elsewhere = tmp_path / "j.sqlite"
    config = opened(tmp_path, url=f"sqlite+aiosqlite:///{elsewhere}").config
    assert daemon._locks(config) == [state / "leader.lock", tmp_path / "j.sqlite.lock"]
    shared = opened(tmp_path, url="postgresql+asyncpg://x@y/z").config
    assert daemon._locks(shared) == [state / "leader.lock"]
    nowhere = opened(tmp_path, url="sqlite+aiosqlite:////no/such/folder/j").config
    assert daemon._locks(nowhere) == [state / "leader.lock"]


class Door:
    """Something that takes its time to close."""

    def __init__(self, log: list[str], name: str, closes_in_s: float = 0.0) -> None:
        self._log = log
        self._name = name
        self._closes_in_s = closes_in_s

    async def __aenter__(self) -> None:
        self._log.append(f"{self._name} open")

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.sleep(self._closes_in_s)
        self._log.append(f"{self._name} closed")


async def test_what_a_leader_has_is_given_up_all_at_once() -> None:
    """A door that closes slowly keeps the mesh for no moment longer."""
    log: list[str] = []

    async def serve() -> None:
        async with asyncio.TaskGroup() as tasks:
            await _held(tasks, Door(log, "mesh"), name="mesh")
            await _held(tasks, Door(log, "api", closes_in_s=0.05), name="api")
            raise JournalError(journal="j", reason="lost", action="none")

    with pytest.raises(ExceptionGroup):
        await serve()
    assert log == ["mesh open", "api open", "mesh closed", "api closed"]


class Forgetful:
    """A journal that can't forget at first."""

    def __init__(self) -> None:
        self.asked = 0

    async def forget(self, _before: object) -> None:
        self.asked += 1
        if self.asked == 1:
            raise JournalError(journal="j", reason="busy", action="wait")


@pytest.mark.looptime
async def test_what_could_not_be_forgotten_is_so_an_hour_later() -> None:
    """Old rows that stay for an hour more are no reason to stop leading."""
    journal = Forgetful()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3700):
            await _retain(journal, 30)  # type: ignore[arg-type] # it is asked for nothing else
    assert journal.asked == 2
