"""The options that several commands share, so that they are the same everywhere."""

from typing import Annotated, TypeAlias

import typer

from broker import ids
from broker.errors import InvalidIdError
from orchestrator.cli.output import Form
from orchestrator.cli.stop import StopError, usage
from orchestrator.domain.views import Selector

Url: TypeAlias = Annotated[
    str | None, typer.Option("--url", help="The orchestrator, as unix:///… [TARMAK_URL, then the context].")
]
Output: TypeAlias = Annotated[Form, typer.Option("-o", "--output", help="How to print.")]
Roles: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--role", help="Of this role; a,b or repeat for more.", default_factory=list, show_default=False
    ),
]
Instances: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--instance", help="This instance; a,b or repeat for more.", default_factory=list, show_default=False
    ),
]
Labels: TypeAlias = Annotated[
    list[str],
    typer.Option("--label", help="With this label, as zone=a.", default_factory=list, show_default=False),
]
Everything: TypeAlias = Annotated[bool, typer.Option("--all", help="Every instance.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
Wait: TypeAlias = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")]
Timeout: TypeAlias = Annotated[
    str | None, typer.Option("--timeout", help="End the waiting after 120, 90s or 10m, with exit 1.")
]
RunTimeout: TypeAlias = Annotated[str, typer.Option("--run-timeout", help="End a Puppet run after so long.")]
Parallel: TypeAlias = Annotated[
    int | None, typer.Option("--parallel", min=1, help="At most so many at once.")
]


def selected(
    roles: list[str], instances: list[str], labels: list[str], *, everything: bool = False
) -> Selector | None:
    """Return what the options select, None if there are none; usage errors for names that can't be."""
    if everything and (roles or instances or labels):
        raise usage("--all goes with no other selector", action="leave either away")
    try:
        selector = Selector(
            roles=tuple(ids.role(name) for name in _split(roles)),
            instances=tuple(ids.instance_id(name) for name in _split(instances)),
            labels=dict(label_of(text) for text in _split(labels)),
            everything=everything,
        )
    except InvalidIdError as error:
        raise usage(str(error)) from error
    return None if selector == Selector() else selector


def demanded(
    roles: list[str], instances: list[str], labels: list[str], *, everything: bool = False
) -> Selector:
    """Return what the options select; nothing selected is an error, never everything."""
    selector = selected(roles, instances, labels, everything=everything)
    if selector is None:
        raise nothing_selected()
    return selector


def nothing_selected() -> StopError:
    """Return the error for a command that was not told whom it is for."""
    return usage(
        "no instances are selected", action="give --role, --instance or --label, or --all for every one"
    )


def _split(texts: list[str]) -> list[str]:
    return [part.strip() for text in texts for part in text.split(",")]


def label_of(text: str) -> tuple[str, str]:
    """Return a label's name and value; StopError (usage) for what is none."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise usage(f"{text!r} is no label", action="write it as zone=a")
    return name, value
