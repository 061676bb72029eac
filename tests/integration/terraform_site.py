"""A cluster whose hosts are directories, made by the Terraform or OpenTofu that is on this machine."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.clusters import Work
from orchestrator.infrastructure.errors import NoTerraformError
from orchestrator.infrastructure.places import Home
from orchestrator.infrastructure.program import find
from orchestrator.infrastructure.progress import Progress
from orchestrator.infrastructure.providers.local import Local
from orchestrator.infrastructure.terraform import Terraform

FAKE = Path(__file__).with_name("fake_host.py")


def terraform() -> Path:
    """Return the program, or skip the test where there is none."""
    try:
        return find()
    except NoTerraformError as error:
        if "CI" in os.environ:
            pytest.fail("CI must test on a real Terraform or OpenTofu")
        pytest.skip(error.what)


def described(*, etcd: int = 1, workers: int = 1, **more: Any) -> Cluster:
    """Return a cluster of a bastion, etcd and workers; `more` are keys of etcd's pool."""
    return Cluster.model_validate(
        {
            "name": "shop",
            "provider": {"kind": "local"},
            "network": {"cidr": "198.18.4.0/24"},
            "pools": [
                {"name": "bastion"},
                {"name": "etcd", "count": etcd, **more},
                {"name": "worker", "count": workers},
            ],
        }
    )


@dataclass
class Site:
    """The folder of a test: the cluster's directory, and what was asked of its hosts."""

    folder: Path
    program: Path
    heard: list[Progress] = field(default_factory=list)
    listener: Callable[[Progress], None] | None = None

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    def work(self, cluster: Cluster) -> Work:
        self.home.make()
        provider = Local((sys.executable, str(FAKE), str(self.folder)))
        terraform = Terraform(self.program, self.home, self._hear)
        return Work(home=self.home, cluster=cluster, terraform=terraform, provider=provider)

    def applied(self, cluster: Cluster, **words: Any) -> Work:
        """Return the work on a cluster that was just planned and applied."""
        work = self.work(cluster)
        work.apply(work.plan(**words))
        return work

    def calls(self) -> list[tuple[str, str]]:
        """Return what was asked of hosts since the last call of this, as (word, name), in order."""
        return [(word, name) for word, name, _ in self.descriptions()]

    def descriptions(self) -> list[tuple[str, str, dict[str, Any]]]:
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [tuple(json.loads(line)) for line in lines]

    def _hear(self, progress: Progress) -> None:
        self.heard.append(progress)
        if self.listener:
            self.listener(progress)
