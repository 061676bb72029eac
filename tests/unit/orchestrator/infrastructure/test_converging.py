"""The first converge of a cluster: who is converged to what, and what is an end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.converging import Converging
from orchestrator.infrastructure.errors import InfrastructureError
from orchestrator.infrastructure.fleet import Run, Seen
from orchestrator.infrastructure.hosts import Host

NEW, OLD = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
HOSTS = tuple(
    Host(name=name, role=name.rpartition("-")[0], pool="p", address="198.18.4.10")
    for name in ("bastion-1", "worker-1", "worker-2")
)


@dataclass
class Orchestrator:
    """Stands for a `Fleet`: its instances, and how each one's runs end."""

    seen: dict[str, Seen]
    ends: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[Sequence[str], str | None]] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)

    async def instances(self) -> dict[str, Seen]:
        return self.seen

    async def push(self, archive: Path) -> None:
        self.pushed.append(archive.name)

    async def converge(self, names: Sequence[str], digest: str | None = None) -> tuple[Run, ...]:
        if names:
            self.asked.append((tuple(names), digest))
        for name in names:
            outcome = "failed" if self.ends.get(name) == "failed" else "converged"
            self.seen[name] = seen(name, observed=digest or self.seen[name].desired, outcome=outcome)
        return tuple(run(name, "queued") for name in names)

    async def runs(self, asked: Sequence[Run]) -> tuple[Run, ...]:
        return tuple(run(each.instance, self.ends.get(each.instance, "succeeded")) for each in asked)


def seen(
    name: str, *, desired: str | None = None, observed: str | None = None, outcome: str = "unknown"
) -> Seen:
    return Seen(id=name, online=True, desired=desired, observed=observed, outcome=outcome, reason="no room")


def run(name: str, state: str) -> Run:
    return Run(id=f"run-{name}", instance=name, state=state, changed=1, total=2, reason="no room")


def cluster(bundle: str | None = NEW) -> Cluster:
    return Cluster.model_validate(
        {
            "name": "lab",
            "provider": {"kind": "local"},
            "network": {"cidr": "198.18.4.0/24"},
            "pools": [{"name": "bastion"}, {"name": "worker", "count": 2}],
            "bundle": bundle,
        }
    )


async def brought(fleet: Orchestrator, described: Cluster | None = None) -> list[str]:
    """Have a fleet converge; returns what was told."""
    told: list[str] = []
    await Converging(fleet, HOSTS[0], told.append).all(described or cluster(), HOSTS)  # type: ignore[arg-type]
    return told


async def test_those_that_are_new_converge_to_the_clusters_bundle() -> None:
    """All of them at once, so that members of a cluster can wait for each other."""
    fleet = Orchestrator({host.name: seen(host.name) for host in HOSTS})
    told = await brought(fleet)
    assert fleet.asked == [(("bastion-1", "worker-1", "worker-2"), NEW)]
    assert told[-1] == "lab: all 3 instances are what sha256:aaaaaaaaaaaa says"


async def test_one_that_serves_is_left_alone_and_named() -> None:
    """A bundle that has changed is for an upgrade, whose command is said."""
    there = seen("worker-1", desired=OLD, observed=OLD, outcome="converged")
    fleet = Orchestrator({"bastion-1": seen("bastion-1"), "worker-1": there, "worker-2": seen("worker-2")})
    told = await brought(fleet)
    assert fleet.asked == [(("bastion-1", "worker-2"), NEW)]
    assert told[-1] == (
        "  tarmak cluster ssh bastion-1 -- tarmak upgrade --bundle sha256:aaaaaaaaaaaa --instance worker-1"
    )


async def test_one_that_is_new_to_a_decided_role_becomes_what_the_role_is() -> None:
    """It must not be ahead of the others, which an upgrade takes along one by one."""
    fleet = Orchestrator({host.name: seen(host.name) for host in HOSTS})
    fleet.seen["worker-2"] = seen("worker-2", desired=OLD)
    told = await brought(fleet)
    assert fleet.asked == [(("bastion-1", "worker-1"), NEW), (("worker-2",), None)]
    assert "worker-2: on another bundle. To take them along, one by one:" in told


async def test_the_first_failure_ends_it() -> None:
    """With the instance, its reason and where its log is; nobody waits for the others."""
    fleet = Orchestrator(
        {host.name: seen(host.name) for host in HOSTS}, {"worker-1": "failed", "worker-2": "running"}
    )
    with pytest.raises(
        InfrastructureError, match=r"worker-1 failed to converge: no room; .*run logs run-worker-1"
    ):
        await brought(fleet)


async def test_one_that_failed_before_is_no_success() -> None:
    """Even if this time there was nothing to do for it."""
    fleet = Orchestrator({host.name: seen(host.name, observed=NEW, outcome="converged") for host in HOSTS})
    fleet.seen["worker-1"] = seen("worker-1", observed=NEW, outcome="failed")
    with pytest.raises(InfrastructureError, match="worker-1 failed to converge: no room"):
        await brought(fleet)


async def test_without_a_bundle_nothing_is_converged() -> None:
    """And that is said."""
    fleet = Orchestrator({host.name: seen(host.name) for host in HOSTS})
    assert await brought(fleet, cluster(None)) == ["lab: no bundle is described, so nothing is converged"]
    assert fleet.asked == []
