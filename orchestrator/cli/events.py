"""`tarmak events`: the live tail, for eyes and for programs."""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer

from orchestrator.cli.amounts import since as parsed_since
from orchestrator.cli.options import Instances, Roles, Url, selected
from orchestrator.cli.output import Form, encoded, out, printable, structured
from orchestrator.cli.place import client_for
from orchestrator.client import Parameters, selection
from orchestrator.domain.views import EventView

Kinds = Annotated[
    list[str],
    typer.Option("--kind", help="Of this kind; repeat for more.", default_factory=list, show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(events)


def events(
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new ones, without end.")] = False,
    since: Annotated[str, typer.Option("--since", help="A moment, 10m ago, or a cursor.")] = "0",
    role: Roles,
    instance: Instances,
    kind: Kinds,
    output: Annotated[
        Form | None, typer.Option("-o", "--output", help="How to print [jsonl in a pipe].")
    ] = None,
    url: Url = None,
) -> None:
    """Print what happened, oldest first, and with -f what happens, without a hole or a double."""
    place = parsed_since(since, now=datetime.now(UTC))
    query: Parameters = (
        *selection(selected(role, instance, [])),
        *(("kind", each) for each in kind),
        *((("since", place.isoformat()),) if isinstance(place, datetime) else ()),
    )
    cursor = place if isinstance(place, int) else 0
    client = client_for(url)
    found = client.tail(query, cursor=cursor) if follow else client.events(query, cursor=cursor)
    form = output or (Form.TABLE if sys.stdout.isatty() else Form.JSONL)
    show_stream((event for event in found if isinstance(event, EventView)), form, whole=not follow)


def show_stream(found: Iterable[EventView], form: Form, *, whole: bool) -> None:
    """Print events as they come; JSON and YAML as one document if the stream has an end."""
    match form:
        case Form.TABLE:
            for event in found:
                out(line(event))
        case Form.JSON if whole:
            out(structured(form, list(found)))
        case Form.YAML:
            for event in found:
                out(f"---\n{structured(form, event)}")
        case _:
            for event in found:
                out(encoded(event))


def line(event: EventView) -> str:
    """Return an event as one line for people."""
    where = event.instance or event.role or "-"
    words = ", ".join(f"{name}={printable(_shown(value))}" for name, value in event.body.items() if value)
    return f"{event.cursor:>6} {event.at:%H:%M:%S} {where:16} {event.kind.partition('.')[0]:12} {words[:200]}"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else encoded(value)
