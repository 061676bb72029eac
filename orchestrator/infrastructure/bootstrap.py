"""What has to happen once the machines are there, as a port: the mesh is brought onto them.

`tarmak cluster apply` calls it after Terraform, each time; what is in place already has to be left as it is.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.errors import ReachError
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.places import Home
from orchestrator.infrastructure.reach import Ssh

Tell = Callable[[str], None]
REACH_S: Final = 120.0
BREATH_S: Final = 0.5
BOOTING: Final = (
    "Connection refused",
    "Connection reset",
    "Connection closed",
    "Connection timed out",
    "No route to host",
    "Operation timed out",
    "System is booting up",
    "during banner exchange",
)


class Bootstrap(Protocol):
    """Brings a cluster's hosts to where they are wanted; `home` has the ssh_config that reaches them."""

    async def bring_up(self, cluster: Cluster, hosts: Sequence[Host], home: Home, tell: Tell) -> None:
        """Return when every host is as expected; raises InfrastructureError for the first that isn't."""


class Answering:
    """Waits until every host lets us in over SSH, by the host key that is known of it."""

    def __init__(self, *, patience_s: float = REACH_S) -> None:
        self._patience_s = patience_s

    async def bring_up(self, cluster: Cluster, hosts: Sequence[Host], home: Home, tell: Tell) -> None:
        """Return when every host has answered; raises ReachError for the first that won't."""
        ssh, refusals = Ssh(home.ssh_config), list[ReachError]()
        async with asyncio.TaskGroup() as tasks:
            for host in hosts:
                tasks.create_task(self._ask(ssh, host, refusals), name=f"answering.{host.name}")
        if refusals:
            raise refusals[0]
        tell(f"{cluster.name}: all {len(hosts)} hosts answer over SSH")

    async def _ask(self, ssh: Ssh, host: Host, refusals: list[ReachError]) -> None:
        """Ask a host until it answers, won't, or another one won't: then all is over anyway."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._patience_s
        while not refusals:
            try:
                await ssh.do(host, "true")
            except ReachError as error:
                if loop.time() >= ends or not is_booting(error):
                    refusals.append(error)
                await asyncio.sleep(BREATH_S)
            else:
                return


def is_booting(error: ReachError) -> bool:
    """Return whether a host that said so may just be starting; one that refuses us goes on refusing."""
    return any(sign in error.why for sign in BOOTING)
