"""Which providers there are: the one place that names them all."""

from typing import assert_never

from orchestrator.infrastructure.cluster import Cluster, LocalProvider, StaticProvider
from orchestrator.infrastructure.providers.local import Local
from orchestrator.infrastructure.providers.port import Provider
from orchestrator.infrastructure.providers.static import Static


def provider_of(cluster: Cluster) -> Provider:
    """Return the provider that a cluster's description names."""
    match cluster.provider:
        case LocalProvider():
            return Local()
        case StaticProvider():
            return Static()
        case _:
            assert_never(cluster.provider)
