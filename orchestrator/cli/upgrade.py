"""`tarmak upgrade`: taking a living fleet to a bundle, from the plan that a person reads to the end."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import tactics
from orchestrator.cli.amounts import optional_s
from orchestrator.cli.asking import confirm
from orchestrator.cli.cluster_place import Directory, Losing, Named
from orchestrator.cli.following import followed, judge
from orchestrator.cli.machines import Machines, at_work
from orchestrator.cli.named import bundle_named, rollout_named
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
from orchestrator.cli.stop import usage
from orchestrator.client import Client, Upgrade
from orchestrator.domain.rollout.model import StepState
from orchestrator.domain.rollout_views import RolloutView
from orchestrator.exchange import ProblemError

if TYPE_CHECKING:
    from orchestrator.cli.replacement import Hands

PAST_BUDGETS = "--disable-eviction deletes pods past every disruption budget, so what they serve may go down"


def register(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(upgrade)


def upgrade(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="With --replace: the cluster's description [cluster.yaml]."),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            help="The digest, its beginning, or the bundle's NAME or NAME@VERSION"
            " [with --replace: the description's].",
        ),
    ] = None,
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
    replace_: Annotated[
        bool, typer.Option("--replace", help="Have each machine made anew by Terraform, from here.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option("--resume", metavar="ROLLOUT", help="With --replace: take up this one where it is."),
    ] = None,
    cluster: Named = None,
    directory: Directory = None,
    losing: Losing,
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

    Ends when the rollout has ended or paused: 0 if it succeeded, 1 if not. With --replace the machines are
    made anew from here, each when the rollout has drained it; Ctrl-C pauses that.
    """
    if bundle is None and not replace_:
        raise usage("Missing option '--bundle'.", action="see `tarmak upgrade --help`")
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
            "replace": replace_ or None,
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
    limit_s = optional_s(timeout)
    machines = Machines(file=file, cluster=cluster, directory=directory, losing=losing, resume=resume)
    if not replace_:
        machines.refuse(plain)
        selector, client = demanded(role, instance, label, everything=everything), client_for(url)
        digest = bundle_named(client, bundle or "")
        asked = Upgrade(selector=selector, digest=digest, strategy=plain, approved=approved)
        begun = _begun(client, asked, output, dry_run=dry_run, yes=yes)
        if begun is not None:
            _finish(client, begun, output, wait=wait, limit_s=limit_s)
        return
    if approved is not None or not wait:
        raise usage("--approved and --no-wait go not with --replace", action="leave them away")
    with at_work(machines, url) as hands:
        if resume is None:
            selector = demanded(role, instance, label, everything=everything)
            digest = hands.bundle() if bundle is None else bundle_named(hands.client, bundle)
            asked = Upgrade(selector=selector, digest=digest, strategy=plain)
            begun = _begun_anew(hands, asked, output, machines, dry_run=dry_run, yes=yes)
        else:
            begun = hands.taken_up(rollout_named(resume), losing)
        if begun is None or begun.id is None:
            return
        note(f"rollout {begun.id} goes on; its machines are made from here: Ctrl-C pauses it")
        ended = hands.to_the_end(begun.id, timeout_s=limit_s)
    show_one(output, ended, rollout_lines(ended, datetime.now(UTC)))
    judge(ended)


def _begun(
    client: Client,
    asked: Upgrade,
    output: Form,
    *,
    dry_run: bool,
    yes: bool,
    also: Callable[[RolloutView], object] = lambda _: None,
) -> RolloutView | None:
    """Begin a rollout once its plan was shown and agreed to, by what `also` asks too; None in a dry run."""
    plan = client.preview(asked)
    if dry_run:
        show_one(output, plan, plan_lines(plan))
        return None
    for line in plan_lines(plan):
        note(line)
    also(plan)
    return client.upgrade(replace(asked, confirmed=yes or _agreed(plan)))


def _begun_anew(
    hands: "Hands", asked: Upgrade, output: Form, machines: Machines, *, dry_run: bool, yes: bool
) -> RolloutView | None:
    """Begin a rollout that makes machines anew, or take up the one that the same command has begun."""

    def agreed(plan: RolloutView) -> None:
        hands.agree([step for step in plan.steps if not step.state.is_over], machines.losing)

    try:
        return _begun(hands.client, asked, output, dry_run=dry_run, yes=yes, also=agreed)
    except ProblemError as error:
        names = [each.id for each in hands.client.instances(asked.selector)]
        known = hands.under_way(names, asked.digest) if error.kind == "in-a-rollout" else None
        if known is None or dry_run:
            raise
        note(f"rollout {known} is under way, and taken up")
        return hands.taken_up(known, machines.losing)


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
