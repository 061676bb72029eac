"""Starting a host: systemd-nspawn in a session of its own, which outlives whoever asked for it.

It is not registered with systemd-machined, which many machines (and all containers) lack; what we need to
know of it we write down ourselves (processes.py).
"""

import socket
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.local.errors import LocalError, UnsupportedError
from orchestrator.infrastructure.local.image import Image
from orchestrator.infrastructure.local.places import HostPlaces
from orchestrator.infrastructure.local.processes import Identity, Record, groups_for, make_groups, this_boot
from orchestrator.infrastructure.local.programs import run
from orchestrator.infrastructure.local.recipe import PACKAGES

ANSWER_S: Final = 90.0
LOOK_S: Final = 1.0
PAUSE_S: Final = 0.05
LAST_LINES: Final = 12

# The child goes into its control groups before it becomes anything else; whatever it starts is in them. As a
# shell's child in the background it leads no group of processes, so setsid keeps its number.
START: Final = """
keep=$1 console=$2 count=$3; shift 3
(
    while [ "$count" -gt 0 ]; do
        echo 0 >"$1/cgroup.procs" || exit 1
        count=$((count - 1)); shift
    done
    exec setsid sh -c "$keep" "$@"
) </dev/null >>"$console" 2>&1 &
echo $!
"""
# With --keep-unit, systemd-nspawn ends with 133 when the host reboots (for RestartForceExitStatus); the old
# end of the cable may outlive it by a moment. We lock a host ourselves: its own lock would outlive a kill.
KEEP: Final = """
export SYSTEMD_NSPAWN_LOCK=0
while "$@"; [ $? -eq 133 ]; do
    ip link delete "$0" 2>/dev/null
done
"""


def start(host: HostPlaces, image: Image) -> Identity:
    """Start a host whose disk is mounted, and return its process; nothing is started that isn't recorded."""
    record = Record(groups=groups_for(host.machine), boot=this_boot())
    if not record.groups:
        raise UnsupportedError(
            what="hosts on this machine need its control groups",
            why="no hierarchy that this process is in is mounted",
            action="mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        )
    record.write(host.process)
    make_groups(record.groups)
    command = _command(host, image)
    count = str(len(record.groups))
    words: tuple[str | Path, ...] = (KEEP, host.console, count, *record.groups, host.port, *command)
    pid = int(run("sh", "-c", START, "sh", *words))
    main = Identity.of(pid)
    if main is None:
        raise _ended(host)
    replace(record, main=main).write(host.process)
    return main


def await_ssh(host: HostPlaces, address: IPv4Address, main: Identity, timeout_s: float = ANSWER_S) -> None:
    """Return when the host's sshd answers; LocalError if the host ends before, or time does."""
    _until(host, main, lambda: _answers(address), f"its sshd did not answer at {address}", timeout_s)


def _until(
    host: HostPlaces, main: Identity, done: Callable[[], bool], failure: str, timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        if main.wait(PAUSE_S):
            raise _ended(host)
        if time.monotonic() > deadline:
            raise LocalError(
                what=f"{host.name} did not come up within {timeout_s:g} s: {failure}",
                why=_last_words(host),
                action=f"see {host.console}",
            )


def _command(host: HostPlaces, image: Image) -> tuple[str, ...]:
    return (
        "systemd-nspawn",
        "--quiet",
        "--boot",
        "--settings=no",
        "--register=no",
        "--keep-unit",
        "--private-users=no",
        f"--directory={host.root}",
        f"--machine={host.machine}",
        f"--hostname={host.name}",
        f"--network-bridge={host.cluster.bridge}",
        f"--bind-ro={_escaped(str(image.packages))}:{PACKAGES}",
        "--console=read-only",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
    )


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:")


def _answers(address: IPv4Address) -> bool:
    try:
        with socket.create_connection((str(address), 22), timeout=LOOK_S) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _ended(host: HostPlaces) -> LocalError:
    return LocalError(
        what=f"{host.name} ended while it started",
        why=_last_words(host),
        action=f"see {host.console}",
    )


def _last_words(host: HostPlaces) -> str:
    if not host.console.exists():
        return "it said nothing"
    lines = host.console.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LAST_LINES:])
