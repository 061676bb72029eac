"""Ways to a cluster for tests: a client for a kubeconfig, and waits for what a watch tells.

A wait ends with the event that it is for; one generous deadline only turns a hang into a failure.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes_asyncio import config, watch
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.client.exceptions import ApiException

DEADLINE_S = 120
RETRY_S = 0.1

Listing = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event of a watch: `ADDED`, `MODIFIED` or `DELETED`, and the object as JSON."""

    kind: str
    object: dict[str, Any]

    @property
    def gone(self) -> bool:
        """Whether the object no longer exists."""
        return self.kind == "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said to a request: the HTTP status, its headers, and the body unless it went well."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Reason and message of each cause."""
        causes = self.body.get("details", {}).get("causes", [])
        return [(cause["reason"], cause["message"]) for cause in causes]


@contextlib.asynccontextmanager
async def client(kubeconfig: Path) -> AsyncIterator[ApiClient]:
    """Open a client with the credential of `kubeconfig`."""
    async with await config.new_client_from_config(str(kubeconfig)) as api:
        yield api


async def answer(asked: Awaitable[object]) -> Answer:
    """Return what the server says to a request; 200 when it does as asked."""
    try:
        await asked
    except ApiException as error:
        return Answer(status=error.status, headers=error.headers, body=json.loads(error.body))
    return Answer(status=HTTPStatus.OK)


async def until_answer(status: int, ask: Callable[[], Awaitable[object]]) -> Answer:
    """Ask again until the server says `status`.

    Its authorizer and its admission know of a change a moment later than whoever watches.
    """
    async with asyncio.timeout(DEADLINE_S):
        while True:
            said = await answer(ask())
            if said.status == status:
                return said
            await asyncio.sleep(RETRY_S)


async def changes(listing: Listing, *arguments: str, **selectors: str) -> AsyncGenerator[Change, None]:
    """Yield what exists, then each change, for ever; after an outage of the server, what exists then."""
    while True:
        with contextlib.suppress(aiohttp.ClientError, ApiException, ConnectionError):
            async with watch.Watch() as stream:
                async for event in stream.stream(listing, *arguments, **selectors):
                    yield Change(kind=event["type"], object=event["raw_object"])
        await asyncio.sleep(RETRY_S)


async def until(
    seen: Callable[[Change], bool], listing: Listing, *arguments: str, **selectors: str
) -> dict[str, Any]:
    """Watch until a change fits, and return its object."""
    async with (
        asyncio.timeout(DEADLINE_S),
        contextlib.aclosing(changes(listing, *arguments, **selectors)) as told,
    ):
        async for change in told:
            if seen(change):
                return change.object
    raise AssertionError("a watch does not end by itself")


async def until_gone(name: str, listing: Listing, *arguments: str) -> None:
    """Wait until no object `name` is there; the deletion counts, and so does its absence from the start."""
    listed = await listing(*arguments, field_selector=f"metadata.name={name}")
    if not listed.items:
        return
    selectors = {
        "field_selector": f"metadata.name={name}",
        "resource_version": listed.metadata.resource_version,
    }
    await until(lambda change: change.gone, listing, *arguments, **selectors)
