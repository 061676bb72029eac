"""What a route is: one value from which the server's table and the OpenAPI document are both made."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from orchestrator.api.parameters import Parameter, Query, body_of
from orchestrator.operations import Bundles, Drains, Enrolments, Fleet, Rollouts, Runs, Tail

T = TypeVar("T")

JSON: Final = "application/json"
BODY_TIMEOUT_S: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """What the API speaks for."""

    fleet: Fleet
    runs: Runs
    bundles: Bundles
    tail: Tail
    rollouts: Rollouts
    drains: Drains
    enrolments: Enrolments


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, checked: who asks, what of its query is known, and what answers it.

    `stopping` is set when the server is about to go: a stream then ends by itself.
    """

    request: web.Request
    faces: Faces
    caller: str
    query: Query
    stopping: asyncio.Event

    async def body(self, form: type[T]) -> T:
        """Return the request's JSON body as `form`; refused if it is late, too large or not understood.

        No body at all is an empty object.
        """
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return body_of(await self.request.read() or b"{}", form)

    def part(self, name: str) -> str:
        """Return a variable part of the path."""
        return self.request.match_info[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method on a path, what it takes and what it answers.

    `answer` is the type of the JSON that comes with `status`; `stream` says that the path also streams,
    `upload` that the body is bytes rather than JSON of type `body`. Without `body_needed` a request may do
    without one.
    """

    method: str
    path: str
    summary: str
    handler: Callable[[Call], Awaitable[web.StreamResponse]]
    answer: Any
    status: int = 200
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    body_needed: bool = True
    upload: bool = False
    stream: bool = False
    refusals: tuple[int, ...] = field(default=())


def answer(content: object, *, status: int = 200, location: str | None = None) -> web.Response:
    """Return `content` (views, or what holds them) as a JSON response."""
    headers = {} if location is None else {"Location": location}
    return web.Response(status=status, body=msgspec.json.encode(content), content_type=JSON, headers=headers)
