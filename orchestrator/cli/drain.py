"""The commands that empty an instance's Kubernetes Node, and let it fill again, outside any rollout."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from broker.ids import InstanceId
from orchestrator.cli import tactics
from orchestrator.cli.amounts import brief, optional_s, spent
from orchestrator.cli.asking import confirm
from orchestrator.cli.named import instance_named
from orchestrator.cli.options import Output, Timeout, Url, Wait, Yes
from orchestrator.cli.output import Form, note, pairs, printable, show_one
from orchestrator.cli.place import client_for
from orchestrator.cli.stop import Code, StopError
from orchestrator.cli.upgrade import PAST_BUDGETS
from orchestrator.cli.waiting import LateError
from orchestrator.cli.waiting import Wait as Waited
from orchestrator.cli.waiting import wait as waited
from orchestrator.client import Client
from orchestrator.domain.rollout_views import DrainView
from orchestrator.domain.views import RunState
from orchestrator.exchange import ProblemError

NOT_CONFIRMED: Final = "not-confirmed"
DRAIN: Final = "drain"

Instance = Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance's id.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.command()(drain)
    app.command()(uncordon)


def drain(
    instance: Instance,
    *,
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
    yes: Yes = False,
    wait: Wait = True,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Cordon an instance's Node and evict its pods; it stays cordoned until `tarmak uncordon`."""
    flags = tactics.given(
        {
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
        }
    )
    policy, named, limit_s = tactics.checked_drain(flags), instance_named(instance), optional_s(timeout)
    if not yes:
        confirm(f"this cordons {named} and evicts its pods")
        if disable_eviction:
            confirm(PAST_BUDGETS, question="Delete them all the same?")
    client = client_for(url)
    view = _begun(client, named, policy, yes=yes)
    _finish(client, view, output, wait=wait, limit_s=limit_s)


def uncordon(
    instance: Instance,
    *,
    wait: Wait = True,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Lift a cordon of ours, so that pods may come again."""
    named, limit_s, client = instance_named(instance), optional_s(timeout), client_for(url)
    _finish(client, client.uncordon(named), output, wait=wait, limit_s=limit_s)


def _begun(client: Client, instance: InstanceId, policy: tactics.Plain, *, yes: bool) -> DrainView:
    try:
        return client.drain(instance, policy, confirmed=yes)
    except ProblemError as error:
        if error.kind != NOT_CONFIRMED or yes:
            raise
        confirm(error.detail)
    return client.drain(instance, policy, confirmed=True)


def _finish(client: Client, view: DrainView, output: Form, *, wait: bool, limit_s: int | None) -> None:
    if wait:
        view = _ended(client, view, limit_s)
    show_one(output, view, pairs(_account(view, datetime.now(UTC))))
    if wait and view.state is not RunState.SUCCEEDED:
        raise StopError(
            Code.FAILED,
            f"{view.action} of {view.instance} {view.state.value}",
            why="; ".join((printable(view.reason), *map(printable, view.left))).strip("; "),
            action=f"see `tarmak why {view.instance}`",
        )
    if wait and view.action == DRAIN:
        note(f"{view.instance} stays cordoned until `tarmak uncordon {view.instance}`")


def _ended(client: Client, view: DrainView, limit_s: int | None) -> DrainView:
    going = f"the {view.action} of {view.instance} goes on"
    asked = Waited(
        ask=lambda: client.drain_state(view.id),
        ended=lambda found: found.state.is_final,
        show=Lines().update,
        since=datetime.now(UTC),
        what=going,
    )
    action = f"see `tarmak why {view.instance}`; `tarmak uncordon {view.instance}` takes it back"
    try:
        return waited(client, asked, timeout_s=limit_s)
    except LateError:
        what = f"{going}; it has not ended within {brief(limit_s or 0)}"
        raise StopError(Code.FAILED, what, action=action) from None
    except KeyboardInterrupt:
        raise StopError(Code.INTERRUPTED, f"interrupted; {going} in the daemon", action=action) from None


class Lines:
    """A line for each change of a drain: what is gone, and what can't go and why."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def update(self, view: DrainView) -> None:
        """Say what was not said yet."""
        for line in drain_lines(view):
            if line not in self._said:
                self._said.add(line)
                note(line)


def drain_lines(view: DrainView) -> Iterator[str]:
    """Yield what there is to say of a drain that goes on."""
    name = view.instance
    if view.state is RunState.QUEUED or (view.reason and not view.state.is_final):
        yield f"{name}: {view.state.value}{f': {printable(view.reason)}' if view.reason else ''}"
    if view.total is not None:
        yield f"{name}: {view.evicted} of {view.total} pods are gone"
    for each in view.blocked:
        yield f"{name}: blocked: {printable(each)}"


def _account(view: DrainView, now: datetime) -> Iterator[tuple[str, str]]:
    yield view.action, view.id
    yield "instance", view.instance
    yield "state", view.state.value
    yield "reason", view.reason
    if view.action == DRAIN:
        yield "pods gone", f"{view.evicted}" + ("" if view.total is None else f" of {view.total}")
        for each in view.blocked:
            yield "blocked", each
        for each in view.left:
            yield "left", each
    yield "asked by", view.requested_by
    yield "took", spent(((view.finished_at or now) - view.created_at).total_seconds())
