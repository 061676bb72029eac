"""The routes about rollouts: what one would do, beginning it, how it goes, and what an operator may do to it.

A rollout is not waited for here: what acts on one answers at once with how it stands then, and the
`Location` where it can be looked at.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from broker import ids
from broker.errors import InvalidIdError
from broker.ids import RolloutId
from orchestrator.api.parameters import INTEGER, Parameter, SelectorBody, as_instances, selector_of
from orchestrator.api.problems import refusal
from orchestrator.api.route import Call, Route, answer
from orchestrator.api.runs import as_digest
from orchestrator.domain.rollout.reading import strategy_from
from orchestrator.domain.rollout.strategy import Strategy, StrategyError
from orchestrator.domain.rollout_views import RolloutView, WhyView
from orchestrator.operations import ActRequest, RefusedError, RolloutAction, UpgradeRequest

MAX_ROLLOUTS: Final = 1000
MAX_HASH: Final = 200
MAX_BEYOND: Final = 10_000
BEYOND: Final = frozenset({RolloutAction.RESUME, RolloutAction.RETRY})
SOME: Final = frozenset({RolloutAction.RETRY, RolloutAction.SKIP})


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeBody:
    """Whom to take to which bundle, and how; `approved` is a plan's hash, `confirmed` a person's word."""

    bundle: str
    selector: SelectorBody = field(default_factory=SelectorBody)
    strategy: dict[str, Any] = field(default_factory=dict)
    approved: str | None = None
    confirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActBody:
    """Whom to skip or retry (none: all that failed), and how many failures to look past."""

    instances: tuple[str, ...] = ()
    beyond_failed: int = 0


async def preview(call: Call) -> web.StreamResponse:
    """Answer with the plan of a rollout: its waves, what its gates need, and what has to be confirmed."""
    return answer(await call.faces.rollouts.preview(await _upgrade_request(call)))


async def upgrade(call: Call) -> web.StreamResponse:
    """Begin a rollout and answer with it, long before it ends."""
    rollout = await call.faces.rollouts.upgrade(await _upgrade_request(call))
    return _accepted(rollout)


async def list_rollouts(call: Call) -> web.StreamResponse:
    """Answer with rollouts, newest first, without their steps."""
    before = call.query.text("before")
    found = await call.faces.rollouts.rollouts(
        limit=call.query.integer("limit", 100, least=1, most=MAX_ROLLOUTS),
        before=None if before is None else as_rollout(before),
    )
    return answer(list(found))


async def show_rollout(call: Call) -> web.StreamResponse:
    """Answer with one rollout and each of its steps."""
    return answer(await call.faces.rollouts.rollout(as_rollout(call.part("id"))))


async def pause(call: Call) -> web.StreamResponse:
    """Let nothing new start."""
    return await _act(call, RolloutAction.PAUSE)


async def resume(call: Call) -> web.StreamResponse:
    """Go on with a paused rollout."""
    return await _act(call, RolloutAction.RESUME)


async def abort(call: Call) -> web.StreamResponse:
    """End a rollout where it is."""
    return await _act(call, RolloutAction.ABORT)


async def retry(call: Call) -> web.StreamResponse:
    """Begin the steps of failed instances anew."""
    return await _act(call, RolloutAction.RETRY)


async def skip(call: Call) -> web.StreamResponse:
    """Leave instances as they are and go on without them."""
    return await _act(call, RolloutAction.SKIP)


async def revert(call: Call) -> web.StreamResponse:
    """Take each instance that the rollout has touched back to the bundle that it had."""
    return await _act(call, RolloutAction.REVERT)


async def why(call: Call) -> web.StreamResponse:
    """Answer with why something waits or failed."""
    return answer(list(await call.faces.rollouts.why(call.query.text("subject"))))


def as_rollout(text: str) -> RolloutId:
    """Return a rollout's id, or refuse what can't be one."""
    try:
        return ids.rollout_id(text)
    except InvalidIdError as error:
        raise refusal(str(error), action="Give the rollout's id, such as r-7.") from error


async def _upgrade_request(call: Call) -> UpgradeRequest:
    body = await call.body(UpgradeBody)
    if body.approved is not None and not 0 < len(body.approved) <= MAX_HASH:
        raise refusal(
            "approved: that is no plan's hash", action="Give the plan's diff_hash, or leave it out."
        )
    return UpgradeRequest(
        selector=selector_of(body.selector),
        digest=as_digest(body.bundle),
        strategy=_strategy(body.strategy),
        approved=body.approved,
        confirmed=body.confirmed,
        requested_by=call.caller,
    )


def _strategy(plain: dict[str, Any]) -> Strategy:
    try:
        return strategy_from(plain)
    except StrategyError as error:
        raise RefusedError(
            kind="bad-strategy",
            status=400,
            title="The strategy can't be used",
            detail=str(error),
            action=f"Correct {error.field}, or leave it out for its default.",
        ) from error


async def _act(call: Call, action: RolloutAction) -> web.StreamResponse:
    rollout, body = as_rollout(call.part("id")), await call.body(ActBody)
    if body.instances and action not in SOME:
        raise refusal(f"instances: {action.value} is for the whole rollout", action="Leave them out.")
    if body.beyond_failed and action not in BEYOND:
        raise refusal(f"beyond_failed: it does not go with {action.value}", action="Leave it out.")
    if not 0 <= body.beyond_failed <= MAX_BEYOND:
        detail = f"beyond_failed: {body.beyond_failed} is not within 0 to {MAX_BEYOND}"
        raise refusal(detail, action="Correct it.")
    request = ActRequest(
        rollout=rollout,
        action=action,
        instances=as_instances(body.instances),
        beyond_failed=body.beyond_failed,
        requested_by=call.caller,
    )
    return _accepted(await call.faces.rollouts.act(request))


def _accepted(rollout: RolloutView) -> web.Response:
    return answer(rollout, status=202, location=f"/v1/rollouts/{rollout.id}")


ACTIONS: Final = (
    (pause, "Let nothing new start; what is under way ends."),
    (resume, "Go on; with `beyond_failed`, so many failed instances don't count as unavailable."),
    (abort, "End the rollout where it is; what has been sent and not started is cancelled."),
    (retry, "Begin the steps of failed instances anew: those named, or all that failed."),
    (skip, "Leave instances as they are: those named, or all that failed."),
    (revert, "Take each instance that the rollout has touched back to the bundle that it had."),
)

ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/rollouts/preview",
        summary="What a rollout would do, without beginning it; refuses what beginning it would refuse.",
        handler=preview,
        answer=RolloutView,
        body=UpgradeBody,
        refusals=(404, 409),
    ),
    Route(
        method="POST",
        path="/v1/rollouts",
        summary="Begin a rollout.",
        handler=upgrade,
        answer=RolloutView,
        status=202,
        body=UpgradeBody,
        refusals=(404, 409),
    ),
    Route(
        method="GET",
        path="/v1/rollouts",
        summary="Rollouts, newest first, without their steps.",
        handler=list_rollouts,
        answer=list[RolloutView],
        parameters=(
            Parameter(
                name="limit", summary="At most so many [100].", schema={**INTEGER, "maximum": MAX_ROLLOUTS}
            ),
            Parameter(name="before", summary="The last id of the page before."),
        ),
    ),
    Route(
        method="GET",
        path="/v1/rollouts/{id}",
        summary="One rollout, with each of its steps.",
        handler=show_rollout,
        answer=RolloutView,
        refusals=(404,),
    ),
    *(
        Route(
            method="POST",
            path=f"/v1/rollouts/{{id}}/{handler.__name__}",
            summary=summary,
            handler=handler,
            answer=RolloutView,
            status=202,
            body=ActBody,
            body_needed=False,
            refusals=(404, 409),
        )
        for handler, summary in ACTIONS
    ),
    Route(
        method="GET",
        path="/v1/why",
        summary="Why an instance or a rollout waits or failed, and the next safe command.",
        handler=why,
        answer=list[WhyView],
        parameters=(
            Parameter(name="subject", summary="An instance's or a rollout's id [whatever waits or failed]."),
        ),
        refusals=(404,),
    ),
)
