"""A transfer that breaks goes on where it broke; one that gets nowhere ends with an error.

The number of attempts bounds those in a row that brought no new byte, so a long download over a bad line
ends well, and a dead or looping server doesn't hold anyone for long.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from puppet_bridge.stores.download import Download

T = TypeVar("T")


class BrokenTransferError(Exception):
    """An attempt failed in a way that another one may not; never leaves an adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how fast an adapter tries; pauses in seconds, doubled each time, with full jitter."""

    attempts: int = 5
    pause_s: float = 0.5
    longest_pause_s: float = 10.0
    connect_timeout_s: float = 10.0
    silence_timeout_s: float = 30.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def persistently(
    policy: RetryPolicy, attempt: Callable[[], Awaitable[T]], download: Download | None = None
) -> T:
    """Call `attempt` until it ends well; raises the last BrokenTransferError, and any other error at once."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(BrokenTransferError),
        wait=wait_random_exponential(multiplier=policy.pause_s, max=policy.longest_pause_s),
        stop=_Stalled(policy.attempts, download),
        sleep=policy.sleep,
        reraise=True,
    )

    async def awaited() -> T:  # tenacity awaits only what it can tell is a coroutine function
        return await attempt()

    return await retrying(awaited)


class _Stalled:
    """Says when enough attempts in a row have brought nothing new."""

    def __init__(self, attempts: int, download: Download | None) -> None:
        self._attempts = attempts
        self._download = download
        self._best = 0
        self._counted_from = 0

    def __call__(self, state: RetryCallState) -> bool:
        if self._download is not None and self._download.received > self._best:
            self._best = self._download.received
            self._counted_from = state.attempt_number - 1
        return state.attempt_number - self._counted_from >= self._attempts
