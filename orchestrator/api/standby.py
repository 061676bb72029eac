"""The operators' door of a daemon that stands by: it tells whoever comes which one to ask."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from orchestrator.api.problems import as_problems
from orchestrator.api.server import SocketConfig, guard, listening
from orchestrator.domain.model import Leadership
from orchestrator.operations import RefusedError

UNAVAILABLE = 503


@asynccontextmanager
async def stand_by(config: SocketConfig, leader: Callable[[], Leadership | None]) -> AsyncIterator[None]:
    """Answer each request with who leads, while the block runs; SocketInUseError if someone else serves."""

    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise standing_by(leader())

    app = web.Application(middlewares=[as_problems, guard(config.groups)])
    app.router.add_route("*", "/{path:.*}", refuse)
    async with listening(app, config):
        yield


def standing_by(leader: Leadership | None) -> RefusedError:
    """Return the refusal of a daemon that does not lead."""
    if leader is None:
        detail = "its journal can't be reached, so nobody is known to lead"
        action = "See that the journal's database runs; this one goes on by itself."
    else:
        detail = f"{leader.holder} leads, in epoch {leader.epoch}"
        action = f"Ask {leader.holder}, on its own machine; if it is gone this one leads within 10 seconds."
    return RefusedError(
        kind="standing-by",
        status=UNAVAILABLE,
        title="This orchestrator stands by",
        detail=detail,
        action=action,
    )
