"""The wings' door: bundles by their digest, over mutual TLS, and nothing else.

A site without an object store needs a place from which instances fetch what they converge on. It is kept
apart from the operators' API, so that a stolen instance certificate opens nothing but bundles, which hold
no secret that the instance would not be given anyhow. What is behind a digest never changes, so an
interrupted transfer goes on where it broke off (`Range`, RFC 9110).
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from orchestrator.api.problems import as_problems
from orchestrator.api.runs import as_digest
from orchestrator.operations import Bundles

STOP_S: Final = 5.0
IDLE_S: Final = 30.0
FOR_EVER: Final = "private, max-age=31536000, immutable"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorConfig:
    """Where the door listens, who it is, and the authority whose certificates it opens to (PEM files)."""

    host: str
    port: int
    ca: Path
    certificate: Path
    key: Path


@asynccontextmanager
async def open_door(bundles: Bundles, config: DoorConfig) -> AsyncIterator[int]:
    """Serve bundles while the block runs; yields the port (the one that was free if `port` is 0).

    Raises OSError if the address is taken or a file can't be read, ssl.SSLError if one is no such PEM.
    """
    runner = web.AppRunner(
        application(bundles), access_log=None, keepalive_timeout=IDLE_S, shutdown_timeout=STOP_S
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port, ssl_context=mutual_tls(config))
        await site.start()
        port = int(runner.addresses[0][1])
        log.info("bundles' door open", host=config.host, port=port)
        yield port
    finally:
        await runner.cleanup()


def mutual_tls(config: DoorConfig) -> ssl.SSLContext:
    """Return TLS 1.2 or later that ends for whoever shows no certificate of the mesh."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.certificate, config.key)
    context.load_verify_locations(config.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def application(bundles: Bundles) -> web.Application:
    """Return the door as an aiohttp application."""

    async def fetch(request: web.Request) -> web.StreamResponse:
        digest = as_digest(request.match_info["digest"])
        packed = await bundles.packed(digest)
        headers = {"Content-Type": "application/gzip", "Cache-Control": FOR_EVER}
        return web.FileResponse(packed, headers=headers)

    app = web.Application(middlewares=[as_problems])
    app.router.add_get("/bundles/{digest}", fetch, allow_head=True)
    return app
