"""The commands that act: `converge`, and `plan`, which finds out what that would do."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from broker.ids import Digest
from orchestrator.cli import choice
from orchestrator.cli.amounts import optional_s, seconds
from orchestrator.cli.asking import confirm
from orchestrator.cli.changes import plan_lines
from orchestrator.cli.choice import Share
from orchestrator.cli.named import bundle_named
from orchestrator.cli.options import (
    Everything,
    Instances,
    Labels,
    Output,
    Parallel,
    Roles,
    RunTimeout,
    Timeout,
    Url,
    Wait,
    Yes,
    demanded,
)
from orchestrator.cli.output import Form, note, printable, short, show_list, show_one
from orchestrator.cli.place import client_for
from orchestrator.cli.run import columns
from orchestrator.cli.show import showing
from orchestrator.cli.stop import Code, StopError, usage
from orchestrator.cli.watch import awaited, planned
from orchestrator.client import Client
from orchestrator.domain.views import (
    ConvergeTicket,
    InstanceView,
    PlanView,
    RunState,
    RunView,
    Selector,
)

Bundle = Annotated[
    str | None, typer.Option("--bundle", help="The digest, or its beginning [what is desired of each].")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.command()(plan)
    app.command()(converge)


def plan(
    *,
    bundle: Bundle = None,
    role: Roles,
    instance: Instances,
    label: Labels,
    everything: Everything = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 4 if there are changes.")] = False,
    parallel: Parallel = None,
    timeout: Timeout = None,
    run_timeout: RunTimeout = "30m",
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Find out what a bundle would change, without changing anything."""
    selector = demanded(role, instance, label, everything=everything)
    limit_s, run_s = optional_s(timeout), seconds(run_timeout)
    client = client_for(url)
    fleet, parts = _choice(client, selector, bundle)
    if len(parts) != 1:
        raise usage(
            f"the {len(fleet)} selected instances have different bundles", action="name one with --bundle"
        )
    (ticket,) = _asked(client, parts, noop=True, parallel=parallel, run_s=run_s)
    with showing() as show:
        awaited(client, [ticket], timeout_s=limit_s, show=show)
    found = planned(client, ticket)
    show_one(output, found, plan_lines(found))
    _judge_plan(found, exit_code=exit_code)


def converge(
    *,
    bundle: Bundle = None,
    role: Roles,
    instance: Instances,
    label: Labels,
    everything: Everything = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; see also `plan`.")] = False,
    yes: Yes = False,
    wait: Wait = True,
    parallel: Parallel = None,
    timeout: Timeout = None,
    run_timeout: RunTimeout = "30m",
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Make instances what a bundle says, now and all at once, and wait for the proof."""
    selector = demanded(role, instance, label, everything=everything)
    limit_s, run_s = optional_s(timeout), seconds(run_timeout)
    client = client_for(url)
    fleet, parts = _choice(client, selector, bundle)
    if not (dry_run or yes):
        _confirm(fleet, parts)
    tickets = _asked(client, parts, noop=dry_run, parallel=parallel, run_s=run_s)
    runs = [run for ticket in tickets for run in ticket.runs]
    if wait:
        with showing() as show:
            runs = awaited(client, tickets, timeout_s=limit_s, show=show)
    show_list(output, runs, columns(runs, datetime.now(UTC)), none="no runs")
    if wait:
        _judge(runs)


def _choice(
    client: Client, selector: Selector, bundle: str | None
) -> tuple[Sequence[InstanceView], Sequence[Share]]:
    fleet = client.instances(None if selector.everything else selector)
    missing = set(selector.instances) - {instance.id for instance in fleet}
    if missing or not fleet:
        what = f"no such instance: {', '.join(sorted(missing))}" if missing else "no instance is selected"
        raise StopError(Code.FAILED, what, action="see `tarmak instances`")
    digest: Digest | None = None if bundle is None else bundle_named(client, bundle)
    undecided = digest is None and any(instance.desired is None for instance in fleet)
    parts = choice.shares(fleet, client.bundles() if undecided else [], digest)
    for share in parts:
        if share.chosen:
            names = ", ".join(share.chosen)
            note(f"nothing is desired of {names} yet: taking {short(share.digest)}, the newest bundle")
    return fleet, parts


def _confirm(fleet: Sequence[InstanceView], parts: Sequence[Share]) -> None:
    moved = choice.disturbed(fleet, parts)
    if not moved:
        return
    what = f"this takes {len(moved)} instances that stand on another bundle to a new one, all at once"
    confirm(f"{what}: {', '.join(moved)}")


def _asked(
    client: Client, parts: Sequence[Share], *, noop: bool, parallel: int | None, run_s: int
) -> list[ConvergeTicket]:
    return [
        client.converge(
            Selector(instances=share.instances),
            digest=share.digest,
            noop=noop,
            parallel=parallel,
            timeout_s=run_s,
        )
        for share in parts
    ]


def _judge(runs: Sequence[RunView]) -> None:
    wrong = [run for run in runs if run.state is not RunState.SUCCEEDED]
    if wrong:
        reasons = "; ".join(f"{run.instance}: {printable(run.reason) or run.state.value}" for run in wrong)
        raise StopError(
            Code.FAILED,
            f"{len(wrong)} of {len(runs)} runs did not succeed",
            why=reasons,
            action=f"see `tarmak run show {wrong[0].id}` and `tarmak run logs {wrong[0].id}`",
        )


def _judge_plan(found: PlanView, *, exit_code: bool) -> None:
    if found.failed or found.pending:
        unknown = [each.instance for each in found.failed] + list(found.pending)
        raise StopError(
            Code.FAILED,
            f"{len(unknown)} instances could not say what would change",
            why=", ".join(unknown),
            action="see `tarmak run list`",
        )
    if exit_code and found.groups:
        raise typer.Exit(Code.PENDING)
