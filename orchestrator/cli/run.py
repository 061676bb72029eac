"""The commands about runs: what each did, its log, and ending one."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from broker.ids import RunId
from orchestrator.cli.amounts import ago, brief
from orchestrator.cli.changes import change_lines
from orchestrator.cli.named import run_named
from orchestrator.cli.options import Instances, Labels, Output, Roles, Url, selected
from orchestrator.cli.output import (
    Column,
    Form,
    note,
    out,
    pairs,
    printable_lines,
    short,
    show_list,
    show_one,
)
from orchestrator.cli.place import client_for
from orchestrator.cli.stop import Code, StopError
from orchestrator.client import Client, selection
from orchestrator.domain.views import LiveView, RunState, RunView

app = typer.Typer(name="run", help="Puppet's runs.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or a part of it.")]
LOG_LINES: Final = "log_lines"
TRACE: Final = re.compile(r"Starting to evaluate the resource|Evaluated in [0-9.]+ seconds")


def register(program: typer.Typer) -> None:
    """Add the commands of this module to `program`."""
    program.add_typer(app)


@app.command("list")
def list_runs(
    *,
    role: Roles,
    instance: Instances,
    label: Labels,
    state: Annotated[
        list[RunState],
        typer.Option(
            "--state", help="In this state; repeat for more.", default_factory=list, show_default=False
        ),
    ],
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 100,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """List runs, newest first."""
    query = (
        *selection(selected(role, instance, label)),
        *(("state", each.value) for each in state),
        ("limit", str(limit)),
    )
    found = client_for(url).runs(query)
    show_list(output, found, columns(found, datetime.now(UTC)), none="no runs")


@app.command("show")
def show(run: Run, output: Output = Form.TABLE, url: Url = None) -> None:
    """Show one run: how it ended, why, and every change."""
    client = client_for(url)
    view = client.run(run_named(client, run))
    show_one(output, view, [*pairs(_account(view)), *_changes(view)])


@app.command("logs")
def logs(
    run: Run,
    *,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Live lines, until the run has ended.")
    ] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Also the two lines that Puppet says of each resource's turn.")
    ] = False,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Print a run's complete log; while it runs, with -f, its lines as they come."""
    client = client_for(url)
    view = client.run(run_named(client, run))
    if view.log_complete:
        lines = client.run_log(view.id)
        _print_lines(lines if trace or output is not Form.TABLE else _without_trace(lines), output)
    elif view.state.is_final:
        raise StopError(
            Code.FAILED, f"run {view.id} has no complete log", why=view.reason or view.state.value
        )
    elif follow:
        _follow(client, view, output)
    else:
        action = f"follow it with `tarmak run logs -f {view.id}`"
        raise StopError(Code.FAILED, f"run {view.id} has not ended", why=view.state.value, action=action)


@app.command("cancel")
def cancel(run: Run, output: Output = Form.TABLE, url: Url = None) -> None:
    """Ask the run's wing to end it; `run show` tells when it has."""
    client = client_for(url)
    view = client.cancel(run_named(client, run))
    show_one(output, view, [f"asked {view.instance} to end run {view.id}"])


def columns(runs: Sequence[RunView], now: datetime) -> list[Column]:
    """Return the table of `runs` as it is at `now`; rollouts have a column where there are any."""
    rollout = Column(heading="ROLLOUT", cell=lambda view: view.rollout or "-")
    return [
        Column(heading="RUN", cell=lambda view: ending(view.id)),
        Column(heading="INSTANCE", cell=lambda view: view.instance),
        Column(heading="STATE", cell=lambda view: view.state.value),
        Column(heading="OUTCOME", cell=lambda view: view.outcome or "-"),
        Column(heading="CHANGED", cell=lambda view: str(view.changed)),
        Column(heading="BUNDLE", cell=lambda view: short(view.digest)),
        Column(heading="KIND", cell=lambda view: "noop" if view.noop else "converge"),
        *([rollout] if any(run.rollout for run in runs) else []),
        Column(heading="TOOK", cell=lambda view: took(view, now)),
        Column(heading="AGE", cell=lambda view: ago(view.created_at, now=now)),
        Column(heading="REASON", cell=lambda view: view.reason),
    ]


def ending(run: RunId) -> str:
    """Return the random end of a run's id, which is enough to name it by."""
    return run.rpartition("-")[2]


def took(view: RunView, now: datetime) -> str:
    """Return how long the run took, or has taken so far."""
    if view.started_at is None:
        return "-"
    return brief(((view.finished_at or now) - view.started_at).total_seconds())


def _account(view: RunView) -> Iterator[tuple[str, str]]:
    yield "run", view.id
    yield "instance", f"{view.instance} ({view.role})"
    yield "bundle", view.digest
    yield "kind", "noop" if view.noop else "converge"
    yield "state", view.state.value
    yield "outcome", view.outcome or "-"
    yield "proved", view.verdict or "-"
    yield "reason", view.reason
    yield "resources", f"{view.total} ({view.changed} changed, {view.failed} failed, {view.skipped} skipped)"
    yield "exit codes", ", ".join(map(str, view.exit_codes))
    yield "asked by", view.requested_by
    yield "rollout", view.rollout or "-"
    yield "created", view.created_at.isoformat(timespec="seconds")
    yield "started", "-" if view.started_at is None else view.started_at.isoformat(timespec="seconds")
    yield "took", took(view, datetime.now(UTC))
    yield "diff", view.diff_hash or "-"


def _changes(view: RunView) -> Iterator[str]:
    if view.changes:
        yield ""
    for change in view.changes:
        yield from change_lines(change, indent="  ")
    if view.changes_left_out:
        yield f"  … and {view.changes_left_out} more changes; see `tarmak run logs {ending(view.id)}`"


def _follow(client: Client, view: RunView, output: Form) -> None:
    note(f"run {view.id} is {view.state.value}; its lines as they come (the complete log follows its end)")
    since = view.created_at.isoformat()
    query = (("instance", view.instance), ("run", view.id), ("live", "1"), ("since", since))
    for event in client.tail(query):
        if not isinstance(event, LiveView):
            if client.run(view.id).state.is_final:
                return
        elif event.run == view.id and event.kind == LOG_LINES:
            _print_lines(event.body.get("lines", ()), output)


def _without_trace(lines: Iterable[Mapping[str, object]]) -> Iterator[Mapping[str, object]]:
    for line in lines:
        if line.get("level") != "info" or TRACE.match(str(line.get("message", ""))) is None:
            yield line


def _print_lines(lines: Any, output: Form) -> None:
    if output is not Form.TABLE:
        show_list(output, list(lines), (), none="no lines")
        return
    for line in lines:
        where = f" ({line['file']}:{line['line']})" if line.get("file") else ""
        first, *others = printable_lines(str(line.get("message", "")))
        out(f"{line.get('at', '')} {line.get('level', '')}: {line.get('source', '')}: {first}{where}")
        for other in others:
            out(f"    {other}")
