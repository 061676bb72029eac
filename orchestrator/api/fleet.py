"""The routes about instances and about how all is going."""

from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from orchestrator.api.parameters import SELECTOR, SelectorBody, as_instances, selector_of
from orchestrator.api.problems import refusal
from orchestrator.api.route import Call, Route, answer
from orchestrator.domain.views import InstanceView, PingView, StatusView

MAX_PING_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PingBody:
    """Whom to ping, and how many seconds to wait for an answer."""

    selector: SelectorBody = field(default_factory=SelectorBody)
    timeout_s: float = 10.0


async def list_instances(call: Call) -> web.StreamResponse:
    """Answer with the selected instances; nothing asked for is all of them, since nothing is done to them."""
    return answer(list(await call.faces.fleet.instances(call.query.selector())))


async def show_instance(call: Call) -> web.StreamResponse:
    """Answer with one instance."""
    (instance,) = as_instances([call.part("id")])
    return answer(await call.faces.fleet.instance(instance))


async def ping(call: Call) -> web.StreamResponse:
    """Answer with each wing's round trip."""
    body = await call.body(PingBody)
    if not 0 < body.timeout_s <= MAX_PING_S:
        raise refusal(f"timeout_s: {body.timeout_s} is not within 0 to {MAX_PING_S}", action="Correct it.")
    return answer(list(await call.faces.fleet.ping(selector_of(body.selector), timeout_s=body.timeout_s)))


async def status(call: Call) -> web.StreamResponse:
    """Answer with how all is going."""
    return answer(await call.faces.fleet.status())


async def acknowledge(call: Call) -> web.StreamResponse:
    """Answer with how all is going, once it is written that a person has seen it."""
    return answer(await call.faces.fleet.acknowledge(requested_by=call.caller))


async def healthy(_call: Call) -> web.StreamResponse:
    """Answer that the process runs and its loop turns."""
    return answer({"alive": True})


async def ready(call: Call) -> web.StreamResponse:
    """Answer 200 if the orchestrator can work, 503 if not, with each condition by name."""
    conditions = await call.faces.fleet.ready()
    return answer(dict(conditions), status=200 if all(conditions.values()) else 503)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/instances",
        summary="The selected instances, by id.",
        handler=list_instances,
        answer=list[InstanceView],
        parameters=SELECTOR,
    ),
    Route(
        method="GET",
        path="/v1/instances/{id}",
        summary="One instance.",
        handler=show_instance,
        answer=InstanceView,
        refusals=(404,),
    ),
    Route(
        method="POST",
        path="/v1/ping",
        summary="A round trip to each selected wing.",
        handler=ping,
        answer=list[PingView],
        body=PingBody,
    ),
    Route(
        method="GET",
        path="/v1/status",
        summary="Whether all is well, and what is not.",
        handler=status,
        answer=StatusView,
    ),
    Route(
        method="POST",
        path="/v1/status/acknowledge",
        summary="Say that a person has looked at a restored journal; reconciliation goes on.",
        handler=acknowledge,
        answer=StatusView,
    ),
    Route(
        method="GET",
        path="/healthz",
        summary="Whether the process is alive.",
        handler=healthy,
        answer=dict[str, bool],
    ),
    Route(
        method="GET",
        path="/readyz",
        summary="Whether the orchestrator can work; 503 with the same body while it can't.",
        handler=ready,
        answer=dict[str, bool],
    ),
)
