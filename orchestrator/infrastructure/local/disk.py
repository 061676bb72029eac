"""A host's disk: a sparse file with a file system of its own, over which the root image shows through.

A file system of its own has an end, so that a full disk can be tried, and takes an overlay whatever the
cluster's home lies on.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.local.places import HostPlaces
from orchestrator.infrastructure.local.programs import run

GIB: Final = 1024**3
RESERVE: Final = 1024**2
OCTAL: Final = re.compile(r"\\([0-7]{3})")


def make(host: HostPlaces, gib: int) -> None:
    """Make the disk, or leave the one that is there."""
    if host.image.exists():
        return
    scratch = host.image.with_suffix(".new")
    with scratch.open("wb") as handle:
        os.truncate(handle.fileno(), gib * GIB)
    # No reserve for root: on a host, root is who fills the disk.
    run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", scratch)
    scratch.rename(host.image)


def mount(host: HostPlaces, lower: Path) -> None:
    """Mount the disk, and over it the host's whole file system."""
    unmount(host)
    for directory in (host.disk, host.root):
        directory.mkdir(exist_ok=True)
    run("mount", "-o", "loop,noatime", host.image, host.disk)
    for directory in (host.upper, host.disk / "work"):
        directory.mkdir(exist_ok=True)
    host.upper.chmod(0o755)  # the host's own `/`, whatever the caller's umask is
    # An overlay makes its work directory anew, and where it can't, as on a full disk, it is read-only.
    host.reserve.unlink(missing_ok=True)
    layers = (
        f"lowerdir={_escaped(lower)},upperdir={_escaped(host.upper)},workdir={_escaped(host.disk / 'work')}"
    )
    run("mount", "-t", "overlay", "-o", layers, "overlay", host.root)
    with suppress(OSError), host.reserve.open("wb") as reserve:
        os.posix_fallocate(reserve.fileno(), 0, RESERVE)


def unmount(host: HostPlaces) -> None:
    """Have nothing mounted below the host's directory, however it came there."""
    for place in reversed(mounts_below(host.directory)):
        run("umount", place)


def is_mounted(host: HostPlaces) -> bool:
    """Whether the host's whole file system is there."""
    return str(host.root) in mounts_below(host.directory)


def mounts_below(directory: Path) -> Sequence[str]:
    """Return where something is mounted at or below `directory`, in the order of mounting."""
    own, below = str(directory), f"{directory}/"
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    places = (OCTAL.sub(lambda code: chr(int(code[1], 8)), line.split()[4]) for line in lines)
    return [place for place in places if place == own or place.startswith(below)]


def _escaped(path: Path) -> str:
    """Return a path as an overlay's options want it: they end at a comma and are parted at colons."""
    return re.sub(r"([\\:,])", r"\\\1", str(path))
