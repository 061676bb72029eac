"""What `tarmak upgrade --replace` is told of machines, and the way to what makes them.

That way is gone only by who replaces: what knows Terraform, SSH and descriptions takes a moment to import.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.stop import usage

if TYPE_CHECKING:
    from orchestrator.cli.replacement import Hands


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """Which cluster is meant, whose disks may be lost, and the rollout that is taken up (None: a new one)."""

    file: Path | None
    cluster: str | None
    directory: Path | None
    losing: Sequence[str]
    resume: str | None

    def refuse(self, strategy: Mapping[str, object]) -> None:
        """Refuse what means nothing without --replace, and a strategy that nobody here would carry out."""
        if strategy.get("replace"):
            raise usage("this strategy has machines made anew", action="say that it is meant with --replace")
        said = {
            "FILE": self.file,
            "--cluster": self.cluster,
            "--dir": self.directory,
            "--destroy-stateful": self.losing,
            "--resume": self.resume,
        }
        given = [name for name, value in said.items() if value]
        if given:
            what = f"{', '.join(given)}: without --replace that means nothing"
            raise usage(what, action="leave it away, or replace")


def at_work(machines: Machines, url: str | None) -> "AbstractContextManager[Hands]":
    """Return what makes machines anew for a rollout."""
    from orchestrator.cli.replacement import hands  # noqa: PLC0415 - brings pydantic, for this alone

    return hands(machines, url)
