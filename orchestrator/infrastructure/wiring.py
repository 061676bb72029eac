"""What `tarmak cluster` works with, put together: the one place to change for another Bootstrap."""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.infrastructure import reach, reaching, release
from orchestrator.infrastructure.backing_up import BackingUp
from orchestrator.infrastructure.bootstrap import Bootstrap
from orchestrator.infrastructure.bringing import Bringing
from orchestrator.infrastructure.changes import Changes
from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.clusters import Work
from orchestrator.infrastructure.etcd_members import Members, Places
from orchestrator.infrastructure.fleet import Fleet
from orchestrator.infrastructure.leaving import Leaving
from orchestrator.infrastructure.places import Home
from orchestrator.infrastructure.program import find
from orchestrator.infrastructure.progress import Progress
from orchestrator.infrastructure.providers.table import provider_of
from orchestrator.infrastructure.replacing import Replacing
from orchestrator.infrastructure.restoring import Restoring
from orchestrator.infrastructure.snapshots import Snapshots
from orchestrator.infrastructure.terraform import Terraform

Tell = Callable[[Progress, frozenset[str]], None]
"""Hears how it goes, and which resources the provider calls renewable."""


def work_on(cluster: Cluster, directory: Path, tell: Tell) -> Work:
    """Return what works on `cluster` in a directory, which is made if it isn't there."""
    home, provider = Home(directory), provider_of(cluster)
    home.make()
    terraform = Terraform(find(), home, lambda progress: tell(progress, provider.renewable))
    return Work(home=home, cluster=cluster, terraform=terraform, provider=provider)


def bootstrap(backup: Path | None = None) -> Bootstrap:
    """Return what happens once the machines are there; InfrastructureError without a release to bring.

    `backup` is that of a bastion, for one that is made anew.
    """
    return Bringing(release.Release.of(release.folder()), backup)


def leaving(work: Work, changes: Changes, given: Sequence[str] | None, tell: reach.Tell) -> Leaving:
    """Return what empties the machines that end but those whose state was `given` up (None: all)."""

    def fleet() -> Fleet:
        return Fleet(reach.Ssh(work.home.ssh_config), reaching.bastion(work))

    return Leaving(fleet, changes, given=given, tell=tell)


def replacing(work: Work, tell: reach.Tell) -> Replacing:
    """Return what makes machines anew; InfrastructureError without a release to bring."""
    return Replacing(work, Bringing(release.Release.of(release.folder())), tell)


def members(work: Work, places: Places) -> Members:
    """Return the members of the cluster's etcd; ReachError if it has none."""
    hosts = reaching.etcd_hosts(work)
    return Members(ssh=reach.Ssh(work.home.ssh_config), hosts=hosts, places=places)


def snapshots(work: Work, places: Places, tell: reach.Tell) -> Snapshots:
    """Return the snapshots of the cluster's etcd, on its hosts and here."""
    return Snapshots(members(work, places), work.home.snapshots, tell)


def restoring(work: Work, places: Places, tell: reach.Tell) -> Restoring:
    """Return what takes the cluster's etcd back to a snapshot, once."""
    return Restoring(members(work, places), tell, mark=secrets.token_hex(4))


def backing_up(work: Work) -> BackingUp:
    """Return what brings a backup of the cluster's bastion here."""
    return BackingUp(reach.Ssh(work.home.ssh_config), reaching.bastion(work), work.home.backups)
