"""The routes that empty single instances and let them fill again, outside any rollout."""

from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from broker.messages import DrainPolicy
from orchestrator.api.parameters import as_instances
from orchestrator.api.route import Call, Route, answer
from orchestrator.domain.rollout.reading import drain_from
from orchestrator.domain.rollout.strategy import StrategyError
from orchestrator.domain.rollout_views import DrainView
from orchestrator.operations import RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainBody:
    """How to drain, as a strategy's `drain` has it; `confirmed` says that a person agreed to an outage."""

    policy: dict[str, Any] = field(default_factory=dict)
    confirmed: bool = False


async def drain(call: Call) -> web.StreamResponse:
    """Set a drain going, and answer long before it ends."""
    body = await call.body(DrainBody)
    (instance,) = as_instances([call.part("id")])
    view = await call.faces.drains.drain(
        instance, _policy(body.policy), confirmed=body.confirmed, requested_by=call.caller
    )
    return _accepted(view)


async def uncordon(call: Call) -> web.StreamResponse:
    """Have a cordon of ours lifted."""
    (instance,) = as_instances([call.part("id")])
    return _accepted(await call.faces.drains.uncordon(instance, requested_by=call.caller))


async def show_drain(call: Call) -> web.StreamResponse:
    """Answer with how a drain or an uncordon goes."""
    return answer(await call.faces.drains.drain_state(call.part("id")))


def _policy(plain: dict[str, Any]) -> DrainPolicy:
    try:
        return drain_from(plain, "policy")
    except StrategyError as error:
        raise RefusedError(
            kind="bad-policy",
            status=400,
            title="The drain's policy can't be used",
            detail=str(error),
            action=f"Correct {error.field}, or leave it out for its default.",
        ) from error


def _accepted(view: DrainView) -> web.Response:
    return answer(view, status=202, location=f"/v1/drains/{view.id}")


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/instances/{id}/drain",
        summary="Cordon the instance's Node and evict what may go, through the same gates as a rollout's.",
        handler=drain,
        answer=DrainView,
        status=202,
        body=DrainBody,
        body_needed=False,
        refusals=(404, 409),
    ),
    Route(
        method="POST",
        path="/v1/instances/{id}/uncordon",
        summary="Lift a cordon of ours.",
        handler=uncordon,
        answer=DrainView,
        status=202,
        refusals=(404, 409),
    ),
    Route(
        method="GET",
        path="/v1/drains/{id}",
        summary="How a drain or an uncordon goes.",
        handler=show_drain,
        answer=DrainView,
        refusals=(404,),
    ),
)
