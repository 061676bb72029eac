"""The commands that look: `instances`, `instance show`, `ping` and `status`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from orchestrator.cli.amounts import ago, seconds
from orchestrator.cli.named import instance_named
from orchestrator.cli.options import Everything, Instances, Labels, Output, Roles, Url, demanded, selected
from orchestrator.cli.output import Column, Form, note, pairs, short, show_list, show_one
from orchestrator.cli.place import client_for
from orchestrator.cli.stop import Code, StopError
from orchestrator.domain.views import InstanceView, PingView, StatusView

instance_app = typer.Typer(name="instance", help="One instance.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.command()(instances)
    app.add_typer(instance_app)
    app.command()(ping)
    app.command()(status)


def instances(
    *,
    role: Roles,
    instance: Instances,
    label: Labels,
    everything: Everything = False,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """List the fleet: who is there, what is desired, what was proved."""
    selector = selected(role, instance, label, everything=everything)
    chosen = None if everything else selector
    show_list(output, client_for(url).instances(chosen), columns(datetime.now(UTC)), none="no instances")


@instance_app.command("show")
def instance_show(
    instance: Annotated[str, typer.Argument(metavar="ID", help="The instance's id.")],
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Show all that is known of one instance."""
    view = client_for(url).instance(instance_named(instance))
    show_one(output, view, pairs(_account(view, datetime.now(UTC))))


def ping(
    *,
    role: Roles,
    instance: Instances,
    label: Labels,
    everything: Everything = False,
    timeout: Annotated[str, typer.Option("--timeout", help="How long to wait for answers.")] = "10s",
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Time a round trip to each wing; names the slowest, and who did not answer."""
    selector = demanded(role, instance, label, everything=everything)
    answers = client_for(url).ping(selector, timeout_s=seconds(timeout))
    show_list(output, answers, PING, none="no instances")
    timed = [(answer.round_trip_s, answer.instance) for answer in answers if answer.round_trip_s is not None]
    if timed:
        slowest_s, slowest = max(timed)
        note(f"{len(timed)} of {len(answers)} answered, slowest {slowest} with {1000 * slowest_s:.1f} ms")
    silent = [answer.instance for answer in answers if answer.round_trip_s is None]
    if silent:
        raise StopError(
            Code.FAILED,
            f"{len(silent)} of {len(answers)} did not answer: {', '.join(silent)}",
            action="see `tarmak instances` for who is there, and the wing's own log on the host",
        )


def status(
    *,
    acknowledge: Annotated[
        bool,
        typer.Option("--acknowledge", help="Say that you have looked at a restored journal: go on."),
    ] = False,
    output: Output = Form.TABLE,
    url: Url = None,
) -> None:
    """Show how all is going; exit 1 when something needs a person."""
    client = client_for(url)
    view = client.acknowledge() if acknowledge else client.status()
    show_one(output, view, _summary(view))
    if not view.healthy:
        raise typer.Exit(Code.FAILED)


def columns(now: datetime) -> list[Column]:
    """Return the fleet's table as it is at `now`."""
    return [
        Column(heading="INSTANCE", cell=lambda view: view.id),
        Column(heading="ROLE", cell=lambda view: view.role),
        Column(heading="PRESENCE", cell=lambda view: view.presence.value),
        Column(heading="OUTCOME", cell=lambda view: view.outcome.value),
        Column(heading="DESIRED", cell=lambda view: short(view.desired)),
        Column(heading="OBSERVED", cell=lambda view: short(view.observed)),
        Column(heading="DRIFT", cell=lambda view: "drift" if view.drift else "-"),
        Column(heading="SINCE", cell=lambda view: ago(view.since, now=now)),
        Column(heading="REASON", cell=lambda view: view.reason),
    ]


def _account(view: InstanceView, now: datetime) -> Iterator[tuple[str, str]]:
    yield "instance", view.id
    yield "role", view.role
    yield "pool", view.pool
    yield "cluster", view.cluster
    yield "labels", ", ".join(f"{name}={value}" for name, value in sorted(view.labels.items()))
    yield "presence", view.presence.value
    yield "last seen", "-" if view.last_seen is None else f"{ago(view.last_seen, now=now)} ago"
    yield "boot", view.boot or "-"
    yield "desired", view.desired or "-"
    yield "observed", view.observed or "-"
    yield "outcome", view.outcome.value
    yield "drift", "yes" if view.drift else "no"
    yield "since", "-" if view.since is None else view.since.isoformat(timespec="seconds")
    yield "reason", view.reason
    yield "run", view.run or "-"
    yield "version", view.version or "-"
    for name, value in view.facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        yield f"host {name}", shown
    for name, count in sorted(view.counters.items()):
        yield f"dropped, {name}", str(count)


def _summary(view: StatusView) -> list[str]:
    listed = [
        ("health", "healthy" if view.healthy else "unhealthy"),
        *((f"broker {name}", str(value)) for name, value in view.broker.items()),
        *((f"orchestrator {name}", str(value)) for name, value in view.orchestrator.items()),
        ("leader", f"{view.leader}, epoch {view.epoch}"),
        ("instances", ", ".join(f"{count} {name}" for name, count in view.instances.items())),
    ]
    if view.counters:
        listed.append(("dropped", ", ".join(f"{count} {name}" for name, count in view.counters.items())))
    return [*pairs(listed), *(f"! {problem}" for problem in view.problems)]


def _milliseconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{1000 * value_s:.1f} ms"


def _answered(view: PingView) -> str:
    return view.error or "ok"


PING: Final = (
    Column(heading="INSTANCE", cell=lambda view: view.instance),
    Column(heading="ROUND TRIP", cell=lambda view: _milliseconds(view.round_trip_s)),
    Column(heading="CLOCK OFFSET", cell=lambda view: _milliseconds(view.clock_offset_s)),
    Column(heading="ANSWER", cell=_answered),
)
