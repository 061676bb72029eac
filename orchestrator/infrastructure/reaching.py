"""Which cluster is meant, and how an operator gets onto one of its hosts."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from orchestrator.infrastructure import cluster_file
from orchestrator.infrastructure.cluster import InstanceRole
from orchestrator.infrastructure.clusters import Work, homes
from orchestrator.infrastructure.errors import InfrastructureError, ReachError
from orchestrator.infrastructure.hosts import BASTION, Host
from orchestrator.infrastructure.places import Home, clusters_root
from orchestrator.nearest import nearest


def home_of(name: str | None, directory: Path | None, *, here: Path) -> Home:
    """Return the directory of the cluster that is meant: named, described `here`, or the only one."""
    if directory is not None:
        return Home(directory.absolute())
    root = clusters_root()
    known = [home.path.name for home in homes(root)]
    if name is None and here.exists():
        name = cluster_file.load(here).name
    if name is None and len(known) == 1:
        name = known[0]
    if name is None:
        why = f"there are {', '.join(known)}" if known else "there are none"
        raise InfrastructureError(
            what="it is not said which cluster is meant",
            why=why,
            action="name it with --cluster, or give --dir",
        )
    if name not in known:
        raise InfrastructureError(
            what=f"there is no cluster {name} in {root}",
            why=nearest(name, known),
            action="see `tarmak cluster list`; --dir names another place, `tarmak cluster apply` makes one",
        )
    return Home(root / name)


def become_ssh(work: Work, instance: str, command: Sequence[str]) -> NoReturn:
    """Become `ssh` to an instance. Several words arrive there as they are, one is a line for its shell."""
    host = host_named(work, instance)
    line = command[0] if len(command) == 1 else shlex.join(command)
    _become(work.home, host, *((line,) if command else ()))


def become_logs(work: Work, instance: str, *, unit: str, lines: int, follow: bool) -> NoReturn:
    """Become `ssh` to an instance that shows a unit's journal."""
    host = host_named(work, instance)
    words = [
        "journalctl",
        f"--unit={unit}",
        f"--lines={lines}",
        "--no-pager",
        *(["--follow"] if follow else []),
    ]
    _become(work.home, host, shlex.join(words if host.user == "root" else ["sudo", "-n", "--", *words]))


def host_named(work: Work, name: str) -> Host:
    """Return a host of the cluster, with everything there that `ssh` reads; ReachError for no such one."""
    hosts = _hosts(work)
    for host in hosts:
        if host.name == name:
            return host
    what = f"{work.cluster.name} has no instance {name}"
    raise ReachError(
        what=what, why=nearest(name, [host.name for host in hosts]), action="see `tarmak cluster instances`"
    )


def bastion(work: Work) -> Host:
    """Return the cluster's bastion, with everything there that `ssh` reads; ReachError without one."""
    for host in _hosts(work):
        if host.role == BASTION:
            return host
    raise ReachError(what=f"{work.cluster.name} has no bastion", action="`tarmak cluster apply` makes it")


def etcd_hosts(work: Work) -> tuple[Host, ...]:
    """Return the hosts of etcd's members, with everything there that `ssh` reads; ReachError if none are."""
    found = tuple(host for host in _hosts(work) if host.role == InstanceRole.ETCD)
    if not found:
        raise ReachError(
            what=f"{work.cluster.name} has no instance of the role etcd",
            why="snapshots are those of etcd",
            action="see `tarmak cluster instances`",
        )
    return found


def _hosts(work: Work) -> tuple[Host, ...]:
    return work.hosts() if work.home.ssh_config.exists() else work.hosts_written()


def _become(home: Home, host: Host, *line: str) -> NoReturn:
    words = ("ssh", "-F", str(home.ssh_config), "-o", "LogLevel=INFO", host.name, *line)
    try:
        os.execvp(words[0], words)  # noqa: S606 - no shell is between us and ssh
    except FileNotFoundError as error:
        action = "install the package openssh-client"
        raise ReachError(what="there is no `ssh` on this machine", action=action) from error
