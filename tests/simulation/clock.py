"""Virtual time: an event loop that never waits, and clocks that follow it.

A day of a fleet must pass in a second, and the same seed must bring the same day. So when nothing is left to
do now, this loop sets its time to the next timer's and goes on; no thread, socket or real clock takes part,
and whatever would need one waits for ever, which is told at once.
"""

import asyncio
import contextvars
import selectors
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

START: Final = datetime(2030, 1, 1, tzinfo=UTC)
BUSIEST: Final = 20_000


class NothingWillHappenError(RuntimeError):
    """Everything waits for something that no timer will bring."""


class TimeStandsStillError(RuntimeError):
    """Something goes on for ever without any time passing."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps from one timer to the next."""

    def __init__(self) -> None:
        self.virtual_s = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Return the virtual time, in seconds since the loop was made."""
        return self.virtual_s

    def freeze(self, frozen: "Frozen") -> None:
        """Run nothing more of what goes on in `PROCESS` `frozen`, as after SIGSTOP, until it is thawed."""
        real = super().call_soon

        def call_soon(
            callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
        ) -> asyncio.Handle:
            around = contextvars.copy_context() if context is None else context
            if frozen.parked is None or around.get(PROCESS) is not frozen:
                return real(callback, *args, context=context)
            handle = asyncio.Handle(callback, args, self, around)
            frozen.parked.append(handle)
            return handle

        frozen.parked = []
        self.call_soon = call_soon  # type: ignore[method-assign, assignment]

    def thaw(self, frozen: "Frozen") -> None:
        """Let a frozen process go on where it was stopped."""
        parked, frozen.parked = frozen.parked or [], None
        if "call_soon" in vars(self):
            del self.call_soon
        for handle in parked:
            self._ready.append(handle)  # type: ignore[attr-defined]


class Frozen:
    """A process that may be stopped; `parked` is what it would go on with, None while it runs."""

    def __init__(self) -> None:
        self.parked: list[asyncio.Handle] | None = None


PROCESS: Final[contextvars.ContextVar[Frozen | None]] = contextvars.ContextVar("process", default=None)
"""The process in which something runs, so that one can be stopped as a whole."""


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._idle = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappenError
        self._idle = self._idle + 1 if not timeout else 0
        if self._idle > BUSIEST:
            self._idle = 0
            raise TimeStandsStillError
        self._loop.virtual_s += max(0.0, timeout)
        return []


class VirtualClock:
    """The time of the running loop, as the clock of a host that is `ahead_s` ahead shows it."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self._ahead = timedelta(seconds=ahead_s)

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return START + self._ahead + timedelta(seconds=asyncio.get_running_loop().time())
