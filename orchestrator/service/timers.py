"""Deadlines are data until they are due: one place waits for the earliest of all instances and rollouts.

Each has one deadline at a time, its earliest; woken then, it says what it still waits for.
"""

import asyncio
import heapq
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.ids import InstanceId, RolloutId
from orchestrator.ports import Clock

INSTANCE: Final = "instance"
ROLLOUT: Final = "rollout"


@dataclass(frozen=True, slots=True, order=True)
class Sleeper:
    """Who wants to be woken: an instance, or a rollout, whose ids may read alike."""

    kind: str
    id: str

    @classmethod
    def instance(cls, instance: InstanceId) -> "Sleeper":
        """Return an instance as a sleeper."""
        return cls(INSTANCE, instance)

    @classmethod
    def rollout(cls, rollout: RolloutId) -> "Sleeper":
        """Return a rollout as a sleeper."""
        return cls(ROLLOUT, rollout)


class Timers:
    """Who wants to be woken when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[datetime, Sleeper]] = []
        self._armed: dict[Sleeper, datetime] = {}
        self._rearmed = asyncio.Event()

    def arm(self, wakes: Iterable[tuple[datetime, Sleeper]]) -> None:
        """Have sleepers woken; one that is to be woken earlier anyway is left at that."""
        for at, sleeper in wakes:
            armed = self._armed.get(sleeper)
            if armed is None or at < armed:
                self._armed[sleeper] = at
                heapq.heappush(self._heap, (at, sleeper))
                self._rearmed.set()

    async def due(self) -> tuple[datetime, Sleeper]:
        """Wait for the earliest deadline, and return it."""
        while True:
            self._rearmed.clear()
            if not self._heap:
                await self._rearmed.wait()
                continue
            at, sleeper = self._heap[0]
            left_s = (at - self._clock.now()).total_seconds()
            if left_s > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self._rearmed.wait()
                continue
            heapq.heappop(self._heap)
            if self._armed.get(sleeper) == at:
                del self._armed[sleeper]
                return at, sleeper
