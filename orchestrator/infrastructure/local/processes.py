"""Which processes are a host's: found again by whoever comes later, ended all at once.

A process id alone may be someone else's tomorrow, so the start time stands beside it, and the boot of the
machine. What a host has started is found by its control groups, which a process can't leave; they are
recorded before there is a process in them, so that a crash at any moment leaves nothing that isn't found.
"""

import errno
import json
import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.local.errors import LocalError
from puppet_bridge.atomic import write_whole

END_S: Final = 30.0
PAUSE_S: Final = 0.02
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, and no later one with its number."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """Return who `pid` is now; None if there is none, or one that has ended and was not yet reaped."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name, in parentheses, may hold anything; proc(5): state is field 3 and the start time field 22.
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    def is_alive(self) -> bool:
        """Whether it runs."""
        return Identity.of(self.pid) == self

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within `timeout_s` seconds."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            return not self.is_alive() or bool(select.select([handle], [], [], timeout_s)[0])
        finally:
            os.close(handle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is written down of a host's processes. `main` is None until it has been started."""

    groups: tuple[Path, ...]
    boot: str
    main: Identity | None = None

    @classmethod
    def read(cls, file: Path) -> "Record | None":
        """Return what is written in `file`; None if nothing is, or a crash left it unreadable."""
        try:
            table = json.loads(file.read_text(encoding="utf-8"))
            main = Identity(table["pid"], table["started"]) if table["pid"] is not None else None
            return cls(groups=tuple(map(Path, table["groups"])), boot=table["boot"], main=main)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise LocalError(
                what=f"{file} is damaged",
                why=str(error),
                action="see that no process of the host runs; remove it",
            ) from error

    def write(self, file: Path) -> None:
        """Write it, whole and on the disk, before anything is done that it tells of."""
        table = {
            "pid": self.main and self.main.pid,
            "started": self.main and self.main.started,
            "groups": [str(group) for group in self.groups],
            "boot": self.boot,
        }
        write_whole(file, (json.dumps(table, indent=2) + "\n").encode())

    def is_running(self) -> bool:
        """Whether the host's main process is there still, and is that very one."""
        return self.main is not None and self.boot == this_boot() and self.main.is_alive()

    def pids(self) -> tuple[int, ...]:
        """Return all of the host's processes, its main one's children and theirs."""
        if self.boot != this_boot():
            return ()
        return tuple(sorted({pid for group in self.groups for pid in _members(group)}))

    def leader(self) -> Identity | None:
        """Return the host's own first process, by which its namespaces are entered."""
        found = (Identity.of(pid) for pid in self.pids() if _is_first_of_its_own(pid))
        return next((identity for identity in found if identity), None)

    def end(self) -> None:
        """Kill everything at once, as a loss of power would, and remove the control groups."""
        while identities := [identity for pid in self.pids() if (identity := Identity.of(pid))]:
            for identity in identities:
                with suppress(ProcessLookupError):
                    os.kill(identity.pid, signal.SIGKILL)
            for identity in identities:
                if not identity.wait(END_S):
                    raise LocalError(
                        what=f"process {identity.pid} does not end, though it was killed",
                        why="it waits within the kernel, as on a disk that does not answer",
                        action="see dmesg; when it is gone, do the same again",
                    )
        for group in self.groups:
            _remove(group)


def this_boot() -> str:
    """Return which boot of this machine it is."""
    return BOOT_ID.read_text(encoding="utf-8").strip()


def groups_for(machine: str) -> tuple[Path, ...]:
    """Return the control groups to be for a host: one in each hierarchy, below the caller's own.

    Below the caller's, so that what limits the caller limits its hosts. In each, since hosts that shared one
    would see, and end, each other's services of the same name.
    """
    own = dict(_own_groups())
    return tuple(
        mount / group.lstrip("/") / machine
        for names, mount in _hierarchies()
        if (group := own.get(names)) is not None and (mount / group.lstrip("/")).is_dir()
    )


def groups_found(machine: str) -> tuple[Path, ...]:
    """Return the control groups of a host's processes, wherever they are, when nobody wrote them down."""
    mounts = dict(_hierarchies())
    found: set[Path] = set(groups_for(machine))
    for file in Path("/proc").glob("[0-9]*/cgroup"):
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in file.read_text(encoding="utf-8").splitlines():
                _, names, group = line.split(":", 2)
                above, _, below = f"{group}/".partition(f"/{machine}/")
                if f"{above}/{machine}/{below}" == f"{group}/" and names in mounts:
                    found.add(mounts[names] / above.lstrip("/") / machine)
    return tuple(sorted(found))


def make_groups(groups: Sequence[Path]) -> None:
    """Make them, able to take processes."""
    for group in groups:
        group.mkdir(exist_ok=True)
        # A cpuset takes nobody before it is told of a processor and of memory (cgroup-v1/cpusets).
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (group / name).exists() and not (group / name).read_text(encoding="utf-8").strip():
                (group / name).write_text((group.parent / name).read_text(encoding="utf-8"), encoding="utf-8")


def _own_groups() -> Iterator[tuple[str, str]]:
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, names, group = line.split(":", 2)
        yield names, group


def _hierarchies() -> Iterator[tuple[str, Path]]:
    """Yield each mounted hierarchy: its controllers, as /proc/self/cgroup names them, and where it is."""
    known = {name for name, _ in _own_groups()}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            yield "", Path(before.split()[4])
        elif kind == "cgroup":
            said = set(options.split(","))
            yield from (
                (name, Path(before.split()[4])) for name in known if name and set(name.split(",")) <= said
            )


def _members(group: Path) -> Iterator[int]:
    for directory, _, files in os.walk(group):
        if "cgroup.procs" in files:
            # A group may be gone, or be a threaded one, which names no processes, between the two looks.
            with suppress(OSError):
                yield from map(int, (Path(directory) / "cgroup.procs").read_text(encoding="utf-8").split())


def _is_first_of_its_own(pid: int) -> bool:
    """Whether it is process 1 of a namespace within ours (proc(5), NSpid)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    numbers = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
    return len(numbers) > 1 and numbers[-1] == "1"


def _remove(group: Path) -> None:
    """Remove a group and those in it; the kernel may hold one for a moment after its last process ended."""
    deadline = time.monotonic() + END_S
    while group.is_dir():
        try:
            for directory, _, _ in os.walk(group, topdown=False):
                Path(directory).rmdir()
        except OSError as error:
            if error.errno not in {errno.EBUSY, errno.ENOENT} or time.monotonic() > deadline:
                raise LocalError(
                    what=f"the control group {group} can't be removed", why=str(error)
                ) from error
            time.sleep(PAUSE_S)
