"""Ending a run means ending all its processes, and never one of a stranger.

Puppet starts each command in a session of its own, so a signal to Puppet's group reaches none of them: the
tree has to be found through `/proc`. A process's number is used again after its death, so everywhere a
process is its number together with its start (clock ticks since boot, from `/proc/PID/stat`). A daemon that
Puppet has started in order belongs to process 1 by then: it is no part of the tree, and lives on.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from puppet_bridge.execution import ProcessIdentity

PROC: Final = Path("/proc")
GRACE_S: Final = 10.0
LOOK_S: Final = 0.05
KILL_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A living process as `/proc` shows it."""

    pid: int
    start: int
    parent: int
    group: int
    session: int
    name: str


def look(pid: int) -> Seen | None:
    """Return the living process `pid`, None if there is none (a zombie is none)."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    state, parent, group, session, *others = rest.split()
    if state in {"Z", "X"}:
        return None
    return Seen(
        pid=pid,
        start=int(others[15]),
        parent=int(parent),
        group=int(group),
        session=int(session),
        name=name,
    )


def command_line(pid: int) -> str:
    """Return the command line of `pid` for a reader, empty if it is gone."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()[:200]


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of the living process `pid`."""
    seen = look(pid)
    return None if seen is None else ProcessIdentity(pid=pid, start=seen.start, group=seen.group)


def is_alive(process: ProcessIdentity) -> bool:
    """Return whether this very process lives, not just one of its number."""
    seen = look(process.pid)
    return seen is not None and seen.start == process.start


async def end_tree(root: ProcessIdentity, *, grace_s: float = GRACE_S) -> tuple[str, ...]:
    """End `root` and all that descends from it: TERM, and KILL after `grace_s`; return what was ended.

    What is born or loses its parent meanwhile is still found, since every process once seen is followed.
    """
    known: dict[int, Seen] = {}
    told: dict[int, str] = {}
    patience = time.monotonic() + grace_s
    limit = patience + KILL_S
    while members := _living(root, known):
        now = time.monotonic()
        forced = now >= patience
        for member in members:
            fresh = member.pid not in told
            if fresh or forced:
                _signal(member, signal.SIGKILL if forced else signal.SIGTERM)
            if fresh:
                told[member.pid] = f"{member.name} ({member.pid})"
        if now >= limit:
            break
        await asyncio.sleep(LOOK_S)
    return tuple(told.values())


async def end_left_behind(pid: int, start: int, group: int) -> tuple[str, ...]:
    """End what an earlier wing's run left, and return it; a stranger that has its number is left alone.

    The group's leader may be gone while its members live: a group's number is not given to another process
    while it has a member, so those that started after `start` are the run's.
    """
    return await end_tree(ProcessIdentity(pid=pid, start=start, group=group))


def _living(root: ProcessIdentity, known: dict[int, Seen]) -> list[Seen]:
    """Return the living members of the tree, and add those not seen before to `known`."""
    alive = {seen.pid: seen for seen in _all()}
    members = {pid for pid, seen in known.items() if pid in alive and alive[pid].start == seen.start} | {
        pid for pid, seen in alive.items() if _is_of(root, seen)
    }
    growing = True
    while growing:
        born = {pid for pid, seen in alive.items() if seen.parent in members} - members
        members |= born
        growing = bool(born)
    members.discard(os.getpid())
    known.update({pid: alive[pid] for pid in members})
    return [alive[pid] for pid in members]


def _is_of(root: ProcessIdentity, seen: Seen) -> bool:
    """Return whether `seen` is the root itself, or in the group and session that it led."""
    if seen.pid == root.pid:
        return seen.start == root.start
    led = root.group == root.pid and root.pid in (seen.group, seen.session)
    return led and seen.start >= root.start and _leader_fits(root)


def _leader_fits(root: ProcessIdentity) -> bool:
    leader = look(root.pid)
    return leader is None or leader.start == root.start


def _signal(member: Seen, number: signal.Signals) -> None:
    """Signal `member` through a descriptor of itself: its number can't be another's in between."""
    try:
        descriptor = os.pidfd_open(member.pid)
    except ProcessLookupError:
        return
    try:
        now = look(member.pid)
        if now is not None and now.start == member.start:
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def _all() -> Iterator[Seen]:
    yield from _looked(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _looked(pids: Iterable[int]) -> Iterator[Seen]:
    for pid in pids:
        seen = look(pid)
        if seen is not None:
            yield seen
