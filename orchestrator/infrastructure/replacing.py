"""Machines of instances made anew through Terraform, and brought to where they join: no step is done twice.

Whoever does it may be killed at any point, also in the middle of Terraform. So nothing is remembered here:
each time it is looked at what there is. An old machine has an identity on it, a new one has none yet, and one
that can't be reached is made once more.
"""

import asyncio
from collections.abc import Sequence
from enum import Enum
from typing import Final

from orchestrator.infrastructure.bootstrap import Answering
from orchestrator.infrastructure.bringing import IDENTITY, Bringing
from orchestrator.infrastructure.changes import Changes
from orchestrator.infrastructure.clusters import Work
from orchestrator.infrastructure.errors import InfrastructureError, ReachError, RefusedError
from orchestrator.infrastructure.hosts import BASTION, Host
from orchestrator.infrastructure.reach import Ssh, Tell
from orchestrator.nearest import nearest

PATIENCE_S: Final = 15.0


class Found(Enum):
    """What there is of an instance's machine."""

    OLD = "old"
    NEW = "new"
    GONE = "gone"


class Replacing:
    """Makes machines of a cluster anew; all of it raises InfrastructureError."""

    def __init__(self, work: Work, bringing: Bringing, tell: Tell) -> None:
        self._work = work
        self._bringing = bringing
        self._tell = tell

    def refuse(self, names: Sequence[str], *, begun: bool = False) -> None:
        """Refuse what could only fail once instances are drained; one that has `begun` may be half made."""
        hosts = {host.name: host for host in self._work.hosts()}
        for name in names:
            if name not in hosts:
                why = nearest(name, hosts)
                raise InfrastructureError(what=f"{self._work.cluster.name} has no machine {name}", why=why)
            if hosts[name].role == BASTION:
                raise RefusedError(
                    what=f"{name} is the bastion",
                    why="the orchestrator that would see to it runs there",
                    action="leave it out: select other roles",
                )
        if not self._work.provider.makes:
            kind = self._work.cluster.provider.kind
            raise RefusedError(
                what=f"machines of the provider {kind} can't be made anew",
                why="they are recorded, and not made by it",
                action="upgrade in place: leave --replace away",
            )
        refuse_others(self._work.plan(), names if begun else ())

    def look(self, names: Sequence[str]) -> dict[str, Found]:
        """Return what there is of each instance's machine."""
        hosts = self._work.hosts_written()
        return asyncio.run(self._look([host for host in hosts if host.name in names], names))

    def make(self, old: Sequence[str], names: Sequence[str]) -> None:
        """Have other machines in the places of `old`, and a wing and a token on each of `names`."""
        hosts = self._made(old) if old else self._work.hosts_written()
        cluster, home = self._work.cluster, self._work.home
        asyncio.run(self._bringing.newcomers(cluster, hosts, home, self._tell, names=names))

    def late(self, names: Sequence[str]) -> InfrastructureError:
        """Return what is wrong with machines that have a token and did not join."""
        hosts, home = self._work.hosts(), self._work.home
        return asyncio.run(self._bringing.absent(self._work.cluster, hosts, home, names=names))

    def _made(self, old: Sequence[str]) -> tuple[Host, ...]:
        changes = self._work.plan(replace=old)
        refuse_others(changes, old)
        return self._work.apply(changes, confirmed=old)

    async def _look(self, hosts: Sequence[Host], names: Sequence[str]) -> dict[str, Found]:
        ssh = Ssh(self._work.home.ssh_config)
        found = dict.fromkeys(names, Found.GONE)
        for host in hosts:
            found[host.name] = await self._look_at(ssh, host)
        return found

    async def _look_at(self, ssh: Ssh, host: Host) -> Found:
        try:
            answering = Answering(patience_s=PATIENCE_S)
            await answering.bring_up(self._work.cluster, [host], self._work.home, lambda _: None)
            is_new = (await ssh.run(host, "test", "-e", IDENTITY)).code
        except ReachError:
            return Found.GONE
        return Found.NEW if is_new else Found.OLD


def refuse_others(changes: Changes, names: Sequence[str]) -> None:
    """Refuse a plan that would change anything but the machines of `names`."""
    told = ((change.instance, change.action) for change in changes.instances)
    others = [f"{name} ({action.value})" for name, action in told if name not in names]
    others += [f"{change.resource} ({change.action.value})" for change in changes.others]
    if others:
        meant = f"more than {', '.join(names)}: {', '.join(others)}" if names else ", ".join(others)
        raise RefusedError(
            what=f"Terraform would change {meant}",
            why="by replacement nothing changes but the machines whose turn it is",
            action="see `tarmak cluster plan`, and apply that first",
        )
