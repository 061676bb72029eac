"""The operators' door: HTTP on a Unix socket, from the first request to an orderly end.

A daemon that is killed leaves its socket's file behind, and one that still runs must not be robbed of
it; so a stale file is taken away and a live one is an error. On the way out streams are told first, so that
no reader holds up the stop.
"""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from orchestrator.api import bundles, drains, enrolments, events, fleet, rollouts, runs
from orchestrator.api.openapi import document
from orchestrator.api.parameters import Query
from orchestrator.api.peer import admit, peer_of
from orchestrator.api.problems import as_problems
from orchestrator.api.route import Call, Faces, Route, answer

MAX_BODY: Final = 4 * 1024**2
STOP_S: Final = 5.0
CALLER: Final = web.RequestKey("caller", str)


class SocketInUseError(Exception):
    """Another process serves on the socket."""

    def __init__(self, *, path: Path) -> None:
        self.path = path
        super().__init__(
            f"{path}: another orchestrator serves here; stop it first, or configure another path"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketConfig:
    """Where to serve, and which groups' members may ask besides root and the daemon's own user."""

    path: Path
    groups: tuple[str, ...] = ()


async def describe(_call: Call) -> web.StreamResponse:
    """Answer with the OpenAPI document."""
    return answer(document(ROUTES))


ROUTES: Final[Sequence[Route]] = (
    *fleet.ROUTES,
    *bundles.ROUTES,
    *runs.ROUTES,
    *rollouts.ROUTES,
    *drains.ROUTES,
    *enrolments.ROUTES,
    *events.ROUTES,
    Route(
        method="GET",
        path="/v1/openapi.json",
        summary="This document.",
        handler=describe,
        answer=dict[str, Any],
    ),
)


@asynccontextmanager
async def serve(faces: Faces, config: SocketConfig) -> AsyncIterator[None]:
    """Serve the API for `faces` while the block runs; SocketInUseError if someone else does."""
    stopping = asyncio.Event()
    app = application(faces, groups=config.groups, stopping=stopping)
    async with listening(app, config, stopping):
        yield


@asynccontextmanager
async def listening(
    app: web.Application, config: SocketConfig, stopping: asyncio.Event | None = None
) -> AsyncIterator[None]:
    """Answer on the socket while the block runs; `stopping` is set first of all when it ends."""
    stopping = stopping or asyncio.Event()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_S)
    await runner.setup()
    try:
        listener = _listen(config)
        try:
            await web.SockSite(runner, listener).start()
            yield
        finally:
            stopping.set()
            config.path.unlink(missing_ok=True)
    finally:
        stopping.set()
        await runner.cleanup()


def guard(groups: Sequence[str]) -> Middleware:
    """Return what lets in members of `groups`, root and the daemon's own user, and notes who calls."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        peer = peer_of(request)
        admit(peer, groups)
        request[CALLER] = peer.name
        return await handler(request)

    return guarded


def application(faces: Faces, *, groups: Sequence[str], stopping: asyncio.Event) -> web.Application:
    """Return the API as an aiohttp application."""
    app = web.Application(middlewares=[as_problems, guard(groups)], client_max_size=MAX_BODY)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _handler(route, faces, stopping))
    return app


def _handler(route: Route, faces: Faces, stopping: asyncio.Event) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        call = Call(
            request=request,
            faces=faces,
            caller=request[CALLER],
            query=Query(request.query, route.parameters),
            stopping=stopping,
        )
        return await route.handler(call)

    return handle


def _listen(config: SocketConfig) -> socket.socket:
    _clear(config.path)
    config.path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(config.path))
    config.path.chmod(0o666 if config.groups else 0o600)
    listener.setblocking(False)
    return listener


def _clear(path: Path) -> None:
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise SocketInUseError(path=path)
