"""`tarmak why`: one causal sentence for whatever waits or failed, and the next safe command."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from orchestrator.cli.options import Output, Url
from orchestrator.cli.output import Form, note, out, printable, show_list
from orchestrator.cli.place import client_for
from orchestrator.domain.rollout_views import WhyView


def register(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(why)


def why(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="[INSTANCE|ROLLOUT]", help="Whom to ask about [whatever waits or failed]."),
    ] = None,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Say why something waits or failed, and the next safe command."""
    found = client_for(url).why(subject)
    if output is not Form.TABLE:
        show_list(output, found, (), none="")
    elif found:
        out("\n".join(lines(found)))
    else:
        note(f"{subject}: nothing waits or has failed" if subject else "nothing waits or has failed")


def lines(found: Sequence[WhyView]) -> Iterator[str]:
    """Yield a sentence for each, and where there is one the command below it."""
    for each in found:
        sentence = printable(each.sentence)
        yield sentence if sentence.startswith(each.subject) else f"{each.subject}: {sentence}"
        if each.command is not None:
            yield f"  next: {each.command}"
