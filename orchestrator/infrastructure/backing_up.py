"""A backup of the bastion belongs on another machine: the operator's, beside what reaches the cluster."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.fleet import ORCHESTRATOR
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.reach import Ssh

THERE: Final = "/var/lib/tarmak-backup.tar.gz"


class BackingUp:
    """Has a bastion write its backup, and brings it here."""

    def __init__(self, ssh: Ssh, bastion: Host, folder: Path) -> None:
        self._ssh = ssh
        self._bastion = bastion
        self._folder = folder

    async def take(self, target: Path | None = None) -> Path:
        """Return the file in which the backup is then, for its owner alone; raises ReachError."""
        if target is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = self._folder / f"{self._bastion.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz"
        try:
            await self._ssh.do(self._bastion, *ORCHESTRATOR, "backup", "--out", THERE)
            await self._ssh.fetch(self._bastion, THERE, target)
        finally:
            await self._ssh.run(self._bastion, "rm", "-f", THERE)
        return target
