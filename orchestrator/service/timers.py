"""Deadlines are data until they are due: one place waits for the earliest of all instances.

Each instance has one deadline at a time, its earliest; woken then, it says what it still waits for.
"""

import asyncio
import heapq
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from broker.ids import InstanceId
from orchestrator.ports import Clock


class Timers:
    """When which instance wants to be woken."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[datetime, InstanceId]] = []
        self._armed: dict[InstanceId, datetime] = {}
        self._rearmed = asyncio.Event()

    def arm(self, wakes: Iterable[tuple[datetime, InstanceId]]) -> None:
        """Have instances woken; one that is to be woken earlier anyway is left at that."""
        for at, instance in wakes:
            armed = self._armed.get(instance)
            if armed is None or at < armed:
                self._armed[instance] = at
                heapq.heappush(self._heap, (at, instance))
                self._rearmed.set()

    async def due(self) -> tuple[datetime, InstanceId]:
        """Wait for the earliest deadline, and return it."""
        while True:
            self._rearmed.clear()
            if not self._heap:
                await self._rearmed.wait()
                continue
            at, instance = self._heap[0]
            left_s = (at - self._clock.now()).total_seconds()
            if left_s > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self._rearmed.wait()
                continue
            heapq.heappop(self._heap)
            if self._armed.get(instance) == at:
                del self._armed[instance]
                return at, instance
