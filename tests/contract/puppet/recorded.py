"""A Puppet that does what it is told to, at the same port as the real one."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from broker.messages import Level, LogLine
from puppet_bridge.errors import BridgeError
from puppet_bridge.execution import Execution, Order, ProcessIdentity, Watcher

LINE = LogLine(at=datetime(2026, 1, 1, tzinfo=UTC), level=Level.NOTICE, source="Puppet", message="hi")


class RecordedPuppet:
    """Gives its executions one after the other; an error among them is raised."""

    def __init__(self, script: Sequence[Execution | BridgeError]) -> None:
        self._script = list(script)
        self.orders: list[Order] = []
        self.on_start: Callable[[], None] = lambda: None

    async def execute(self, order: Order, watcher: Watcher, cancel: asyncio.Event) -> Execution:
        """Do what comes next; nothing of it takes long enough to be cancelled."""
        del cancel
        self.orders.append(order)
        self.on_start()
        await watcher.process_started(ProcessIdentity(pid=1, start=order.number, group=1))
        watcher.waits("the lock is held by process 7")
        watcher.said(LINE)
        watcher.progressed(order.number, 1, 2, "File[/x]")
        match self._script.pop(0):
            case Execution() as execution:
                return execution
            case error:
                raise error


class Notes:
    """A watcher that takes notes."""

    def __init__(self) -> None:
        self.processes: list[ProcessIdentity] = []
        self.waited: list[str] = []
        self.lines: list[LogLine] = []
        self.steps: list[tuple[int, int, int, str]] = []
        self.at_resource = asyncio.Event()
        self.waiting = asyncio.Event()

    async def process_started(self, process: ProcessIdentity) -> None:
        """Note it."""
        self.processes.append(process)

    def waits(self, reason: str) -> None:
        """Note it."""
        self.waited.append(reason)
        self.waiting.set()

    def said(self, line: LogLine) -> None:
        """Note it."""
        self.lines.append(line)

    def progressed(self, execution: int, done: int, total: int, resource: str) -> None:
        """Note it."""
        self.steps.append((execution, done, total, resource))
        if resource.startswith("Exec["):
            self.at_resource.set()
