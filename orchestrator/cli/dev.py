"""`tarmak dev`: what serves development on one machine."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.stop import Code, StopError

app = typer.Typer(name="dev", help="A mesh on this machine.", no_args_is_help=True)


def register(program: typer.Typer) -> None:
    """Add the commands of this module to `program`."""
    program.add_typer(app)


@app.callback()
def dev() -> None:
    """Bring up a mesh on this machine."""


@app.command("up")
def up(
    instances: Annotated[
        str, typer.Option("--instances", help="How many of each role.")
    ] = "worker=3,etcd=3,master=1",
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Where all of it lives; kept, and taken up again [a new one]."),
    ] = None,
    wing_config: Annotated[
        Path | None,
        typer.Option(
            "--wing-config",
            metavar="FILE",
            help="TOML that is merged into every wing's configuration, {instance} and {role} filled in.",
        ),
    ] = None,
) -> None:
    """Run a whole mesh without root: broker, orchestrator, wings and real Puppet, until Ctrl-C."""
    from orchestrator.dev import up as mesh  # noqa: PLC0415 - brings asyncio and cryptography, for this alone
    from orchestrator.dev.errors import DevError  # noqa: PLC0415 - as above
    from orchestrator.dev.extra import Extra  # noqa: PLC0415 - as above
    from orchestrator.dev.members import members  # noqa: PLC0415 - as above

    try:
        extra = None if wing_config is None else Extra.read(wing_config)
        mesh.up(members(instances), directory, extra)
    except DevError as error:
        raise StopError(Code.FAILED, error.what, why=error.why, action=error.action) from error
