"""What has to happen once the machines are there, as a port: the mesh is brought onto them.

`tarmak cluster apply` calls it after Terraform, each time; what is in place already has to be left as it is.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.errors import InfrastructureError, ReachError
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.places import Home
from orchestrator.infrastructure.reach import Ssh

Tell = Callable[[str], None]
REACH_S: Final = 120.0
BREATH_S: Final = 0.5


class Bootstrap(Protocol):
    """Brings a cluster's hosts to where they are wanted; `home` has the ssh_config that reaches them."""

    async def bring_up(self, cluster: Cluster, hosts: Sequence[Host], home: Home, tell: Tell) -> None:
        """Return when every host is as expected; raises InfrastructureError for the first that isn't."""


class Answering:
    """Waits until every host lets us in over SSH, by the host key that is known of it."""

    def __init__(self, *, patience_s: float = REACH_S) -> None:
        self._patience_s = patience_s

    async def bring_up(self, cluster: Cluster, hosts: Sequence[Host], home: Home, tell: Tell) -> None:
        """Return when every host has answered; raises ReachError for the first that does not."""
        ssh = Ssh(home.ssh_config)
        try:
            async with asyncio.TaskGroup() as tasks:
                for host in hosts:
                    tasks.create_task(self._answered(ssh, host), name=f"answering.{host.name}")
        except* InfrastructureError as errors:
            raise _first(errors) from None
        tell(f"{cluster.name}: all {len(hosts)} hosts answer over SSH")

    async def _answered(self, ssh: Ssh, host: Host) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._patience_s
        while True:
            try:
                await ssh.do(host, "true")
            except ReachError:
                if loop.time() >= ends:
                    raise
                await asyncio.sleep(BREATH_S)  # a host that is just booting
            else:
                return


def _first(errors: BaseExceptionGroup[InfrastructureError]) -> InfrastructureError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
