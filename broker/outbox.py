"""What waits to be handed to the broker: bounded, in order, and kept over a lost connection.

Without a bound a wing that is cut off would collect its log until memory ends; without an order the facts
of a run would arrive as gaps. So whoever publishes waits for room (back-pressure), and what was being sent
when a connection died takes its old place again. It may then arrive twice, which the layers above expect.
"""

import asyncio
import heapq
import logging
from dataclasses import dataclass, field
from typing import Final

from broker.client import Publication

log = logging.getLogger(__name__)

OVERHEAD: Final = 512
"""Bytes that a waiting publication costs beside its payload and topic, roughly."""

SENDINGS: Final = 3
"""A publication that has broken this many connections is given up: perhaps the broker can't stand it."""


@dataclass(slots=True, order=True)
class Queued:
    """A publication, its place in the order, and how often it was being sent when a connection died."""

    number: int
    publication: Publication = field(compare=False)
    broken: int = field(default=0, compare=False)

    @property
    def weight(self) -> int:
        """Return how many bytes of the bound it takes."""
        return len(self.publication.payload) + len(self.publication.topic) + OVERHEAD


class Outbox:
    """At most `limit` bytes of publications, those being sent included; a single one always fits."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._number = 0
        self._queue: list[Queued] = []
        self._available = asyncio.Semaphore(0)
        self._room = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def is_empty(self) -> bool:
        """Whether everything was handed over or given up."""
        return self._empty.is_set()

    async def put(self, publication: Publication) -> bool:
        """Queue `publication` as soon as there is room; False if the box was closed meanwhile."""
        async with self._turn:  # one waits for room at a time, so nobody is overtaken
            while not self._closed and not self.offer(publication):
                self._room.clear()
                await self._room.wait()
        return not self._closed

    def offer(self, publication: Publication) -> bool:
        """Queue `publication` if there is room now; return whether there was."""
        queued = Queued(number=self._number, publication=publication)
        if self._closed or (self._weight and self._weight + queued.weight > self._limit):
            return False
        self._number += 1
        self._weight += queued.weight
        self._empty.clear()
        self._push(queued)
        return True

    async def take(self) -> Queued:
        """Return the oldest that nobody is sending, as soon as there is one; `done` or `put_back` follows."""
        await self._available.acquire()
        return heapq.heappop(self._queue)

    def done(self, queued: Queued) -> None:
        """Forget `queued`: it was handed over."""
        self._weight -= queued.weight
        self._room.set()
        if not self._weight:
            self._empty.set()

    def put_back(self, queued: Queued) -> None:
        """Give `queued` its old place again, since the connection died that it was being sent on."""
        queued.broken += 1
        if queued.publication.qos and queued.broken < SENDINGS:
            self._push(queued)
            return
        level = logging.WARNING if queued.publication.qos else logging.DEBUG
        log.log(level, "publication given up", extra={"topic": queued.publication.topic})
        self.done(queued)

    async def drained(self) -> None:
        """Return once the box is empty."""
        await self._empty.wait()

    def close(self) -> None:
        """Take nothing more, and let go whoever waits for room."""
        self._closed = True
        self._room.set()

    def _push(self, queued: Queued) -> None:
        heapq.heappush(self._queue, queued)
        self._available.release()
