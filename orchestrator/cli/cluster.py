"""`tarmak cluster`: the machines of a cluster. It runs where the operator sits, and needs no orchestrator."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from orchestrator.cli import cluster_snapshot
from orchestrator.cli.cluster_place import DEFAULT, Directory, Losing, Named, applied, described, stops
from orchestrator.cli.options import Output, Yes
from orchestrator.cli.output import Form, note, out
from orchestrator.cli.stop import Code, usage

CHANGES = 2
"""What `plan` exits with when there is something to do: Terraform's own word for it."""

File: TypeAlias = Annotated[Path, typer.Argument(metavar="[FILE]", help="The cluster's description.")]
Name: TypeAlias = Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance's name.")]
Anew: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--replace",
        metavar="INSTANCE",
        help="Make this one anew; repeat for more.",
        default_factory=list,
        show_default=False,
    ),
]

app = typer.Typer(name="cluster", help="The machines of a cluster, on Terraform.", no_args_is_help=True)
app.add_typer(cluster_snapshot.app)


def register(program: typer.Typer) -> None:
    """Add the commands of this module to `program`."""
    program.add_typer(app)


@app.command("init")
def init(
    file: File = DEFAULT,
    provider: Annotated[
        str, typer.Option("--provider", help="Who makes the machines: local or static.")
    ] = "local",
    name: Annotated[str | None, typer.Option("--name", help="The cluster's name [the directory's].")] = None,
) -> None:
    """Write a commented description to start from. Never overwrites one."""
    from orchestrator.infrastructure.beginning import begin  # noqa: PLC0415 - for this alone

    with stops():
        begin(file, provider=provider, name=name)
    note(f"{file} is written: edit it, then `tarmak cluster plan {file}`")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of descriptions, for editors."""
    from orchestrator.infrastructure import cluster_file  # noqa: PLC0415 - brings pydantic, for this alone

    out(cluster_file.schema().rstrip("\n"))


@app.command("plan")
def plan(
    *,
    file: File = DEFAULT,
    replace: Anew,
    directory: Directory = None,
    output: Output = Form.TABLE,
) -> int:
    """Show what `apply` would do, and save it. Exits with 0 if that is nothing, with 2 if it is something."""
    from orchestrator.cli import cluster_text  # noqa: PLC0415 - as below
    from orchestrator.infrastructure.lock import working  # noqa: PLC0415 - brings pydantic, for these alone

    with stops():
        work = described(file, directory)
        with working(work.home, "tarmak cluster plan"):
            changes = work.plan(replace=replace)
    cluster_text.show_plan(output, work, changes)
    return CHANGES if changes.pending else Code.DONE


@app.command("apply")
def apply(
    *,
    file: File = DEFAULT,
    planned: Annotated[
        bool, typer.Option("--planned", help="Exactly what the last `plan` showed, or nothing.")
    ] = False,
    replace: Anew,
    hosts_only: Annotated[
        bool, typer.Option("--hosts-only", help="Make the machines, and don't go on from there.")
    ] = False,
    backup: Annotated[
        Path | None,
        typer.Option(
            "--restore-bastion",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Make a new bastion from this backup of the one before.",
        ),
    ] = None,
    drain: Annotated[bool, typer.Option("--drain/--no-drain", help="Empty machines before they end.")] = True,
    losing: Losing,
    yes: Yes = False,
    directory: Directory = None,
) -> None:
    """Make the machines as they are described: plan, show, ask, and do exactly that."""
    if planned and replace:
        raise usage("--planned does what was planned: --replace belongs to `plan`")
    import asyncio  # noqa: PLC0415 - as below

    from orchestrator.cli.cluster_agreeing import agree  # noqa: PLC0415 - as below
    from orchestrator.cli.cluster_text import show_changes  # noqa: PLC0415 - as below
    from orchestrator.infrastructure import wiring  # noqa: PLC0415 - as below
    from orchestrator.infrastructure.lock import working  # noqa: PLC0415 - brings pydantic, for these alone

    with stops():
        work = described(file, directory)
        bootstrap = None if hosts_only else wiring.bootstrap(backup)
        with working(work.home, "tarmak cluster apply"):
            changes = work.saved() if planned else work.plan(replace=replace)
            show_changes(work, changes)
            confirmed = agree(changes, losing, yes=yes, what=f"this changes {work.cluster.name}")
            saved = work.bastions() if backup else ()
            work.check(changes, confirmed=confirmed, saved=saved)
            leaving = wiring.leaving(work, changes, None if hosts_only or not drain else confirmed, note)
            asyncio.run(leaving.begin())
            hosts = work.apply(changes, confirmed=confirmed, saved=saved)
            note(f"{work.cluster.name}: {len(hosts)} hosts are there")
            if bootstrap is not None:
                asyncio.run(leaving.end())
                asyncio.run(bootstrap.bring_up(work.cluster, hosts, work.home, note))
                asyncio.run(leaving.back())


@app.command("destroy")
def destroy(*, losing: Losing, yes: Yes = False, cluster: Named = None, directory: Directory = None) -> None:
    """End every machine of a cluster, and leave nothing of it but what was brought here."""
    from orchestrator.cli.cluster_agreeing import agree  # noqa: PLC0415 - as below
    from orchestrator.cli.cluster_text import show_changes  # noqa: PLC0415 - as below
    from orchestrator.infrastructure.lock import working  # noqa: PLC0415 - brings pydantic, for these alone

    with stops():
        work = applied(cluster, directory)
        with working(work.home, "tarmak cluster destroy"):
            changes = work.plan_end()
            show_changes(work, changes)
            confirmed = agree(changes, losing, yes=yes, what=f"this ends all of {work.cluster.name}")
            work.end(changes, confirmed=confirmed)
    kept = [str(folder) for folder in (work.home.snapshots, work.home.backups) if folder.exists()]
    but = f" but what is kept in {' and '.join(kept)}" if kept else ""
    note(f"nothing is left of {work.cluster.name}{but}")


@app.command("list")
def list_clusters(output: Output = Form.TABLE) -> None:
    """List the clusters that were made from here."""
    from orchestrator.cli.cluster_text import show_clusters  # noqa: PLC0415 - as below
    from orchestrator.infrastructure.clusters import applied_in, homes  # noqa: PLC0415 - brings pydantic
    from orchestrator.infrastructure.places import clusters_root  # noqa: PLC0415 - for this alone

    with stops():
        show_clusters(output, [(home, applied_in(home)) for home in homes(clusters_root())])


@app.command("instances")
def instances(cluster: Named = None, directory: Directory = None, output: Output = Form.TABLE) -> None:
    """List a cluster's machines, and where each is reached."""
    from orchestrator.cli.cluster_text import show_hosts  # noqa: PLC0415 - for this alone

    with stops():
        show_hosts(output, applied(cluster, directory).hosts())


@app.command("ssh")
def ssh(
    instance: Name,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND…]", help="What to run there [a shell].")
    ] = None,
    cluster: Named = None,
    directory: Directory = None,
) -> None:
    """Become `ssh` to an instance, with its host key checked."""
    from orchestrator.infrastructure.reaching import become_ssh  # noqa: PLC0415 - for this alone

    with stops():
        become_ssh(applied(cluster, directory), instance, command or ())


@app.command("logs")
def logs(
    instance: Name,
    unit: Annotated[str, typer.Option("--unit", "-u", help="Whose log.")] = "wing",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many to begin with.")] = 100,
    *,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Go on as it grows.")] = True,
    cluster: Named = None,
    directory: Directory = None,
) -> None:
    """Show the log of an instance's wing, over SSH."""
    from orchestrator.infrastructure.reaching import become_logs  # noqa: PLC0415 - for this alone

    with stops():
        become_logs(applied(cluster, directory), instance, unit=unit, lines=lines, follow=follow)


@app.command("backup")
def backup(
    target: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to [backups/ in the cluster's directory]."),
    ] = None,
    cluster: Named = None,
    directory: Directory = None,
) -> None:
    """Bring a backup of the bastion here: authority, keys, journal and bundles. Prints where it is."""
    import asyncio  # noqa: PLC0415 - as below

    from orchestrator.infrastructure import wiring  # noqa: PLC0415 - brings pydantic

    with stops():
        out(str(asyncio.run(wiring.backing_up(applied(cluster, directory)).take(target))))


@app.command("unlock")
def unlock(
    lock: Annotated[str, typer.Argument(metavar="ID", help="The lock's ID, as the error names it.")],
    cluster: Named = None,
    directory: Directory = None,
) -> None:
    """Give back a Terraform state whose holder has ended without doing so."""
    from orchestrator.infrastructure import unlocking  # noqa: PLC0415 - for this alone

    with stops():
        note(unlocking.unlock(applied(cluster, directory).home, lock))
