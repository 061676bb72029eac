"""The work that is under way, each piece a task of its own whose end comes back as an event.

An error that `Work` does not know how to tell is a fault of ours: it ends the wing, which on its return says
`interrupted` for what was under way, rather than go on in a state that nobody understands.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import assert_never

from broker.ids import MessageId
from broker.messages import LiveBody, LogLine, OrderFact, Progress
from wing.effects import RunConverge, RunOrder, RunPrefetch
from wing.events import End, Event, OrderTold, Process, ProcessStarted, RunWaited, WorkEnded
from wing.live import LiveLog
from wing.ports import Work

Tell = Callable[[Event], None]
Asked = RunConverge | RunPrefetch | RunOrder


class Workers:
    """Starts and stops work in `tasks`; `say` takes the live lines.

    `tell` takes events that may be held back, `record` those that must be on disk when it returns.
    """

    def __init__(
        self,
        *,
        work: Work,
        tasks: asyncio.TaskGroup,
        tell: Tell,
        record: Tell,
        say: Callable[[LiveBody], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._work = work
        self._tasks = tasks
        self._tell = tell
        self._record = record
        self._say = say
        self._clock = clock
        self._cancels: dict[MessageId, asyncio.Event] = {}

    def start(self, asked: Asked) -> None:
        """Begin a piece of work."""
        self._cancels[asked.command] = asyncio.Event()
        self._tasks.create_task(self._do(asked), name=f"wing.work.{asked.command}")

    def stop(self, command: MessageId) -> None:
        """Ask a piece of work to end; that it has ended comes as an event."""
        if command in self._cancels:
            self._cancels[command].set()

    async def _do(self, asked: Asked) -> None:
        end = await self._done(asked, self._cancels[asked.command])
        del self._cancels[asked.command]
        self._tell(WorkEnded(at=self._clock(), command=asked.command, end=end))

    async def _done(self, asked: Asked, cancel: asyncio.Event) -> End:
        match asked:
            case RunConverge():
                return await self._converge(asked, cancel)
            case RunPrefetch():
                return await self._work.prefetch(asked.prefetch, cancel)
            case RunOrder():
                watcher = _OrderWatcher(
                    asked.command, tell=self._tell, record=self._record, clock=self._clock
                )
                return await self._work.carry_out(asked, watcher, cancel)
            case _:
                assert_never(asked)

    async def _converge(self, order: RunConverge, cancel: asyncio.Event) -> End:
        live = LiveLog(order.converge.run, self._say)
        watcher = _RunWatcher(order, live=live, tell=self._tell, record=self._record, clock=self._clock)
        try:
            return await self._work.converge(order.converge, watcher, cancel)
        finally:
            live.flush()


class _RunWatcher:
    """Turns what is seen of one run into events and live lines."""

    def __init__(
        self,
        order: RunConverge,
        *,
        live: LiveLog,
        tell: Tell,
        record: Tell,
        clock: Callable[[], datetime],
    ) -> None:
        self._command = order.command
        self._run = order.converge.run
        self._live = live
        self._tell = tell
        self._record = record
        self._clock = clock

    async def process_started(self, process: Process) -> None:
        self._record(ProcessStarted(at=self._clock(), command=self._command, process=process))

    def waits(self, reason: str) -> None:
        self._tell(RunWaited(at=self._clock(), command=self._command, reason=reason))

    def said(self, line: LogLine) -> None:
        self._live.said(line)

    def progressed(self, execution: int, done: int, total: int, resource: str) -> None:
        self._live.progressed(
            Progress(run=self._run, execution=execution, done=done, total=total, resource=resource)
        )


class _OrderWatcher:
    """Turns what happens in the course of one order into events."""

    def __init__(
        self, command: MessageId, *, tell: Tell, record: Tell, clock: Callable[[], datetime]
    ) -> None:
        self._command = command
        self._tell = tell
        self._record = record
        self._clock = clock

    async def process_started(self, process: Process) -> None:
        self._record(ProcessStarted(at=self._clock(), command=self._command, process=process))

    def told(self, fact: OrderFact) -> None:
        self._tell(OrderTold(at=self._clock(), command=self._command, fact=fact))
