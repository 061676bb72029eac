"""The commands about who belongs to the fleet, and who may join it."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from orchestrator.cli.amounts import ago, seconds
from orchestrator.cli.asking import confirm
from orchestrator.cli.named import instance_named
from orchestrator.cli.options import Labels, Output, Url, Yes, label_of
from orchestrator.cli.output import Column, Form, note, show_list, show_one
from orchestrator.cli.place import client_for

app = typer.Typer(name="enrol", help="Who belongs to the fleet, and who may join it.", no_args_is_help=True)


def register(program: typer.Typer) -> None:
    """Add the commands of this module to `program`."""
    program.add_typer(app)


@app.command("token")
def token(
    *,
    instance: Annotated[str, typer.Option("--instance", help="As which instance a host may join.")],
    role: Annotated[str, typer.Option("--role", help="What that instance is for.")],
    pool: Annotated[str, typer.Option("--pool", help="Its pool [its role].")] = "",
    label: Labels,
    node: Annotated[str | None, typer.Option("--node", help="Its Kubernetes Node [its id].")] = None,
    address: Annotated[
        list[str],
        typer.Option(
            "--address",
            help="A name or address for its certificate, besides its id.",
            default_factory=list,
            show_default=False,
        ),
    ],
    ttl: Annotated[str, typer.Option("--ttl", help="For how long it is good.")] = "1h",
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Make a token with which one host may join once. Prints it; it is not shown again."""
    body = {
        "instance": instance_named(instance),
        "role": role,
        "pool": pool,
        "labels": dict(label_of(text) for text in label),
        "node": node,
        "addresses": address,
        "life_s": seconds(ttl),
    }
    view = client_for(url).make_token(body)
    until = f"{view.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    note(f"{view.instance} may join as {view.role} until {until}, once, at {view.url}")
    show_one(output, view, [view.token or ""])


@app.command("list")
def list_enrolled(
    *,
    tokens: Annotated[bool, typer.Option("--tokens", help="The tokens instead.")] = False,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """List who belongs to the fleet, or the tokens that are out."""
    now, client = datetime.now(UTC), client_for(url)
    if tokens:
        show_list(
            output, client.tokens(), _token_columns(now), none="no tokens; make one: tarmak enrol token"
        )
    else:
        show_list(output, client.enrolled(), _enrolled_columns(now), none="nobody is enrolled yet")


@app.command("revoke")
def revoke(
    instance: Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance's id.")],
    *,
    yes: Yes = False,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Withdraw an instance's tokens, and take it off the fleet if it has joined."""
    named = instance_named(instance)
    if not yes:
        confirm(f"this takes {named} off the fleet: its wing is not believed any more")
    view = client_for(url).revoke(named)
    done = f"{named} is off the fleet" if view.enrolled else f"{named} was not on the fleet"
    said = f"{done}; open tokens withdrawn: {view.tokens}"
    if output is Form.TABLE:
        note(said)
    else:
        show_one(output, view, [])


def _token_columns(now: datetime) -> tuple[Column, ...]:
    return (
        Column(heading="TOKEN", cell=lambda view: view.id),
        Column(heading="INSTANCE", cell=lambda view: view.instance),
        Column(heading="ROLE", cell=lambda view: view.role),
        Column(heading="STATE", cell=lambda view: view.state.value),
        Column(heading="GOOD UNTIL", cell=lambda view: f"{view.expires_at:%Y-%m-%d %H:%M:%S}"),
        Column(heading="USED", cell=lambda view: ago(view.used_at, now=now)),
        Column(heading="BY", cell=lambda view: view.made_by),
    )


def _enrolled_columns(now: datetime) -> tuple[Column, ...]:
    return (
        Column(heading="INSTANCE", cell=lambda view: view.instance),
        Column(heading="ROLE", cell=lambda view: view.role),
        Column(heading="POOL", cell=lambda view: view.pool),
        Column(heading="BY", cell=lambda view: "token" if view.joined else "roster"),
        Column(heading="SINCE", cell=lambda view: ago(view.enrolled_at, now=now)),
    )
