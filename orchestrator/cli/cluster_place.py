"""Which cluster is meant by a command, and how what is wrong with its machines ends the command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from orchestrator.cli.output import note
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
Losing: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--destroy-stateful",
        metavar="INSTANCE",
        help="This etcd or vault may lose its disk; repeat for more.",
        default_factory=list,
        show_default=False,
    ),
]
DEFAULT: Final = Path("cluster.yaml")


def applied(name: str | None, directory: Path | None) -> "Work":
    """Return what works on the cluster that was applied: named, described here, or the only one."""
    from orchestrator.cli.cluster_text import tell  # noqa: PLC0415 - as below
    from orchestrator.infrastructure import clusters, reaching, wiring  # noqa: PLC0415 - brings pydantic

    home = reaching.home_of(name, directory, here=DEFAULT)
    return wiring.work_on(clusters.applied_in(home), home.path, tell)


def described(file: Path, directory: Path | None) -> "Work":
    """Return what works on the cluster that a file describes."""
    from orchestrator.cli.cluster_text import tell  # noqa: PLC0415 - as below
    from orchestrator.infrastructure import cluster_file, places, wiring  # noqa: PLC0415 - brings pydantic

    cluster = cluster_file.load(file)
    for warning in cluster.warnings():
        note(f"{file}: {warning}")
    home = directory.absolute() if directory else places.clusters_root() / cluster.name
    return wiring.work_on(cluster, home, tell)


@contextmanager
def stops() -> Iterator[None]:
    """End the command with an infrastructure error's own words."""
    from orchestrator.infrastructure.errors import InfrastructureError  # noqa: PLC0415 - with the rest

    try:
        yield
    except InfrastructureError as error:
        raise StopError(code_of(error), error.what, why=error.why, action=error.action) from error


def code_of(error: "InfrastructureError") -> Code:
    """Return the exit code for what is wrong."""
    from orchestrator.infrastructure.errors import RefusedError, StoppedError  # noqa: PLC0415 - as above

    match error:
        case RefusedError():
            return Code.USAGE
        case StoppedError():
            return Code.INTERRUPTED
        case _:
            return Code.FAILED
