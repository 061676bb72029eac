"""`puppet apply` takes no lock, and two Puppets at once on one host undo each other.

The agent does take one: a file, created exclusively, that holds its process's number as text. A run takes
the same file in the name of its Puppet child, so that an agent, cron's or a person's, waits for us as we
wait for it. Rules are those of Puppet's `util/pidlock.rb`: a lock is stale if its process is gone or is
none that looks like Puppet's.

It is made whole (written aside, then linked into place), so nobody ever reads an empty one of ours. A stale
one is moved aside before it is removed, and moved back if it turns out to be another than was judged.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from puppet_bridge.errors import LockError
from puppet_bridge.processes import command_line, look

LOOK_S: Final = 1.0
UNWRITTEN_S: Final = 5.0
PUPPET_NAME: Final = re.compile(r"puppet(-.*)?$")
PATIENT: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has the lock; without a number it is someone who has just created the file."""

    pid: int | None
    command: str

    def __str__(self) -> str:
        """Return the holder for a reader."""
        if self.pid is None:
            return "a process that has just taken it"
        return f"process {self.pid} ({self.command or 'command line not readable'})"


async def take(path: Path, pid: int, *, waits: Callable[[str], None], cancel: asyncio.Event) -> bool:
    """Take the lock at `path` in the name of process `pid`, after whoever has it; raises LockError.

    `waits` is told once of each holder that is waited for. Returns False if `cancel` came first.
    """
    told: Holder | None = None
    while (holder := acquire(path, pid)) is not None:
        if holder != told:
            waits(f"Puppet's lock {path} is held by {holder}")
            told = holder
        if await cancelled_within(cancel, LOOK_S):
            return False
    return True


async def cancelled_within(cancel: asyncio.Event, seconds: float) -> bool:
    """Wait `seconds`, or until `cancel` is set; return whether it is."""
    try:
        async with asyncio.timeout(seconds):
            await cancel.wait()
    except TimeoutError:
        return False
    return True


def acquire(path: Path, pid: int) -> Holder | None:
    """Take the lock for `pid` if it is free or stale, and return None, else its holder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(PATIENT):
            if _create(path, pid):
                return None
            holder = _holder(path)
            if holder is not None:
                return holder
        raise LockError(path=str(path), reason="it is taken and left faster than it can be read")
    except OSError as error:
        reason = f"{error.strerror}; run as root, or set [puppet] lock to a path that can be written"
        raise LockError(path=str(path), reason=reason) from error


def release(path: Path, pid: int) -> None:
    """Remove the lock if it is still that of `pid`."""
    try:
        if _written(path) == str(pid):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise LockError(path=str(path), reason=f"can't be released: {error.strerror}") from error


def _create(path: Path, pid: int) -> bool:
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    aside.write_text(str(pid))
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        aside.unlink()
    return True


def _holder(path: Path) -> Holder | None:
    """Return who has the lock, None if it is gone; a stale one is removed first."""
    written = _written(path)
    if written is None:
        return None
    pid = int(written) if written.isascii() and written.isdigit() else None
    if pid is None and _age_s(path) < UNWRITTEN_S:
        return Holder(pid=None, command="")
    if pid is not None and is_puppet(pid):
        return Holder(pid=pid, command=command_line(pid))
    _remove_stale(path, written)
    return None


def is_puppet(pid: int) -> bool:
    """Return whether `pid` lives and looks like Puppet, as Puppet itself would judge it."""
    seen = look(pid)
    if seen is None:
        return False
    return PUPPET_NAME.search(seen.name) is not None or (
        "ruby" in seen.name and "puppet" in command_line(pid)
    )


def _remove_stale(path: Path, judged: str) -> None:
    aside = path.with_name(f"{path.name}.{os.getpid()}.stale")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    try:
        if aside.read_text(errors="replace").strip() != judged and not path.exists():
            os.link(aside, path)
    finally:
        aside.unlink()


def _written(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except FileNotFoundError:
        return None


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
