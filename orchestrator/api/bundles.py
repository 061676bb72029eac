"""The routes for bundles: what is known, and taking a new one in as a stream.

An upload is bounded in size and in how long it may say nothing; whether it is a bundle at all is decided
behind the port, from the whole of it.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from orchestrator.api.problems import refusal
from orchestrator.api.route import Call, Route, answer
from orchestrator.api.runs import as_digest
from orchestrator.domain.views import BundleView

MAX_PACKED: Final = 1024**3
CHUNK: Final = 256 * 1024
SILENCE_S: Final = 60


async def list_bundles(call: Call) -> web.StreamResponse:
    """Answer with the known bundles, newest first."""
    return answer(list(await call.faces.bundles.bundles()))


async def show_bundle(call: Call) -> web.StreamResponse:
    """Answer with one bundle."""
    return answer(await call.faces.bundles.bundle(as_digest(call.part("digest"))))


async def push_bundle(call: Call) -> web.StreamResponse:
    """Take a packed bundle in."""
    bundle = await call.faces.bundles.receive(_bounded(call.request), pushed_by=call.caller)
    return answer(bundle, status=201, location=f"/v1/bundles/{bundle.digest}")


async def _bounded(request: web.Request) -> AsyncIterator[bytes]:
    received = 0
    while True:
        async with asyncio.timeout(SILENCE_S):
            chunk = await request.content.read(CHUNK)
        if not chunk:
            return
        received += len(chunk)
        if received > MAX_PACKED:
            raise refusal(
                f"The bundle is larger than {MAX_PACKED} bytes packed",
                kind="too-large",
                status=413,
                action="Keep binaries out of bundles; let Puppet fetch them.",
            )
        yield chunk


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/bundles",
        summary="The known bundles, newest first.",
        handler=list_bundles,
        answer=list[BundleView],
    ),
    Route(
        method="POST",
        path="/v1/bundles",
        summary="Take in a packed bundle (gzip of its canonical tar); the same one twice is the same.",
        handler=push_bundle,
        answer=BundleView,
        status=201,
        upload=True,
        refusals=(413, 422),
    ),
    Route(
        method="GET",
        path="/v1/bundles/{digest}",
        summary="One bundle.",
        handler=show_bundle,
        answer=BundleView,
        refusals=(404,),
    ),
)
