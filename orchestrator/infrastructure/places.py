"""Where a cluster's things are on the operator's machine: a directory of its own for each cluster.

It holds the private key that opens every host, and Terraform's state, so only its owner may look into it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OURS: Final = (
    "main.tf.json",
    "cluster.json",
    "planned.json",
    "plan.tfplan",
    "destroy.tfplan",
    "ssh_config",
    "known_hosts",
    "id_ed25519",
    "id_ed25519.pub",
    "ssh",
    "terraform.tfstate",
    "terraform.tfstate.backup",
    ".terraform",
    ".terraform.lock.hcl",
    ".terraform.tfstate.lock.info",
    "lock",
)
"""All that is written there by us or by Terraform, and ends with the cluster: its snapshots don't."""


def clusters_root() -> Path:
    """Return the directory of one directory for each cluster."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    return Path(data) / "tarmak/clusters"


@dataclass(frozen=True, slots=True)
class Home:
    """A cluster's directory."""

    path: Path

    @property
    def main(self) -> Path:
        """What Terraform is to do, written anew each time."""
        return self.path / "main.tf.json"

    @property
    def applied(self) -> Path:
        """The description that was last applied, or was begun to be."""
        return self.path / "cluster.json"

    @property
    def planned(self) -> Path:
        """The description that the saved plan is for."""
        return self.path / "planned.json"

    @property
    def plan(self) -> Path:
        """The saved plan."""
        return self.path / "plan.tfplan"

    @property
    def destroy_plan(self) -> Path:
        """The saved plan of an end to all."""
        return self.path / "destroy.tfplan"

    @property
    def state(self) -> Path:
        """Terraform's record of what there is."""
        return self.path / "terraform.tfstate"

    @property
    def lock_info(self) -> Path:
        """What Terraform says of whoever has its state."""
        return self.path / ".terraform.tfstate.lock.info"

    @property
    def lock(self) -> Path:
        """Held by the one command that works on the cluster."""
        return self.path / "lock"

    @property
    def key(self) -> Path:
        """The private key by which hosts let us in."""
        return self.path / "id_ed25519"

    @property
    def ssh_config(self) -> Path:
        """How each host is reached by its name."""
        return self.path / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The hosts' own keys."""
        return self.path / "known_hosts"

    @property
    def backups(self) -> Path:
        """The backups of the bastion that were brought here; they outlive the cluster."""
        return self.path / "backups"

    @property
    def snapshots(self) -> Path:
        """The snapshots of etcd that were brought here; they outlive the cluster."""
        return self.path / "snapshots"

    def make(self) -> None:
        """Have the directory there, for its owner alone."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
