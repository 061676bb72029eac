"""What the shell around the machine needs of the world, each as a small port."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from broker.client import Signature
from broker.ids import Boot, MessageId
from broker.messages import Backlog, Converge, LogLine, OrderFact, Prefetch
from wing.effects import Record, RunOrder
from wing.events import End, Process
from wing.facts import FactRef, spans
from wing.state import Remembered

HYSTERESIS: Final = 16
"""What goes, goes by a sixteenth of the bound at once, so that few facts tell of many lost ones."""

NEWEST: Final = 16
"""So many of the newest facts stay whatever they are: they may still be on their way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFact:
    """A recorded fact as it goes out: the very bytes, and their signature."""

    ref: FactRef
    payload: bytes
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How much a journal may hold of facts that nobody has acked."""

    octets: int = 64 * 1024 * 1024
    facts: int = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Whether a journal keeps within its bound: `surplus` must go, or it is `full` and nothing can."""

    surplus: tuple[Backlog, ...] = ()
    full: bool = False


def surplus(bound: Bound, *, facts: int, octets: int, droppable: Iterable[tuple[FactRef, int]]) -> Room:
    """Return what of `droppable` (oldest first, each with its bytes) must go from a journal of that fill.

    With less than a sixteenth of the bound to gain nothing goes: the journal is full.
    """
    if facts <= bound.facts and octets <= bound.octets:
        return Room()
    few = bound.facts // HYSTERESIS if facts > bound.facts else 0
    little = bound.octets // HYSTERESIS if octets > bound.octets else 0
    chosen: list[FactRef] = []
    gained = 0
    for ref, size in droppable:
        chosen.append(ref)
        gained += size
        if len(chosen) >= few and gained >= little:
            return Room(surplus=spans(chosen))
    return Room(full=True)


class JournalUnwritableError(Exception):
    """The journal can't be written now (disk full, read-only); what was asked has not happened at all."""

    def __init__(self, *, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class Journal(Protocol):
    """What a wing remembers over its own death.

    Facts are signed as they are recorded. Whatever answers a command is kept, acked or not, until the
    command is forgotten, so that it can be repeated.
    """

    def open_boot(self) -> Remembered:
        """Count a new boot and return what is remembered."""

    def write(self, records: Sequence[Record]) -> None:
        """Record all or nothing, durably; raises JournalUnwritableError for nothing."""

    def facts(self, boot: Boot, first: int, limit: int) -> Sequence[StoredFact]:
        """Return the kept facts of `boot` from `first` on, by number, at most `limit`."""

    def answers(self, command: MessageId) -> Sequence[StoredFact]:
        """Return what was answered to `command` so far, oldest first."""

    def room(self) -> Room:
        """Return whether anything has to go; the newest facts and every answer stay."""

    def close(self) -> None:
        """Let go of the journal's file; what was written stays."""


class Watcher(Protocol):
    """Who is told what happens in the course of a run, as it happens; none of the calls waits."""

    async def process_started(self, process: Process) -> None:
        """Record a process that must not outlive the run unseen; it may begin once this has returned.

        Raises JournalUnwritableError: it must not begin then.
        """

    def waits(self, reason: str) -> None:
        """Take note that the run waits for someone else, named in `reason`."""

    def said(self, line: LogLine) -> None:
        """Take note of a line that Puppet said."""

    def progressed(self, execution: int, done: int, total: int, resource: str) -> None:
        """Take note that execution `execution` (from 1) has evaluated `done` of `total` resources."""


class OrderWatcher(Protocol):
    """Who is told what happens in the course of an order, as it happens; none of the calls waits."""

    async def process_started(self, process: Process) -> None:
        """Record a process that must not outlive the order unseen; it may begin once this has returned.

        Raises JournalUnwritableError: it must not begin then.
        """

    def told(self, fact: OrderFact) -> None:
        """Take note of what has happened, to be told as a fact."""


class Work(Protocol):
    """What a wing does to its host."""

    async def converge(self, order: Converge, watcher: Watcher, cancel: asyncio.Event) -> End:
        """Make the host what the bundle says; once `cancel` is set, end all of it and return `Stopped`."""

    async def prefetch(self, order: Prefetch, cancel: asyncio.Event) -> End:
        """Have the bundle unpacked here; once `cancel` is set, end the fetch and return `Stopped`."""

    async def carry_out(self, asked: RunOrder, watcher: OrderWatcher, cancel: asyncio.Event) -> End:
        """Drain, uncordon or look at health, and return `Done`; once `cancel` is set, end and say `Stopped`.

        A drain that was stopped evicts nothing more and leaves the cordon as it is.
        """

    async def end_leftovers(self, processes: Sequence[Process]) -> Sequence[str]:
        """End what an earlier wing's work left; return what was ended, in words."""


class Supervisor(Protocol):
    """Who watches over the process, such as systemd."""

    def ready(self) -> None:
        """Say that the wing is up."""

    def alive(self) -> None:
        """Say that the wing still handles its events."""

    def stopping(self) -> None:
        """Say that the wing is about to end."""
