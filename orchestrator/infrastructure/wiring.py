"""What `tarmak cluster` works with, put together: the one place to change for another Bootstrap."""

from pathlib import Path

from orchestrator.infrastructure.bootstrap import Answering, Bootstrap
from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.clusters import Work
from orchestrator.infrastructure.places import Home
from orchestrator.infrastructure.program import find
from orchestrator.infrastructure.providers.table import provider_of
from orchestrator.infrastructure.terraform import Tell, Terraform


def work_on(cluster: Cluster, directory: Path, tell: Tell) -> Work:
    """Return what works on `cluster` in a directory, which is made if it isn't there."""
    home = Home(directory)
    home.make()
    terraform = Terraform(find(), home, tell)
    return Work(home=home, cluster=cluster, terraform=terraform, provider=provider_of(cluster))


def bootstrap() -> Bootstrap:
    """Return what happens once the machines are there."""
    return Answering()
