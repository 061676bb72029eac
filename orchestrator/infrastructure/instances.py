"""A cluster's instances: their names and addresses follow from its description.

An address, once given, stays with its instance whatever is added or removed around it: another one would
make another host of it. So those that are in force come in as a value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from orchestrator.infrastructure.cluster import Cluster, InstanceRole, Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A machine to be, or that exists: `host_key` is known of those that do."""

    name: str
    role: InstanceRole
    pool: str
    address: str
    size: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str = "root"
    port: int = 22
    host_key: str | None = None


def instances(cluster: Cluster, kept: Mapping[str, str]) -> tuple[Instance, ...]:
    """Return all instances in the file's order; `kept` are the addresses that are in force, by name."""
    given = {} if cluster.network is None else _allotted(cluster, cluster.network, kept)
    return tuple(
        Instance(
            name=name,
            role=pool.role,
            pool=pool.name,
            address=given[name],
            size=pool.size,
            labels=pool.labels,
        )
        for pool in cluster.pools
        if pool.hosts is None
        for name in pool.names()
    ) + tuple(
        Instance(
            name=host.name,
            role=pool.role,
            pool=pool.name,
            address=host.address,
            labels=pool.labels,
            user=host.user,
            port=host.port,
            host_key=host.host_key,
        )
        for pool in cluster.pools
        for host in pool.hosts or ()
    )


def _allotted(cluster: Cluster, network: Network, kept: Mapping[str, str]) -> dict[str, str]:
    names = [name for pool in cluster.pools if pool.hosts is None for name in pool.names()]
    staying = {name: kept[name] for name in names if name in kept and _fits(network, kept[name])}
    taken = set(staying.values())
    free = (str(address) for address in network.addresses() if str(address) not in taken)
    return {name: staying.get(name) or next(free) for name in names}


def _fits(network: Network, address: str) -> bool:
    return IPv4Address(address) in network.cidr
