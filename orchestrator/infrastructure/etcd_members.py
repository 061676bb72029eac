"""The hosts of etcd's members: what is done there is done by programs of the site's, or can't be done."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.infrastructure.errors import ReachError
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.reach import Ran, Ssh
from orchestrator.nearest import nearest

LACKING: Final = 3
"""What a script ends with where a program of the site's is missing."""
PROGRAMS: Final = ("snapshot", "restore", "healthy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a site has on its etcd hosts the programs that keep a member, and its backups."""

    programs: str = "/usr/local/lib/etcd"
    backups: str = "/var/backups/site"

    @property
    def snapshots(self) -> str:
        """Where snapshots are that were taken before changes, or by hand."""
        return f"{self.backups}/etcd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The hosts, how they are reached, and where they have what is needed."""

    ssh: Ssh
    hosts: Sequence[Host]
    places: Places

    def host(self, name: str) -> Host:
        """Return the member of that name; ReachError if there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        known = [host.name for host in self.hosts]
        raise ReachError(what=f"{name} is no member of this etcd", why=nearest(name, known))

    async def script(self, host: Host, script: str, *words: str) -> Ran:
        """Run a shell script; it ends with LACKING where a program is missing, and that is a ReachError."""
        ran = await self.ssh.run(host, "sh", "-c", script, "sh", *words)
        if ran.code == LACKING:
            raise ReachError(
                what=f"{host.name} lacks {self.places.programs}/{ran.out.strip() or PROGRAMS[0]}",
                why="it comes with the site's role etcd, which was not applied there",
                action="converge it with that role: docs/operations/etcd.md",
            )
        return ran

    async def each(self, work: Callable[[Host], Awaitable[None]]) -> dict[str, ReachError]:
        """Do `work` on all at once, and return why it failed, by the name of the member."""
        failed: dict[str, ReachError] = {}

        async def attempt(host: Host) -> None:
            try:
                await work(host)
            except ReachError as error:
                failed[host.name] = error

        async with asyncio.TaskGroup() as tasks:
            for host in self.hosts:
                tasks.create_task(attempt(host), name=f"etcd.{host.name}")
        return {host.name: failed[host.name] for host in self.hosts if host.name in failed}
