"""Virtual time: an event loop that never waits, and clocks that follow it.

A day of a fleet must pass in a second, and the same seed must bring the same day. So when nothing is left to
do now, this loop sets its time to the next timer's and goes on; no thread, socket or real clock takes part,
and whatever would need one waits for ever, which is told at once.
"""

import asyncio
import selectors
from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2030, 1, 1, tzinfo=UTC)


class NothingWillHappenError(RuntimeError):
    """Everything waits for something that no timer will bring."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps from one timer to the next."""

    def __init__(self) -> None:
        self.virtual_s = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Return the virtual time, in seconds since the loop was made."""
        return self.virtual_s


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappenError
        self._loop.virtual_s += max(0.0, timeout)
        return []


class VirtualClock:
    """The time of the running loop, as the clock of a host that is `ahead_s` ahead shows it."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self._ahead = timedelta(seconds=ahead_s)

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return START + self._ahead + timedelta(seconds=asyncio.get_running_loop().time())
