"""Puppet's own lock, taken as Puppet takes it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from puppet_bridge import lock
from puppet_bridge.errors import LockError

GONE = 2**22 + 1


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[int]:
    """A living process that looks like Puppet."""
    gate = tmp_path / "puppet"
    gate.symlink_to("/bin/sh")
    words = ["sh", "-c", "echo here; read -r _"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, executable=gate, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the kernel shows a command line only some time after the exec
        yield process.pid
        process.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a lock in a directory that isn't there yet."""
    return tmp_path / "state" / "agent_catalog_run.lock"


def written(path: Path) -> str:
    return path.read_text()


def test_takes_and_releases(path: Path) -> None:
    """A free lock is taken in the child's name, as text, and is gone when it is released."""
    assert lock.acquire(path, 42) is None
    assert path.read_text() == "42"
    lock.release(path, 42)
    assert list(path.parent.iterdir()) == []


def test_names_the_holder(path: Path, agent: int) -> None:
    """A lock of a living Puppet is left alone, and its holder named."""
    assert lock.acquire(path, agent) is None
    holder = lock.acquire(path, 42)
    assert holder is not None
    assert str(holder).startswith(f"process {agent} (sh -c")
    assert path.read_text() == str(agent)


@pytest.mark.parametrize(
    "stale", [str(GONE), str(os.getpid()), "no number", "-1"], ids=["gone", "no Puppet", "no number", "-1"]
)
def test_takes_over_a_stale_one(path: Path, stale: str) -> None:
    """A lock of a dead process, of a stranger, or of nobody is taken over."""
    path.parent.mkdir()
    path.write_text(stale)
    os.utime(path, (1, 1))
    assert lock.acquire(path, 42) is None
    assert path.read_text() == "42"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_waits_for_one_that_is_being_written(path: Path) -> None:
    """An empty lock may be one that an agent is just writing: it is stale only after a while."""
    path.parent.mkdir()
    path.touch()
    assert str(lock.acquire(path, 42)) == "a process that has just taken it"
    os.utime(path, (1, 1))
    assert lock.acquire(path, 42) is None


def test_releases_only_its_own(path: Path, agent: int) -> None:
    """A lock that is another's by now is not removed."""
    lock.acquire(path, agent)
    lock.release(path, 42)
    assert path.exists()


def test_moved_back_when_misjudged(path: Path) -> None:
    """A lock that was replaced between the judgement and the removal stays."""
    path.parent.mkdir()
    path.write_text("7")
    lock._remove_stale(path, "8")
    assert path.read_text() == "7"
    lock._remove_stale(path.with_name("none"), "8")


def test_says_what_to_do_when_it_cannot() -> None:
    """A place that can't be written is an error that names the path and the remedy."""
    with pytest.raises(LockError, match=r"/proc/none.*set \[puppet\] lock"):
        lock.acquire(Path("/proc/none/lock"), 42)
    with pytest.raises(LockError, match="can't be released"):
        lock.release(Path(sys.executable) / "lock", 42)


async def test_waits_until_the_holder_is_gone(path: Path, agent: int) -> None:
    """A run waits for the holder, says so once, and takes the lock when it is free."""
    lock.acquire(path, agent)
    told: list[str] = []

    def waits(reason: str) -> None:
        told.append(reason)
        lock.release(path, agent)

    assert await lock.take(path, 42, waits=waits, cancel=asyncio.Event())
    assert len(told) == 1
    assert told[0].startswith(f"Puppet's lock {path} is held by process {agent}")
    assert written(path) == "42"


async def test_waiting_can_be_cancelled(path: Path, agent: int) -> None:
    """A cancel ends the waiting, and the lock stays its holder's."""
    lock.acquire(path, agent)
    cancel = asyncio.Event()
    assert not await lock.take(path, 42, waits=lambda _: cancel.set(), cancel=cancel)
    assert written(path) == str(agent)
