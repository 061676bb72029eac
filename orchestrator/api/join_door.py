"""The hosts' door into the fleet: one request, over TLS that only the door has a certificate for.

Whoever knocks has no certificate yet, so this door is apart from all others, takes little, and bears with
little: a peer that is refused often has to wait before it is heard again.
"""

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from orchestrator.api.bundle_door import IDLE_S, STOP_S
from orchestrator.api.parameters import body_of
from orchestrator.api.problems import as_problems
from orchestrator.api.route import BODY_TIMEOUT_S, answer
from orchestrator.operations import JoinRequest, Joins, RefusedError

MAX_BODY: Final = 16 * 1024
MOST_REFUSALS: Final = 10
FORGIVEN_AFTER_S: Final = 60.0
MOST_PEERS: Final = 1_000

log = structlog.get_logger(__name__)


class Patience:
    """Counts refusals by peer: after `MOST_REFUSALS` within a minute of each other it says no unheard."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def is_over(self, peer: str) -> bool:
        """Tell whether a peer has been refused too often lately."""
        count, last = self._refused.get(peer, (0, 0.0))
        return count >= MOST_REFUSALS and self._clock() - last < FORGIVEN_AFTER_S

    def refused(self, peer: str) -> None:
        """Count one more."""
        count, last = self._refused.pop(peer, (0, 0.0))
        count = count if self._clock() - last < FORGIVEN_AFTER_S else 0
        self._refused[peer] = (count + 1, self._clock())
        if len(self._refused) > MOST_PEERS:
            self._refused.popitem(last=False)


@asynccontextmanager
async def open_join_door(
    joins: Joins, *, host: str, port: int, certificate: Path, key: Path
) -> AsyncIterator[int]:
    """Let hosts in while the block runs; yields the port (the one that was free if `port` is 0).

    Raises OSError if the address is taken or a file can't be read, ssl.SSLError if one is no such PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    runner = web.AppRunner(
        application(joins, Patience()), access_log=None, keepalive_timeout=IDLE_S, shutdown_timeout=STOP_S
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=context)
        await site.start()
        bound = int(runner.addresses[0][1])
        log.info("join door open", host=host, port=bound)
        yield bound
    finally:
        await runner.cleanup()


def application(joins: Joins, patience: Patience) -> web.Application:
    """Return the door as an aiohttp application."""

    async def join(request: web.Request) -> web.StreamResponse:
        peer = request.remote or ""
        if patience.is_over(peer):
            detail = f"{peer} was refused {MOST_REFUSALS} times"
            raise RefusedError(
                kind="too-often", status=429, title="Too often", detail=detail, action="wait a minute"
            )
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                content = await request.read()
            asked = body_of(content, JoinRequest)
            return answer(await joins.join(asked, peer=peer))
        except RefusedError:
            patience.refused(peer)
            raise

    app = web.Application(middlewares=[as_problems], client_max_size=MAX_BODY)

    async def authority(_request: web.Request) -> web.StreamResponse:
        return answer({"ca": (await joins.authority()).decode()})

    app.router.add_get("/ca", authority)
    app.router.add_post("/join", join)
    return app
