"""The commands about rollouts: how each goes, and what an operator may do to one."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from broker.ids import ROLLOUT, InstanceId, RolloutId
from orchestrator.cli.amounts import optional_s
from orchestrator.cli.asking import confirm
from orchestrator.cli.following import followed, judge, judge_reverted
from orchestrator.cli.named import instance_named, rollout_meant, rollout_named
from orchestrator.cli.options import Output, Timeout, Url, Wait, Yes
from orchestrator.cli.output import Form, note, show_list, show_one
from orchestrator.cli.place import client_for
from orchestrator.cli.rollout_log import JsonLines
from orchestrator.cli.rollout_show import showing
from orchestrator.cli.rollout_text import list_columns, names, number, rollout_lines, standing
from orchestrator.client import Client
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout_views import RolloutView, StepView
from orchestrator.operations import RolloutAction

app = typer.Typer(name="rollout", help="Upgrades of a living fleet.", no_args_is_help=True)

Rollout = Annotated[str, typer.Argument(metavar="ID", help="The rollout's id, such as r-7.")]
Meant = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="The rollout's id [the one that has not ended, or the newest]."),
]
Beyond = Annotated[
    int,
    typer.Option(
        "--beyond-failed", min=0, metavar="N", help="Let so many failed ones not count as unavailable."
    ),
]
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID [INSTANCE]…]", help="The rollout's id, and whom [all that failed]."),
]
NUMBER: Final = re.compile(r"[0-9]+")


def register(program: typer.Typer) -> None:
    """Add the commands of this module to `program`."""
    program.add_typer(app)


@app.command("list")
def list_rollouts(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 100,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """List rollouts, newest first."""
    found = client_for(url).rollouts((("limit", str(limit)),))
    none = "no rollouts; begin one with `tarmak upgrade`"
    show_list(output, found, list_columns(datetime.now(UTC)), none=none)


@app.command("show")
def show(rollout: Meant = None, output: Output = Form.TABLE, url: Url = None) -> None:
    """Show one rollout: a line for each instance, and for whatever waits why."""
    client = client_for(url)
    _print(client.rollout(rollout_meant(client, rollout)), output)


@app.command("watch")
def watch(
    rollout: Meant = None, timeout: Timeout = None, output: Output = Form.TABLE, url: Url = None
) -> None:
    """Follow a rollout until it has ended or paused: 0 if it succeeded, 1 if not; jsonl has each change."""
    limit_s, client = optional_s(timeout), client_for(url)
    meant = rollout_meant(client, rollout)
    if output is Form.JSONL:
        judge(followed(client, meant, timeout_s=limit_s, show=JsonLines()))
        return
    with showing() as shown:
        view = followed(client, meant, timeout_s=limit_s, show=shown)
    _print(view, output)
    judge(view)


@app.command("pause")
def pause(rollout: Meant = None, output: Output = Form.TABLE, url: Url = None) -> None:
    """Let nothing new start; what is under way ends."""
    client = client_for(url)
    _tell(client.act(rollout_meant(client, rollout), RolloutAction.PAUSE), output)


@app.command("resume")
def resume(
    rollout: Meant = None, *, beyond_failed: Beyond = 0, output: Output = Form.TABLE, url: Url = None
) -> None:
    """Go on with a paused rollout."""
    client = client_for(url)
    meant = rollout_meant(client, rollout)
    _tell(client.act(meant, RolloutAction.RESUME, beyond_failed=beyond_failed), output)


@app.command("abort")
def abort(rollout: Rollout, output: Output = Form.TABLE, url: Url = None) -> None:
    """End a rollout where it is: what is done stays, what is under way ends, nothing new starts."""
    _tell(client_for(url).act(rollout_named(rollout), RolloutAction.ABORT), output)


@app.command("retry")
def retry(
    words: Words = None, *, beyond_failed: Beyond = 0, output: Output = Form.TABLE, url: Url = None
) -> None:
    """Begin the steps of failed instances anew, and go on."""
    client = client_for(url)
    named, instances = _read(words or [])
    meant = rollout_meant(client, named)
    view = client.act(meant, RolloutAction.RETRY, instances=instances, beyond_failed=beyond_failed)
    _tell(view, output)


@app.command("skip")
def skip(
    rollout: Rollout,
    instances: Annotated[list[str], typer.Argument(metavar="INSTANCE…", help="Whom to leave as they are.")],
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Leave instances as they are, and go on without them."""
    named = [instance_named(each) for each in instances]
    _tell(client_for(url).act(rollout_named(rollout), RolloutAction.SKIP, instances=named), output)


@app.command("revert")
def revert(
    rollout: Rollout,
    *,
    yes: Yes = False,
    wait: Wait = True,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Take back each instance that the rollout has touched; 0 when all are back."""
    limit_s, client, meant = optional_s(timeout), client_for(url), rollout_named(rollout)
    if not yes:
        _confirm_revert(client, meant)
    view = client.act(meant, RolloutAction.REVERT)
    if not wait:
        _tell(view, output)
        return
    with showing() as shown:
        view = followed(client, meant, timeout_s=limit_s, show=shown)
    _print(view, output)
    judge_reverted(view)


def _confirm_revert(client: Client, rollout: RolloutId) -> None:
    touched = [step.instance for step in client.rollout(rollout).steps if _is_touched(step)]
    who = number(len(touched), "instance")
    confirm(f"this takes {who} back to the bundle that each had: {names(touched) or '-'}")


def _is_touched(step: StepView) -> bool:
    return step.touched or step.state is StepState.DONE


def _read(words: Sequence[str]) -> tuple[str | None, list[InstanceId]]:
    """Return the rollout that the first word names, if it does, and the instances that the others name."""
    first = words[0] if words else ""
    is_rollout = ROLLOUT.fullmatch(first) is not None or NUMBER.fullmatch(first) is not None
    instances = words[1:] if is_rollout else words
    return (first if is_rollout else None), [instance_named(each) for each in instances]


def _tell(view: RolloutView, output: Form) -> None:
    if view.state is RolloutState.PAUSED:
        note(f"go on with `tarmak rollout resume {view.id}`")
    elif not view.state.is_final:
        note(f"watch it with `tarmak rollout watch {view.id}`")
    show_one(output, view, [f"rollout {view.id} {standing(view)}"])


def _print(view: RolloutView, output: Form) -> None:
    show_one(output, view, rollout_lines(view, datetime.now(UTC)))
