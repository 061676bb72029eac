"""What has happened on the mesh and was not looked at yet: bounded, in order.

A broker may deliver faster than its reader handles. Without a bound a burst would take all memory; a bound
that drops would lose what the broker believes delivered. So a message is acknowledged only when its reader
asks for the next one: MQTT's receive maximum then holds the broker back. What MQTT doesn't acknowledge
(QoS 0) is dropped when too much waits.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from broker.client import MeshEvent


class Inbox:
    """At most `capacity` events, for one reader at a time."""

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: deque[tuple[MeshEvent, Callable[[], None] | None]] = deque()
        self._handled: Callable[[], None] | None = None
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False

    def offer(self, event: MeshEvent) -> bool:
        """Add `event` if there is room, and return whether there was."""
        if len(self._waiting) >= self._capacity:
            return False
        self.admit(event)
        return True

    def admit(self, event: MeshEvent, handled: Callable[[], None] | None = None) -> None:
        """Add `event` whether there is room or not: for what its sender bounds.

        `handled` is called when the reader asks for the event after this one.
        """
        self._waiting.append((event, handled))
        self._filled.set()

    async def put(self, event: MeshEvent) -> None:
        """Add `event` as soon as there is room."""
        while not self._closed and not self.offer(event):
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Let the reader end after what waits now, and let go whoever waits for room."""
        self._closed = True
        self._filled.set()
        self._room.set()

    async def events(self) -> AsyncIterator[MeshEvent]:
        """Yield events in order until the inbox is closed and empty."""
        while (event := await self._next()) is not None:
            yield event

    async def _next(self) -> MeshEvent | None:
        # Asking for the next says that the last was handled, even by an earlier reader that left its loop.
        if self._handled is not None:
            handled, self._handled = self._handled, None
            handled()
        while not self._waiting:
            if self._closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        event, self._handled = self._waiting.popleft()
        self._room.set()
        return event
