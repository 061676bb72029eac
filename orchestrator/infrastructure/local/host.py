"""A host from its making to its end. Each step finds out what is there and goes on from it.

Whoever makes, starts or ends a host holds its directory; whoever touches the cluster's network holds the
directory of all hosts, and takes it second. What a crash has left half is taken for what it is: a record
without a process, a process without a mount, a mount without either.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.local import disk, furnish, machine, network, wire
from orchestrator.infrastructure.local.description import Description, parse
from orchestrator.infrastructure.local.errors import LocalError
from orchestrator.infrastructure.local.image import Image, image_of
from orchestrator.infrastructure.local.locks import locked
from orchestrator.infrastructure.local.places import ClusterPlaces, HostPlaces
from orchestrator.infrastructure.local.processes import Identity, Record, groups_found, this_boot
from orchestrator.infrastructure.local.programs import ENDING, demand, run
from puppet_bridge.atomic import write_whole

NSPAWN_RUN: Final = Path("/run/systemd/nspawn")

Tell = Callable[[str], None]


class State(Enum):
    """What is there of a host."""

    ABSENT = "absent"
    STOPPED = "stopped"
    RUNNING = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A host as it is now."""

    name: str
    state: State
    address: str | None = None
    pid: int | None = None
    host_key: str | None = None

    def to_json(self) -> str:
        """Return it as one JSON object."""
        table = {"name": self.name, "state": self.state.value, "address": self.address}
        return json.dumps({**table, "pid": self.pid, "host_key": self.host_key})


def places_of(description: Description) -> HostPlaces:
    """Return where a described host is; a home behind a symbolic link is the same home."""
    return ClusterPlaces(description.home.resolve()).host(description.name)


def up(description: Description, tell: Tell) -> None:
    """Have the host there and answering: one that runs stays, one that is stopped starts with its disk."""
    demand()
    host = places_of(description)
    with locked(host.directory):
        _refuse_other(host, description)
        base = image_of(host, tell)
        write_whole(host.description, description.to_json().encode())
        with locked(host.cluster.hosts):
            gateway = IPv4Interface(f"{description.gateway}/{description.address.network.prefixlen}")
            network.ensure_bridge(host.cluster, gateway)
        main = _running(host) or _start(host, description, base)
        furnish.rename_others(host, description)
    machine.await_ssh(host, description.address.ip, main)
    tell(f"{host.name} answers at {description.address.ip}")


def boot(host: HostPlaces, tell: Tell) -> None:
    """Start a host again as it was last described; LocalError if there never was one."""
    up(described(host), tell)


def power_off(host: HostPlaces) -> None:
    """Have the host lose its power: every process ends at once, and its disk is as they left it."""
    demand(ENDING)
    with locked(described_place(host)):
        _end(host)


def down(host: HostPlaces) -> None:
    """Have nothing left of the host, and with the last one nothing of the cluster's network."""
    demand(ENDING)
    if host.directory.is_dir():
        with locked(host.directory):
            _end(host)
            shutil.rmtree(host.directory)
    if host.cluster.hosts.is_dir():
        with locked(host.cluster.hosts):
            wire.forget(host)
            if not host.cluster.names():
                network.remove_bridge(host.cluster)
                host.cluster.faults.unlink(missing_ok=True)
                # Not empty: another host has begun meanwhile, and will make the bridge anew.
                with suppress(OSError):
                    host.cluster.hosts.rmdir()


def status(host: HostPlaces) -> Status:
    """Return what is there of the host."""
    if not host.description.exists():
        return Status(name=host.name, state=State.ABSENT)
    record = Record.read(host.process)
    running = record if record and record.is_running() else None
    return Status(
        name=host.name,
        state=State.RUNNING if running else State.STOPPED,
        address=str(described(host).address.ip),
        pid=running.main.pid if running and running.main else None,
        host_key=host.host_key.read_text(encoding="utf-8").strip() if host.host_key.exists() else None,
    )


def described(host: HostPlaces) -> Description:
    """Return the host as it was last described; LocalError if there is none."""
    file = described_place(host) / "host.json"
    return parse(file.read_text(encoding="utf-8"), where=str(file))


def described_place(host: HostPlaces) -> Path:
    """Return the host's directory; LocalError if there is no such host."""
    if not host.description.exists():
        raise LocalError(
            what=f"there is no host {host.name}",
            why=f"in {host.cluster.home} there are: {', '.join(host.cluster.names()) or 'none'}",
            action="name one of them, or make it with `up`",
        )
    return host.directory


def _refuse_other(host: HostPlaces, description: Description) -> None:
    """Refuse to make another host of one that is there: who it is stands on its disk."""
    if not host.description.exists():
        return
    known = described(host)
    if (known.address, known.cluster, known.role) != (
        description.address,
        description.cluster,
        description.role,
    ):
        raise LocalError(
            what=f"{host.name} is there already, and is another one",
            why=f"it is {known.cluster}'s {known.role} at {known.address}, and "
            f"{description.cluster}'s {description.role} at {description.address} is asked for",
            action="end it first (`down`), or go on with the one that is there",
        )


def _running(host: HostPlaces) -> Identity | None:
    """Return the host's process if the whole host is there; what is not whole is started anew."""
    record = Record.read(host.process)
    if record is None or not record.is_running() or not disk.is_mounted(host):
        return None
    network.plug(host)
    return record.main


def _start(host: HostPlaces, description: Description, base: Image) -> Identity:
    _end(host)
    disk.make(host, description.disk_gib)
    disk.mount(host, base.root)
    furnish.furnish(host, description)
    main = machine.start(host, base)
    wire.plugged(host)
    return main


def _end(host: HostPlaces) -> None:
    record = Record.read(host.process) or Record(groups=groups_found(host.machine), boot=this_boot())
    record.end()
    network.remove_port(host.port)
    disk.unmount(host)
    for left in NSPAWN_RUN.glob(f"*/{host.machine}*"):
        with suppress(FileNotFoundError):
            _remove(left)
    host.process.unlink(missing_ok=True)


def _remove(left: Path) -> None:
    if left.is_dir():
        for place in reversed(disk.mounts_below(left)):
            run("umount", place)
        shutil.rmtree(left)
    else:
        left.unlink()
