"""The routes that set runs going, and those that tell what became of them."""

from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from broker import ids
from broker.errors import InvalidIdError
from broker.ids import Digest, RunId
from orchestrator.api.parameters import INTEGER, SELECTOR, Parameter, SelectorBody, selector_of
from orchestrator.api.problems import refusal
from orchestrator.api.route import Call, Route, answer
from orchestrator.domain.views import ConvergeTicket, PlanView, RunState, RunView
from orchestrator.nearest import nearest
from orchestrator.operations import ConvergeRequest, RunFilter

MAX_RUNS: Final = 10_000
MAX_RUN_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvergeBody:
    """Whom to converge on which bundle (none: on what is desired of each), and within what bounds."""

    selector: SelectorBody = field(default_factory=SelectorBody)
    bundle: str | None = None
    noop: bool = False
    parallel: int | None = None
    timeout_s: int = 1800
    confirm: bool = True


async def converge(call: Call) -> web.StreamResponse:
    """Set runs going and answer with their ticket, long before they end."""
    body = await call.body(ConvergeBody)
    ticket = await call.faces.runs.converge(_request(body, call.caller))
    where = f"/v1/plans/{ticket.id}" if ticket.noop else f"/v1/runs?ticket={ticket.id}"
    return answer(ticket, status=202, location=where)


async def list_runs(call: Call) -> web.StreamResponse:
    """Answer with runs, newest first, without their changes."""
    before = call.query.text("before")
    query = RunFilter(
        selector=call.query.selector(),
        states=tuple(_state(text) for text in call.query.texts("state")),
        ticket=call.query.text("ticket"),
        limit=call.query.integer("limit", 100, least=1, most=MAX_RUNS),
        before=None if before is None else as_run(before),
    )
    return answer(list(await call.faces.runs.runs(query)))


async def show_run(call: Call) -> web.StreamResponse:
    """Answer with one run and its changes."""
    return answer(await call.faces.runs.run(as_run(call.part("id"))))


async def run_log(call: Call) -> web.StreamResponse:
    """Answer with a run's complete log."""
    return answer([dict(line) for line in await call.faces.runs.run_log(as_run(call.part("id")))])


async def cancel(call: Call) -> web.StreamResponse:
    """Ask for a run's end."""
    run = await call.faces.runs.cancel(as_run(call.part("id")), requested_by=call.caller)
    return answer(run, status=202)


async def show_plan(call: Call) -> web.StreamResponse:
    """Answer with what the dry runs of a ticket have found so far."""
    return answer(await call.faces.runs.plan(call.part("ticket")))


def as_run(text: str) -> RunId:
    """Return a run's id, or refuse what can't be one."""
    try:
        return ids.run_id(text)
    except InvalidIdError as error:
        raise refusal(str(error), action="Give the run's whole id.") from error


def as_digest(text: str) -> Digest:
    """Return a bundle's digest, or refuse what can't be one."""
    try:
        return ids.digest(text)
    except InvalidIdError as error:
        raise refusal(str(error), action="Give the whole digest: sha256: and 64 digits.") from error


def _request(body: ConvergeBody, caller: str) -> ConvergeRequest:
    if body.parallel is not None and body.parallel < 1:
        raise refusal(f"parallel: {body.parallel} is less than 1", action="Leave it out for no bound.")
    if not 1 <= body.timeout_s <= MAX_RUN_S:
        raise refusal(f"timeout_s: {body.timeout_s} is not within 1 to {MAX_RUN_S}", action="Correct it.")
    return ConvergeRequest(
        selector=selector_of(body.selector),
        digest=None if body.bundle is None else as_digest(body.bundle),
        noop=body.noop,
        parallel=body.parallel,
        timeout_s=body.timeout_s,
        confirm=body.confirm,
        requested_by=caller,
    )


def _state(text: str) -> RunState:
    try:
        return RunState(text)
    except ValueError as error:
        hint = nearest(text, [state.value for state in RunState])
        raise refusal(
            f"state: {text!r} is no state of a run", action=f"{hint[0].upper()}{hint[1:]}"
        ) from error


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/converge",
        summary="Converge the selected instances now, or with `noop` find out what that would change.",
        handler=converge,
        answer=ConvergeTicket,
        status=202,
        body=ConvergeBody,
        refusals=(404, 409),
    ),
    Route(
        method="GET",
        path="/v1/runs",
        summary="Runs, newest first, without their changes.",
        handler=list_runs,
        answer=list[RunView],
        parameters=(
            *SELECTOR,
            Parameter(
                name="state",
                summary="Only in this state; repeat for more.",
                schema={"type": "string", "enum": [state.value for state in RunState]},
                repeated=True,
            ),
            Parameter(name="ticket", summary="Only those that this request to converge set going."),
            Parameter(
                name="limit", summary="At most so many [100].", schema={**INTEGER, "maximum": MAX_RUNS}
            ),
            Parameter(name="before", summary="The last id of the page before."),
        ),
    ),
    Route(
        method="GET",
        path="/v1/runs/{id}",
        summary="One run, with every change.",
        handler=show_run,
        answer=RunView,
        refusals=(404,),
    ),
    Route(
        method="GET",
        path="/v1/runs/{id}/log",
        summary="A run's complete log, once it has ended.",
        handler=run_log,
        answer=list[dict[str, Any]],
        refusals=(404, 409),
    ),
    Route(
        method="POST",
        path="/v1/runs/{id}/cancel",
        summary="Ask the run's wing to end it.",
        handler=cancel,
        answer=RunView,
        status=202,
        refusals=(404, 409),
    ),
    Route(
        method="GET",
        path="/v1/plans/{ticket}",
        summary="What the dry runs of a ticket would change, identical changes shown once.",
        handler=show_plan,
        answer=PlanView,
        refusals=(404,),
    ),
)
