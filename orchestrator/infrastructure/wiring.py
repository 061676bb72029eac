"""What `tarmak cluster` works with, put together: the one place to change for another Bootstrap."""

from collections.abc import Callable
from pathlib import Path

from orchestrator.infrastructure import release
from orchestrator.infrastructure.bootstrap import Bootstrap
from orchestrator.infrastructure.bringing import Bringing
from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.clusters import Work
from orchestrator.infrastructure.places import Home
from orchestrator.infrastructure.program import find
from orchestrator.infrastructure.progress import Progress
from orchestrator.infrastructure.providers.table import provider_of
from orchestrator.infrastructure.terraform import Terraform

Tell = Callable[[Progress, frozenset[str]], None]
"""Hears how it goes, and which resources the provider calls renewable."""


def work_on(cluster: Cluster, directory: Path, tell: Tell) -> Work:
    """Return what works on `cluster` in a directory, which is made if it isn't there."""
    home, provider = Home(directory), provider_of(cluster)
    home.make()
    terraform = Terraform(find(), home, lambda progress: tell(progress, provider.renewable))
    return Work(home=home, cluster=cluster, terraform=terraform, provider=provider)


def bootstrap() -> Bootstrap:
    """Return what happens once the machines are there; InfrastructureError without a release to bring."""
    return Bringing(release.Release.of(release.folder()))
