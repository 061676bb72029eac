"""The first converge of instances that are new, and what is said of those that are not.

An instance that serves already is never converged from here, whatever the bundle: that takes a rollout, which
drains. One that is new to a role whose bundle is decided gets that one, and is then taken along like the
others. And an end that is not proved is none: each instance has to say that it is what the bundle says.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.errors import InfrastructureError
from orchestrator.infrastructure.fleet import LOOK_S, Fleet, Run, on_the_bastion
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.reach import Tell
from orchestrator.infrastructure.site_bundle import packed

SILENCE_S: Final = 20.0
"""After so long it is said who is waited for."""
SHOWN: Final = 19
"""Of a digest: `sha256:` and twelve digits."""


class Converging:
    """Has a fleet's new instances converge."""

    def __init__(self, fleet: Fleet, bastion: Host, tell: Tell) -> None:
        self._fleet = fleet
        self._bastion = bastion
        self._tell = tell

    async def all(self, cluster: Cluster, hosts: Sequence[Host]) -> None:
        """Return when every new instance is what the cluster's bundle says; raises the first failure."""
        digest = await self._bundle(cluster, hosts)
        if digest is None:
            self._tell(f"{cluster.name}: no bundle is described, so nothing is converged")
            return
        seen = await self._fleet.instances()
        new = [host.name for host in hosts if seen[host.name].observed is None]
        undecided = [name for name in new if seen[name].desired is None]
        if undecided:
            self._tell(f"{cluster.name}: {len(undecided)} instances converge to {digest[:SHOWN]}")
        decided = [name for name in new if name not in undecided]
        if decided:
            self._tell(f"{', '.join(decided)}: converging to what the others of the role have")
        runs = await self._fleet.converge(undecided, digest)
        await self._converged((*runs, *await self._fleet.converge(decided)))
        await self._judge(cluster, hosts, digest)

    async def _bundle(self, cluster: Cluster, hosts: Sequence[Host]) -> str | None:
        if (site := cluster.source()) is None:
            return cluster.digest()
        with tempfile.TemporaryDirectory(prefix="tarmak-bundle-") as folder:
            bundle = await asyncio.to_thread(packed, cluster, site, hosts, Path(folder), self._tell)
            self._tell(f"{cluster.name}: {site} is the bundle {bundle.digest}")
            await self._fleet.push(bundle.path)
        return bundle.digest

    async def _converged(self, asked: Sequence[Run]) -> None:
        told, clock = set[str](), asyncio.get_running_loop().time
        silent_since = clock()
        while len(told) < len(asked):
            runs = await self._fleet.runs(asked)
            before = len(told)
            for run in runs:
                if run.ended and run.id not in told:
                    told.add(run.id)
                    self._end(run)
            if len(told) > before or clock() - silent_since > SILENCE_S:
                silent_since = clock()
                self._still([run.instance for run in asked if run.id not in told])
            await asyncio.sleep(LOOK_S)

    def _still(self, names: Sequence[str]) -> None:
        if names:
            self._tell(f"converging: {', '.join(names)}")

    def _end(self, run: Run) -> None:
        if run.failed:
            log = on_the_bastion(self._bastion, "run", "logs", run.id)
            raise InfrastructureError(
                what=f"{run.instance} failed to converge",
                why=run.reason or run.state,
                action=f"see `{log}`, mend it and apply again",
            )
        self._tell(f"{run.instance}: has converged ({run.changed} of {run.total} resources changed)")

    async def _judge(self, cluster: Cluster, hosts: Sequence[Host], digest: str) -> None:
        seen = await self._fleet.instances()
        if failed := [host.name for host in hosts if seen[host.name].outcome == "failed"]:
            raise InfrastructureError(
                what=f"{', '.join(failed)} failed to converge",
                why=seen[failed[0]].reason,
                action=f"see `{on_the_bastion(self._bastion, 'why', failed[0])}`",
            )
        other = [host.name for host in hosts if seen[host.name].observed != digest]
        if not other:
            self._tell(f"{cluster.name}: all {len(hosts)} instances are what {digest[:SHOWN]} says")
            return
        self._tell(f"{', '.join(other)}: on another bundle. To take them along, one by one:")
        words = ("upgrade", "--bundle", digest[:SHOWN], "--instance", ",".join(other))
        self._tell(f"  {on_the_bastion(self._bastion, *words)}")
