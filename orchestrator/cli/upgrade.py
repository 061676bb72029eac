"""`tarmak upgrade`: taking a living fleet to a bundle, from the plan that a person reads to the end."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import tactics
from orchestrator.cli.amounts import optional_s
from orchestrator.cli.asking import confirm
from orchestrator.cli.following import followed, judge
from orchestrator.cli.named import bundle_named
from orchestrator.cli.options import (
    Everything,
    Instances,
    Labels,
    Output,
    Roles,
    Timeout,
    Url,
    Wait,
    Yes,
    demanded,
)
from orchestrator.cli.output import Form, note, show_one
from orchestrator.cli.place import client_for
from orchestrator.cli.rollout_show import showing
from orchestrator.cli.rollout_text import number, plan_lines, rollout_lines
from orchestrator.client import Client, Upgrade
from orchestrator.domain.rollout.model import StepState
from orchestrator.domain.rollout_views import RolloutView

PAST_BUDGETS = "--disable-eviction deletes pods past every disruption budget, so what they serve may go down"


def register(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(upgrade)


def upgrade(
    *,
    bundle: Annotated[
        str, typer.Option("--bundle", help="The digest, its beginning, or the bundle's NAME or NAME@VERSION.")
    ],
    role: Roles,
    instance: Instances,
    label: Labels,
    everything: Everything = False,
    approved: Annotated[
        str | None,
        typer.Option("--approved", metavar="HASH", help="Change only what `plan` showed under this hash."),
    ] = None,
    strategy: Annotated[
        Path | None,
        typer.Option("--strategy", metavar="FILE", help="The strategy as YAML; flags go before it."),
    ] = None,
    max_unavailable: Annotated[
        str | None, typer.Option(metavar="N|N%", help="How many of a role may be away at once [1].")
    ] = None,
    canary: Annotated[int | None, typer.Option(min=0, help="How many of a role go first, alone [1].")] = None,
    soak: Annotated[
        str | None, typer.Option(metavar="TIME", help="Watch each wave for so long [0s].")
    ] = None,
    canary_soak: Annotated[
        str | None, typer.Option(metavar="TIME", help="Watch the canary for so long [1m].")
    ] = None,
    max_failures: Annotated[
        str | None, typer.Option(metavar="N|N%", help="Stop at so many failed instances [1].")
    ] = None,
    min_finished: Annotated[
        int | None, typer.Option(min=1, help="Take a percentage of failures from so many on [1].")
    ] = None,
    progress_deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help="Silence of a step for so long is a failure [15m].")
    ] = None,
    health_passes: Annotated[
        int | None, typer.Option(min=1, help="So many healthy looks in a row [3].")
    ] = None,
    health_interval: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long between two looks [2s].")
    ] = None,
    health_timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Healthy within so long, or failed [5m].")
    ] = None,
    on_failure: Annotated[
        str | None, typer.Option(metavar="WHAT", help="pause, or revert all that was changed [pause].")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help='Start within "mon-fri 22:00-04:00 Europe/Berlin" only [always].'),
    ] = None,
    prefetch: Annotated[
        bool | None,
        typer.Option("--prefetch/--no-prefetch", help="Fetch and dry-run before the drain [yes]."),
    ] = None,
    no_drain: Annotated[bool, typer.Option("--no-drain", help="Don't drain.")] = False,
    drain_timeout: tactics.DrainTimeout = None,
    delete_emptydir_data: tactics.EmptyDir = None,
    force: tactics.Force = None,
    ignore_daemonsets: tactics.Daemonsets = None,
    grace_period: tactics.Grace = None,
    skip_wait_for_delete_timeout: tactics.SkipWait = None,
    critical: tactics.Critical = None,
    disable_eviction: tactics.DisableEviction = None,
    on_drain_timeout: tactics.OnDrainTimeout = None,
    delete_selector: tactics.DeleteSelectors,
    run_timeout: Annotated[
        str | None,
        typer.Option("--run-timeout", metavar="TIME", help="End a Puppet run after so long [30m]."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and begin nothing.")] = False,
    yes: Yes = False,
    wait: Wait = True,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Take instances to a bundle, wave by wave, behind gates; shows its plan first and asks.

    Ends when the rollout has ended or paused: 0 if it succeeded, 1 if not.
    """
    flags = tactics.given(
        {
            "max_unavailable": max_unavailable,
            "canary": canary,
            "soak": soak,
            "canary_soak": canary_soak,
            "max_failures": max_failures,
            "min_finished": min_finished,
            "progress_deadline": progress_deadline,
            "health.passes": health_passes,
            "health.interval": health_interval,
            "health.timeout": health_timeout,
            "on_failure": on_failure,
            "prefetch": prefetch,
            "drain.timeout": drain_timeout,
            "drain.delete_emptydir_data": delete_emptydir_data,
            "drain.force": force,
            "drain.ignore_daemonsets": ignore_daemonsets,
            "drain.grace_period": grace_period,
            "drain.skip_wait_for_delete_timeout": skip_wait_for_delete_timeout,
            "drain.critical": critical,
            "drain.disable_eviction": disable_eviction,
            "drain.on_timeout": on_drain_timeout,
            "drain.delete_selectors": delete_selector,
            "run_timeout": run_timeout,
        }
    )
    flags |= tactics.window_of(window)
    plain = tactics.checked(tactics.without_drain(flags) if no_drain else flags, strategy)
    selector, limit_s = demanded(role, instance, label, everything=everything), optional_s(timeout)
    client = client_for(url)
    asked = Upgrade(selector=selector, digest=bundle_named(client, bundle), strategy=plain, approved=approved)
    plan = client.preview(asked)
    if dry_run:
        show_one(output, plan, plan_lines(plan))
        return
    for line in plan_lines(plan):
        note(line)
    begun = client.upgrade(replace(asked, confirmed=yes or _agreed(plan)))
    _finish(client, begun, output, wait=wait, limit_s=limit_s)


def _agreed(plan: RolloutView) -> bool:
    """Ask about the plan, where anything is disrupted; tells whether a person agreed to outages."""
    going = [step for step in plan.steps if step.state is not StepState.SKIPPED]
    if not going:
        return False
    outages = f", with {number(len(plan.confirmations), 'outage')}" if plan.confirmations else ""
    confirm(f"this upgrades {number(len(going), 'instance')}{outages}", question="Begin?")
    drain = plan.strategy.get("drain")
    if isinstance(drain, Mapping) and drain.get("disable_eviction"):
        confirm(PAST_BUDGETS, question="Delete them all the same?")
    return bool(plan.confirmations)


def _finish(client: Client, begun: RolloutView, output: Form, *, wait: bool, limit_s: int | None) -> None:
    if not wait or begun.id is None:
        note(f"rollout {begun.id} has begun; watch it with `tarmak rollout watch {begun.id}`")
        show_one(output, begun, rollout_lines(begun, datetime.now(UTC)))
        return
    note(f"rollout {begun.id} has begun")
    with showing() as show:
        ended = followed(client, begun.id, timeout_s=limit_s, show=show)
    show_one(output, ended, rollout_lines(ended, datetime.now(UTC)))
    judge(ended)
