"""A MeshClient that keeps itself connected, whatever carries it.

A wing lives for months; its broker restarts, its network goes, two hosts claim one name. What has to happen
then is the same on MQTT and in memory: try again at growing, random distances (so that ten thousand wings
don't come back in the same second), subscribe before saying `Connected`, send what waited, in its order, and
leave no more than what fits a bound. So it is written once, here, over a `Link`: one connection.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, Self

import tenacity

from broker.client import Connected, Disconnected, MeshEvent, Publication, Received, Will
from broker.errors import MessageTooLargeError, NotConnectedError
from broker.inbox import Inbox
from broker.messages import MAX_MESSAGE
from broker.outbox import Outbox

log = logging.getLogger(__name__)

SLOW_PAUSE_S: Final = (120.0, 240.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How a connection is kept, and how much may wait on either side of it.

    `queue_bytes` bounds what waits to be sent, `window` how many of those are on their way at once,
    `receive_maximum` how many messages come before the first of them is handled. The pause before attempt
    n+1 is random, up to `pause_s` doubled n-1 times, at most `longest_pause_s`; a connection that stood for
    `lasting_s` begins afresh. Leaving waits at most `leave_s` for the queue to empty.
    """

    queue_bytes: int = 4 * 1024 * 1024
    window: int = 16
    receive_maximum: int = 100
    pause_s: float = 1.0
    longest_pause_s: float = 30.0
    lasting_s: float = 20.0
    leave_s: float = 5.0


class Link(Protocol):
    """One connection, made once and never again. Its methods raise NotConnectedError when it is lost."""

    @property
    def may_be_known(self) -> bool:
        """Whether the broker may know of this connection, and so publish its will one day."""

    def open(self, will: Publication | None) -> AbstractAsyncContextManager[None]:
        """Connect; leaving disconnects in order. Nothing is received before `release`."""

    async def publish(self, publication: Publication) -> None:
        """Hand `publication` over; at QoS 1 return once the broker has answered."""

    async def subscribe(self, filters: Collection[str]) -> None:
        """Subscribe to `filters`; a refused one is a reason to lose the connection."""

    def release(self) -> None:
        """Let through what came before this call, and all that follows."""

    async def watch(self) -> None:
        """Return never; raise NotConnectedError as soon as the connection is lost."""


class Receive(Protocol):
    """Where a link puts what comes."""

    def __call__(self, message: Received, handled: Callable[[], None] | None) -> None:
        """Take `message`; `handled` is called when its reader asks for the next one."""


Dial = Callable[[Receive], Link]


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


class KeptMesh:
    """One identity's place on the mesh, over links that `dial` makes; see `broker.client.MeshClient`.

    A publication of QoS 0 never waits: without a connection, or without room in the queue, it is dropped.
    One of QoS 1 that was being sent when the connection died is sent again, so it may arrive twice.
    A message is acknowledged when the one after it is asked for; of QoS 0, what finds no room is dropped.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        endpoint: str,
        client_id: str,
        will: Will | None,
        keeping: Keeping,
        clock: Callable[[], datetime],
        chance: random.Random,
    ) -> None:
        self._dial = dial
        self._endpoint = endpoint
        self._client_id = client_id
        self._will = will
        self._keeping = keeping
        self._clock = clock
        self._chance = chance
        self._inbox = Inbox(capacity=keeping.receive_maximum)
        self._outbox = Outbox(limit=keeping.queue_bytes)
        self._filters: dict[str, None] = {}
        self._standing: _Standing | None = None
        self._numbers = 0
        self._slowly = False
        self._leaving = asyncio.Event()
        self._deadline = 0.0
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._tasks.create_task(self._stay_connected(), name=f"mesh.{self._client_id}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._leave_within(self._keeping.leave_s)
        try:
            # Not told of the body's exception, which would cut the farewell short; it is raised all the same.
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._inbox.close()

    async def publish(self, publication: Publication) -> None:
        """Queue `publication`; waits while the queue is full, unless its QoS is 0 (see the class)."""
        if len(publication.payload) > MAX_MESSAGE:
            raise MessageTooLargeError(size=len(publication.payload), limit=MAX_MESSAGE)
        if publication.qos == 0:
            if self._standing is None or not self._outbox.offer(publication):
                log.debug("publication dropped", extra={"topic": publication.topic})
        elif not await self._outbox.put(publication):
            raise NotConnectedError(endpoint=self._endpoint, reason="the mesh was left")

    async def subscribe(self, *filters: str) -> None:
        """Subscribe to `filters`, now if there is a connection, and on each later one."""
        self._filters.update(dict.fromkeys(filters))
        if self._standing is not None:
            await self._standing.subscribe(filters)

    def events(self) -> AsyncIterator[MeshEvent]:
        """Yield what happens, in order; ends when the client was left."""
        return self._inbox.events()

    def reconnect_slowly(self, *, slowly: bool) -> None:
        """Wait two to four minutes between attempts from now on, or no longer so."""
        self._slowly = slowly

    def abandon(self) -> None:
        """Give up what is queued and every further attempt; the client has still to be left."""
        self._leave_within(0.0)

    def _leave_within(self, deadline_s: float) -> None:
        if not self._leaving.is_set():
            self._deadline = asyncio.get_running_loop().time() + deadline_s
            self._leaving.set()
            self._outbox.close()

    @property
    def _is_over(self) -> bool:
        late = asyncio.get_running_loop().time() >= self._deadline
        return self._leaving.is_set() and (late or self._outbox.is_empty)

    async def _stay_connected(self) -> None:
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(NotConnectedError), wait=self._pause_s, sleep=self._pause
        )
        async for attempt in attempts:
            with attempt:
                await self._keep_one(attempt.retry_state)

    def _pause_s(self, state: tenacity.RetryCallState) -> float:
        if self._slowly:
            return self._chance.uniform(*SLOW_PAUSE_S)
        doublings = min(state.attempt_number - 1, 32)
        longest_s = min(self._keeping.pause_s * 2**doublings, self._keeping.longest_pause_s)
        return self._chance.uniform(0, longest_s)

    async def _pause(self, pause_s: float) -> None:
        if self._leaving.is_set():
            left_s = max(self._deadline - asyncio.get_running_loop().time(), 0.0)
            await asyncio.sleep(min(pause_s, left_s))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._leaving.wait()

    async def _keep_one(self, state: tenacity.RetryCallState) -> None:
        # Returns when we leave, raises NotConnectedError when there is no connection any more.
        if self._is_over:
            return
        began = asyncio.get_running_loop().time()
        try:
            await self._connection()
        except* NotConnectedError as errors:
            error = _first(errors)
        else:
            return
        finally:
            self._standing = None
        if asyncio.get_running_loop().time() - began >= self._keeping.lasting_s:
            state.attempt_number = 1
        log.info("mesh disconnected", extra={"client": self._client_id, "reason": str(error)})
        await self._inbox.put(Disconnected(reason=str(error), at=self._clock()))
        raise error

    async def _connection(self) -> None:
        link = self._dial(self._receive)
        number = self._numbers + 1
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(link.open(None if self._will is None else self._will(number)))
            finally:
                self._numbers += link.may_be_known
            async with asyncio.TaskGroup() as tasks:
                standing = _Standing(link)
                watchers = (link.watch(), standing.fails())
                working = [tasks.create_task(each, name="mesh.watch") for each in watchers]
                await self._announce(standing, number)
                senders = [self._send(link) for _ in range(self._keeping.window)]
                working += [tasks.create_task(each, name="mesh.send") for each in senders]
                await self._leave_in_order()
                for task in working:
                    task.cancel()

    async def _announce(self, standing: "_Standing", number: int) -> None:
        subscribed: set[str] = set()
        while missing := [name for name in self._filters if name not in subscribed]:
            await standing.link.subscribe(missing)
            subscribed.update(missing)
        self._standing = standing
        log.info("mesh connected", extra={"client": self._client_id, "connection": number})
        await self._inbox.put(Connected(connection=number, at=self._clock()))
        standing.link.release()

    async def _send(self, link: Link) -> None:
        while True:
            queued = await self._outbox.take()
            try:
                await link.publish(queued.publication)
            except BaseException:
                self._outbox.put_back(queued)
                raise
            self._outbox.done(queued)

    async def _leave_in_order(self) -> None:
        await self._leaving.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._deadline):
                await self._outbox.drained()

    def _receive(self, message: Received, handled: Callable[[], None] | None) -> None:
        if handled is not None:
            self._inbox.admit(message, handled)
        elif not self._inbox.offer(message):
            log.debug("message dropped", extra={"topic": message.topic})


class _Standing:
    """A link that was announced: it fails as a whole when a later subscription does."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def subscribe(self, filters: Collection[str]) -> None:
        """Subscribe to `filters`; if that fails so does the connection, and the next one tries again."""
        try:
            await self.link.subscribe(filters)
        except NotConnectedError as error:
            if not self._failed.done():
                self._failed.set_exception(error)

    async def fails(self) -> None:
        """Raise what a subscription failed of."""
        await self._failed


def _first(errors: ExceptionGroup[NotConnectedError]) -> NotConnectedError:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
