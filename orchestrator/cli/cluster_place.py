"""Which cluster is meant by a command, and how what is wrong with its machines ends the command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from orchestrator.cli.stop import Code, StopError

if TYPE_CHECKING:
    from orchestrator.infrastructure.clusters import Work
    from orchestrator.infrastructure.errors import InfrastructureError

Directory: TypeAlias = Annotated[
    Path | None,
    typer.Option("--dir", help="Where its state and keys are [~/.local/share/tarmak/clusters/NAME]."),
]
Named: TypeAlias = Annotated[
    str | None,
    typer.Option("--cluster", "-c", help="Which cluster [that of ./cluster.yaml, or the only one there is]."),
]
DEFAULT: Final = Path("cluster.yaml")


def applied(name: str | None, directory: Path | None) -> "Work":
    """Return what works on the cluster that was applied: named, described here, or the only one."""
    from orchestrator.cli.cluster_text import tell  # noqa: PLC0415 - as below
    from orchestrator.infrastructure import clusters, reaching, wiring  # noqa: PLC0415 - brings pydantic

    home = reaching.home_of(name, directory, here=DEFAULT)
    return wiring.work_on(clusters.applied_in(home), home.path, tell)


@contextmanager
def stops() -> Iterator[None]:
    """End the command with an infrastructure error's own words."""
    from orchestrator.infrastructure.errors import InfrastructureError  # noqa: PLC0415 - with the rest

    try:
        yield
    except InfrastructureError as error:
        raise StopError(_code(error), error.what, why=error.why, action=error.action) from error


def _code(error: "InfrastructureError") -> Code:
    from orchestrator.infrastructure.errors import RefusedError, StoppedError  # noqa: PLC0415 - as above

    match error:
        case RefusedError():
            return Code.USAGE
        case StoppedError():
            return Code.INTERRUPTED
        case _:
            return Code.FAILED
