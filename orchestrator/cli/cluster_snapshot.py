"""`tarmak cluster snapshot`: etcd's snapshots are listed, taken, brought here, and gone back to, over SSH."""

from collections.abc import Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from orchestrator.cli import amounts
from orchestrator.cli.cluster_place import Directory, Named, applied, stops
from orchestrator.cli.options import Output
from orchestrator.cli.output import Column, Form, note, out, printable, show_list
from orchestrator.cli.stop import Code, StopError, usage

if TYPE_CHECKING:
    from orchestrator.infrastructure.clusters import Work
    from orchestrator.infrastructure.etcd_snapshots import Snapshot
    from orchestrator.infrastructure.snapshots import Snapshots, Source, Survey

T = TypeVar("T")
COLUMNS: Final = (
    Column(heading="NAME", cell=lambda row: row["name"]),
    Column(heading="INSTANCE", cell=lambda row: row["instance"]),
    Column(heading="TAKEN", cell=lambda row: _moment(row["taken"])),
    Column(heading="VERSION", cell=lambda row: row["version"] or ""),
    Column(heading="SIZE", cell=lambda row: amounts.size(row["size"])),
    Column(heading="KEPT", cell=lambda row: "here" if row["kept"] else ""),
)

app = typer.Typer(name="snapshot", help="The snapshots of a cluster's etcd.", no_args_is_help=True)


@app.callback()
def places(
    context: typer.Context,
    programs: Annotated[
        str, typer.Option("--programs", help="Where the hosts have the programs of the site's role etcd.")
    ] = "/usr/local/lib/etcd",
    backups: Annotated[
        str, typer.Option("--backups", help="Where they keep backups (profile::backup::target).")
    ] = "/var/backups/site",
) -> None:
    """Keep and restore the snapshots of a cluster's etcd, over SSH."""
    from orchestrator.infrastructure.etcd_members import Places  # noqa: PLC0415 - for these commands alone

    context.obj = Places(programs=programs, backups=backups)


@app.command("list")
def list_snapshots(
    context: typer.Context, cluster: Named = None, directory: Directory = None, output: Output = Form.TABLE
) -> int:
    """List the snapshots on every host of etcd, and those that are kept here; the newest first."""
    with stops():
        survey = _surveyed(_snapshots(context, applied(cluster, directory)))
    none = "no snapshots; take one with `tarmak cluster snapshot take`"
    show_list(output, [_row(one) for one in survey.snapshots], COLUMNS, none=none)
    return Code.FAILED if survey.troubles else Code.DONE


@app.command("take")
def take(
    context: typer.Context,
    instance: Annotated[
        str | None, typer.Option("--instance", help="Of this member [the first that can].")
    ] = None,
    cluster: Named = None,
    directory: Directory = None,
) -> None:
    """Take a snapshot now, check it, bring it here, and print where it is."""

    async def taken() -> str:
        return str(await snapshots.fetch(await snapshots.take(instance)))

    with stops():
        snapshots = _snapshots(context, applied(cluster, directory))
        out(_run(taken()))


@app.command("fetch")
def fetch(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Which one [the newest].")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every one that there is.")] = False,
    cluster: Named = None,
    directory: Directory = None,
) -> int:
    """Bring snapshots here, unless they are here already, and print where they are."""
    if name is not None and everything:
        raise usage("--all goes with no name", action="leave either away")
    with stops():
        snapshots = _snapshots(context, applied(cluster, directory))
        survey = _surveyed(snapshots)
        brought = [_brought(snapshots, one) for one in _wanted(survey.snapshots, name, everything=everything)]
    missed = survey.troubles and name is None
    return Code.DONE if all(brought) and not missed else Code.FAILED


@app.command("restore")
def restore(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="A snapshot's name, or a file here.")],
    yes: Annotated[
        str | None,
        typer.Option("--yes-restore", metavar="CLUSTER", help="This cluster's etcd may be taken back."),
    ] = None,
    cluster: Named = None,
    directory: Directory = None,
) -> None:
    """Take all members of a cluster's etcd back to a snapshot; what was written since is lost."""
    from orchestrator.infrastructure.lock import working  # noqa: PLC0415 - brings pydantic, for this alone

    with stops():
        work = applied(cluster, directory)
        with working(work.home, "tarmak cluster snapshot restore"):
            _restore(context, work, name, yes)
    note(f"etcd of {work.cluster.name} is restored on every member; start the API servers again")


def _restore(context: typer.Context, work: "Work", name: str, yes: str | None) -> None:
    from orchestrator.cli.cluster_agreeing import agree_restore  # noqa: PLC0415 - as below
    from orchestrator.infrastructure import wiring  # noqa: PLC0415 - brings pydantic, for these alone

    restoring, snapshots = wiring.restoring(work, context.obj, _tell), _snapshots(context, work)
    _run(restoring.check())
    source = _run(snapshots.source(name))
    agree_restore(work.cluster.name, _loss(work.cluster.name, source, restoring.names), yes)
    file = _run(snapshots.brought(source))
    try:
        _run(restoring.restore(file))
    except KeyboardInterrupt as error:
        raise StopError(
            Code.INTERRUPTED,
            "interrupted",
            why="members that had begun to restore go on, and don't speak to those that had not",
            action="restore again with this same command",
        ) from error


def _snapshots(context: typer.Context, work: "Work") -> "Snapshots":
    from orchestrator.infrastructure import wiring  # noqa: PLC0415 - brings pydantic

    return wiring.snapshots(work, context.obj, _tell)


def _surveyed(snapshots: "Snapshots") -> "Survey":
    """Return what there is, and say of which hosts that is not known."""
    survey = _run(snapshots.survey())
    for trouble in survey.troubles:
        _tell(str(trouble))
    return survey


def _wanted(snapshots: Sequence["Snapshot"], name: str | None, *, everything: bool) -> Iterable["Snapshot"]:
    from orchestrator.infrastructure.etcd_snapshots import chosen  # noqa: PLC0415 - with the rest

    if name is not None:
        return (chosen(name, snapshots),)
    if not snapshots:
        action = "take one with `tarmak cluster snapshot take`"
        raise StopError(Code.FAILED, "there are no snapshots to fetch", action=action)
    return snapshots if everything else snapshots[:1]


def _brought(snapshots: "Snapshots", one: "Snapshot") -> bool:
    """Bring one here and print where; of several that may be gone by now, one must not keep back the rest."""
    from orchestrator.infrastructure.errors import InfrastructureError  # noqa: PLC0415 - with the rest

    try:
        out(str(_run(snapshots.fetch(one))))
    except InfrastructureError as error:
        _tell(str(error))
        return False
    return True


def _loss(cluster: str, source: "Source", members: Sequence[str]) -> str:
    age = amounts.ago(source.taken, now=datetime.now(UTC))
    when = f"{_moment(source.taken)}, {age} ago, {amounts.size(source.size)}"
    return (
        f"this takes etcd of {cluster} ({', '.join(members)}) back to {printable(source.title)} ({when})\n"
        "what was written to it since then is lost: stop the API servers first;"
        " what each member has now is kept beside its data"
    )


def _row(one: "Snapshot") -> dict[str, Any]:
    return {
        "name": one.name,
        "instance": one.instance,
        "taken": one.taken,
        "version": one.version,
        "size": one.size,
        "kept": one.file is not None,
        "path": one.path,
        "file": one.file,
    }


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _tell(line: str) -> None:
    note(printable(line))


def _run(work: Coroutine[Any, Any, T]) -> T:
    import asyncio  # noqa: PLC0415 - for these commands alone

    return asyncio.run(work)
