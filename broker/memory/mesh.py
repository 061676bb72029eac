"""A client of the broker in memory, kept connected by the same code as one of a real broker."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Collection
from datetime import datetime
from typing import Final

from broker.client import Publication, Received, Will
from broker.errors import NotConnectedError
from broker.keeping import Keeping, KeptMesh, Receive, utc_now
from broker.memory.server import ENDPOINT, MemoryBroker
from broker.memory.sessions import Delivery

ONE_AT_A_TIME: Final = Keeping(window=1)


class MemoryMesh(KeptMesh):
    """One identity's place on a `MemoryBroker`; the pauses between its attempts follow from the seed."""

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        client_id: str,
        will: Will | None = None,
        keeping: Keeping = ONE_AT_A_TIME,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._broker = broker
        super().__init__(
            lambda receive: MemoryLink(broker, client_id, receive, keeping.receive_maximum, clock),
            endpoint=ENDPOINT,
            client_id=client_id,
            will=will,
            keeping=keeping,
            clock=clock,
            chance=random.Random(f"{broker.faults.seed} {client_id}"),  # noqa: S311 - predictable
        )

    def vanish(self) -> None:
        """Be gone as a killed process is: nothing queued is sent, nobody is told, the will follows."""
        self._broker.cut(self._client_id)
        self.abandon()


class MemoryLink:
    """One connection; see `broker.keeping.Link`."""

    def __init__(
        self,
        broker: MemoryBroker,
        client_id: str,
        receive: Receive,
        receive_maximum: int,
        clock: Callable[[], datetime],
    ) -> None:
        self.client_id = client_id
        self.receive_maximum = receive_maximum
        self.is_released = False
        self._broker = broker
        self._receive = receive
        self._clock = clock
        self._may_be_known = False
        self._number = 0
        self._reason: str | None = None
        self._lost = asyncio.Event()

    @property
    def may_be_known(self) -> bool:
        """Whether the broker was up: nothing is lost on the way to it."""
        return self._may_be_known

    @contextlib.asynccontextmanager
    async def open(self, will: Publication | None) -> AsyncIterator[None]:
        """Connect, and disconnect in order."""
        self._broker.connect(self, will)
        self._may_be_known = True
        try:
            yield
        finally:
            self._broker.disconnect(self)

    async def watch(self) -> None:
        """Return never; raise NotConnectedError as soon as the connection is lost."""
        await self._lost.wait()
        self._check()

    async def publish(self, publication: Publication) -> None:
        """Hand `publication` to the broker."""
        self._check()
        self._broker.publish(publication)

    async def subscribe(self, filters: Collection[str]) -> None:
        """Subscribe to `filters`."""
        self._check()
        self._broker.subscribe(self, filters)

    def release(self) -> None:
        """Let through what waits, and all that follows."""
        if self._reason is None:
            self.is_released = True
            self._broker.released(self)

    def lose(self, reason: str) -> None:
        """Be lost, for `reason`."""
        self._reason = reason
        self.is_released = False
        self._lost.set()

    def next_number(self) -> int:
        """Return the next message's number on this connection."""
        self._number += 1
        return self._number

    def receive(self, delivery: Delivery, handled: Callable[[], None] | None) -> None:
        """Pass a message on to the client."""
        publication = delivery.publication
        self._receive(
            Received(
                topic=publication.topic,
                payload=publication.payload,
                signature=publication.signature,
                retained=delivery.retained,
                at=self._clock(),
            ),
            handled,
        )

    def _check(self) -> None:
        if self._reason is not None:
            raise NotConnectedError(endpoint=ENDPOINT, reason=self._reason)
