"""Brings a mesh onto hosts that exist: the bastion first, then a wing on each, then the first converge.

All of it can be done again at any time, and is, by each `tarmak cluster apply`: what is in place is left as
it is. A host that already has an identity keeps it; one that lacks it gets a token of its own, which is
handed over SSH and never written down here. Nor is a wing restarted: it sees new code by itself, and takes it
up once nothing is under way.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from orchestrator.infrastructure.backing_up import THERE
from orchestrator.infrastructure.bootstrap import Answering
from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.converging import Converging
from orchestrator.infrastructure.errors import InfrastructureError
from orchestrator.infrastructure.fleet import ORCHESTRATOR, TARMAK, Fleet, until
from orchestrator.infrastructure.hosts import BASTION, Host
from orchestrator.infrastructure.places import Home
from orchestrator.infrastructure.reach import Ssh, Tell
from orchestrator.infrastructure.release import BASTION_UNITS, OPT, WING_UNITS, Piece, Release

PATIENCE_S: Final = 180.0
AT_ONCE: Final = 8
JOIN_FILE: Final = "/etc/tarmak/join.toml"
IDENTITY: Final = "/etc/tarmak/wing.toml"
"""What a host has from the moment on at which it has joined."""
FOUNDED: Final = "/etc/tarmak/orchestrator.toml"
RENEWED: Final = "/etc/tarmak/orchestrator/doors.pem"
RENEW_DAYS: Final = 300
"""The certificates of broker and doors are good for a year."""

Work = Callable[[Host], Coroutine[Any, Any, None]]


class Bringing:
    """A Bootstrap that brings a release; a bastion that is new is made from the `backup` of another one."""

    def __init__(self, release: Release, backup: Path | None = None) -> None:
        self._release = release
        self._backup = backup

    async def bring_up(self, cluster: Cluster, hosts: Sequence[Host], home: Home, tell: Tell) -> None:
        """Return when every host has joined and converged; InfrastructureError for the first failure."""
        await Answering().bring_up(cluster, hosts, home, tell)
        mesh = self._mesh(cluster, hosts, home, tell)
        await mesh.found(self._backup)
        await _each(hosts, mesh.instance)
        await mesh.joined(hosts)
        await Converging(mesh.fleet, mesh.bastion, tell).all(cluster, hosts)

    async def newcomers(
        self, cluster: Cluster, hosts: Sequence[Host], home: Home, tell: Tell, *, names: Sequence[str]
    ) -> None:
        """Bring wings and tokens onto the new machines of `names`, which a rollout has and goes on with."""
        new = [host for host in hosts if host.name in names]
        await Answering().bring_up(cluster, new, home, tell)
        await _each(new, self._mesh(cluster, hosts, home, tell).newcomer)

    async def absent(
        self, cluster: Cluster, hosts: Sequence[Host], home: Home, *, names: Sequence[str]
    ) -> InfrastructureError:
        """Return why those of `names` did not join, in the words of the first."""
        missing = [host for host in hosts if host.name in names]
        return await self._mesh(cluster, hosts, home, lambda _: None).absent(missing)

    def _mesh(self, cluster: Cluster, hosts: Sequence[Host], home: Home, tell: Tell) -> "_Mesh":
        ssh = Ssh(home.ssh_config)
        bastion = next(host for host in hosts if host.role == BASTION)
        return _Mesh(
            ssh=ssh,
            release=self._release,
            cluster=cluster,
            bastion=bastion,
            fleet=Fleet(ssh, bastion),
            tell=tell,
        )


class _Mesh:
    """What is put on hosts until all are members of one mesh."""

    def __init__(
        self, *, ssh: Ssh, release: Release, cluster: Cluster, bastion: Host, fleet: Fleet, tell: Tell
    ) -> None:
        self._ssh = ssh
        self._release = release
        self._cluster = cluster
        self.bastion = bastion
        self.fleet = fleet
        self._tell = tell
        self._room = asyncio.Semaphore(AT_ONCE)
        self._labels = {pool.name: pool.labels for pool in cluster.pools}

    async def found(self, backup: Path | None) -> None:
        """Make the bastion one: broker, orchestrator, and what both need."""
        host = self.bastion
        await self._need(host, "mosquitto", "mosquitto")
        changed = await self._install(host, self._release.bastion)
        if changed:
            await self._ssh.do(host, "systemd-sysusers")
            await self._ssh.do(host, "ln", "-sf", f"{OPT}/tarmak.pyz", TARMAK)
        if backup is not None:
            await self._restore(backup)
        if renewed := await self._wants_init(restored=backup is not None):
            await self._init()
        await self._ssh.do(host, "systemctl", "enable", "--quiet", *BASTION_UNITS)
        word = "restart" if changed or renewed else "start"
        await self._ssh.do(host, "systemctl", word, "--no-block", *BASTION_UNITS)
        await until(self.fleet.answers, patience_s=PATIENCE_S, late=self._silent)

    async def instance(self, host: Host) -> None:
        """Give a host its wing, and the token with which it joins if it has no identity yet."""
        await self._furnish(host, is_free=True)

    async def newcomer(self, host: Host) -> None:
        """Do the same for one whose instance a rollout has: it stays that one's until it is done with it."""
        await self._furnish(host, is_free=False)

    async def _furnish(self, host: Host, *, is_free: bool) -> None:
        async with self._room:
            await self._need(host, "python3", "python3")
            await self._need(host, "puppet", "puppet-agent")
            await self._install(host, self._release.everywhere)
            if (await self._ssh.run(host, "test", "-e", IDENTITY)).code:
                await self._invite(host, is_free=is_free)
            await self._ssh.do(host, "systemctl", "enable", "--quiet", *WING_UNITS)
            await self._ssh.do(host, "systemctl", "start", "--no-block", *WING_UNITS)

    async def joined(self, hosts: Sequence[Host]) -> None:
        """Wait until every host's wing is online: one that never appeared is not there."""
        missing = list(hosts)

        async def all_online() -> bool:
            fleet = await self.fleet.instances()
            missing[:] = [host for host in hosts if host.name not in fleet or not fleet[host.name].online]
            return not missing

        await until(all_online, patience_s=PATIENCE_S, late=lambda: self.absent(missing))
        self._tell(f"{self._cluster.name}: all {len(hosts)} instances have joined")

    async def _is_founded(self) -> bool:
        return (await self._ssh.run(self.bastion, "test", "-e", FOUNDED)).code == 0

    async def _restore(self, backup: Path) -> None:
        host = self.bastion
        if await self._is_founded():
            raise InfrastructureError(
                what=f"{host.name} is a bastion already, so no backup is restored there",
                action=f"apply without it; or with --replace {host.name}, if it shall be made anew",
            )
        await self._ssh.bring(host, backup, THERE, mode=0o600)
        try:
            self._tell(f"{host.name}: {(await self._ssh.do(host, *ORCHESTRATOR, 'restore', THERE)).strip()}")
        finally:
            await self._ssh.run(host, "rm", "-f", THERE)

    async def _wants_init(self, *, restored: bool) -> bool:
        if restored or not await self._is_founded():
            return True
        words = ("find", RENEWED, "-mtime", f"-{RENEW_DAYS}")
        return not (await self._ssh.run(self.bastion, *words)).out.strip()

    async def _init(self) -> None:
        host = self.bastion
        # The address comes first: whoever is to join may not resolve names yet.
        names = [word for name in (host.address, host.name) for word in ("--host", name)]
        init = (*ORCHESTRATOR, "init", "--cluster", self._cluster.name)
        for line in (await self._ssh.do(host, *init, *names)).splitlines():
            self._tell(f"{host.name}: {line}")

    async def _invite(self, host: Host, *, is_free: bool) -> None:
        if is_free and host.name in await self.fleet.instances():
            # Another machine by that name: nothing that was wished or known of the one before holds for it.
            await self.fleet.revoke(host.name)
        invitation = await self.fleet.invite(host, self._labels.get(host.pool, {}))
        text = f"url = {json.dumps(invitation.url)}\ntoken = {json.dumps(invitation.token)}\n"
        await self._ssh.do(host, "mkdir", "-p", "/etc/tarmak")
        await self._ssh.put(host, text.encode(), JOIN_FILE, mode=0o600)
        self._tell(f"{host.name}: has a token to join with")

    async def _need(self, host: Host, program: str, package: str) -> None:
        if (await self._ssh.run(host, "sh", "-c", f"command -v {program}")).code == 0:
            return
        self._tell(f"{host.name}: installs {package}")
        await self._ssh.do(host, "apt-get", "update", "-q")
        quiet = ("env", "DEBIAN_FRONTEND=noninteractive")
        await self._ssh.do(host, *quiet, "apt-get", "install", "-q", "-y", "--no-install-recommends", package)

    async def _install(self, host: Host, pieces: Sequence[Piece]) -> bool:
        brought = [
            piece for piece in pieces if await self._ssh.bring(host, piece.file, piece.path, mode=piece.mode)
        ]
        if brought:
            await self._ssh.do(host, "systemctl", "daemon-reload")
            self._tell(f"{host.name}: has {', '.join(piece.file.name for piece in brought)}")
        return bool(brought)

    async def _silent(self) -> InfrastructureError:
        name = self.bastion.name
        said = await self._last_words(self.bastion, "tarmak-orchestrator", "tarmak-mosquitto")
        action = f"see `tarmak cluster logs {name} --unit tarmak-orchestrator`, then apply again"
        return InfrastructureError(what=f"{name}: the orchestrator does not answer", why=said, action=action)

    async def absent(self, missing: Sequence[Host]) -> InfrastructureError:
        """Return why hosts did not join, in the words of the first."""
        host = missing[0]
        names = ", ".join(each.name for each in missing)
        return InfrastructureError(
            what=f"{names} did not join within {PATIENCE_S:.0f} s",
            why=await self._last_words(host, "wing-join", "wing"),
            action=f"see `tarmak cluster logs {host.name} --unit wing-join`, then apply again",
        )

    async def _last_words(self, host: Host, *units: str) -> str:
        named = [word for unit in units for word in ("--unit", unit)]
        words = ("journalctl", *named, "--lines", "3", "--output", "cat", "--no-pager")
        return "; ".join((await self._ssh.run(host, *words)).out.strip().splitlines()[-3:])


async def _each(hosts: Sequence[Host], work: Work) -> None:
    """Do it for all hosts; raises the first failure, and then begins and waits for nothing more."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for host in hosts:
                tasks.create_task(work(host), name=f"bringing.{host.name}")
    except* InfrastructureError as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[InfrastructureError]) -> InfrastructureError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
