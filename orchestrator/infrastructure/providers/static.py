"""Hosts that exist: Terraform only records them, so that coming and going are planned as anywhere else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.infrastructure.cluster import Cluster, StaticProvider
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.instances import Instance
from orchestrator.infrastructure.places import Home
from orchestrator.infrastructure.providers.port import FIRST_WITH_DATA, Table, literal


class Static:
    """An inventory."""

    renewable: frozenset[str] = frozenset()
    makes = False

    def terraform(
        self,
        cluster: Cluster,  # noqa: ARG002 - other providers need it
        instances: Sequence[Instance],
        home: Home,  # noqa: ARG002 - as above
        *,
        authorized_key: str,  # noqa: ARG002 - whoever owns the hosts has put it there
    ) -> Table:
        """Return a record for each host."""
        hosts = {one.name: literal(_record(one)) for one in instances}
        record = {"for_each": "${local.instances}", "input": "${each.value}"}
        return {
            "terraform": {"required_version": FIRST_WITH_DATA},
            "locals": {"instances": hosts},
            "resource": {"terraform_data": {"host": record}},
            "output": {"hosts": {"value": "${[for one in terraform_data.host : one.output]}"}},
        }

    def completed(self, hosts: Sequence[Host], home: Home) -> tuple[Host, ...]:  # noqa: ARG002 - as above
        """Return the hosts: the inventory has said all."""
        return tuple(hosts)

    def stopped(self, hosts: Sequence[Host], home: Home) -> tuple[str, ...]:  # noqa: ARG002 - as above
        """Return nothing: they are not ours to start."""
        return ()

    def identity(self, cluster: Cluster, home: Home) -> Path:
        """Return the key that the description names, or the cluster's own."""
        return _settings(cluster).identity or home.key

    def jump(self, cluster: Cluster) -> bool:
        """Return what the description says."""
        return _settings(cluster).jump


def _settings(cluster: Cluster) -> StaticProvider:
    if not isinstance(cluster.provider, StaticProvider):
        raise TypeError(cluster.provider)
    return cluster.provider


def _record(one: Instance) -> dict[str, Any]:
    return {
        "name": one.name,
        "role": one.role.value,
        "pool": one.pool,
        "address": one.address,
        "user": one.user,
        "port": one.port,
        "host_key": one.host_key,
    }
