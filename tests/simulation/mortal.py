"""Processes that can be killed at the worst moments, and the journals over which they die.

A kill between two awaits is easy: the task is cancelled. The moments that matter are around a journal's
write: just before it (nothing of the step has happened) and just after it (all of it is written, nothing of
it is done). So a journal here can be told to let its owner die there, at its nth write.
"""

import asyncio
import contextvars
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.errors import NotConnectedError
from broker.ids import Boot, MessageId
from broker.memory import MemoryMesh
from orchestrator.adapters.memory import MemoryJournal as OrchestratorJournal
from orchestrator.domain.model import Leadership
from orchestrator.ports import LeadershipLostError
from orchestrator.records import Batch, Loaded
from tests.simulation.clock import PROCESS, Frozen, VirtualLoop
from tests.simulation.ledger import Disk, Ledger
from tests.simulation.presences import Presences
from wing.effects import Record
from wing.memory import MemoryJournal as WingJournal
from wing.ports import Room, StoredFact
from wing.state import Remembered

SLOWEST_COMMIT_S: Final = 0.05


class KilledError(Exception):
    """The process that does this has been killed."""


@dataclass(slots=True, kw_only=True)
class Doom:
    """Die at the `writes`th write from now, before or after it; or have `instead` happen then."""

    writes: int
    after: bool
    instead: Callable[[], None] | None = None


class Life:
    """One process from its start to its death; whatever it does after that has no effect."""

    def __init__(self, ledger: Ledger, who: str) -> None:
        self.is_over = False
        self.doom: Doom | None = None
        self.mesh: MemoryMesh | None = None
        self.process = Frozen()
        self.presences = Presences(now=asyncio.get_running_loop().time)
        self._task: asyncio.Task[None] | None = None
        self._ledger = ledger
        self._who = who

    def end(self) -> None:
        """Kill the process: SIGKILL, no goodbye."""
        if self.is_over:
            return
        self._ledger.note(f"{self._who} is killed")
        self.thaw()
        self.is_over = True
        if self.mesh is not None:
            self.mesh.vanish()
        if self._task is not None:
            self._task.cancel()

    def begin(self, tasks: asyncio.TaskGroup, body: Coroutine[None, None, None]) -> asyncio.Event:
        """Live through `body`; the event says that it has ended. What no kill explains breaks a law."""
        over = asyncio.Event()
        self._task = tasks.create_task(self._guarded(body), name=self._who, context=self.context())
        self._task.add_done_callback(lambda _: over.set())
        return over

    def context(self) -> contextvars.Context:
        """Return the context of something that goes on in this process."""
        context = contextvars.copy_context()
        context.run(PROCESS.set, self.process)
        return context

    def freeze(self) -> None:
        """Stop the process, as SIGSTOP does: it does nothing more, and knows nothing of that."""
        self._ledger.note(f"{self._who} is stopped")
        _loop().freeze(self.process)

    def thaw(self) -> None:
        """Let it go on, if it was stopped."""
        if self.process.parked is not None:
            self._ledger.note(f"{self._who} goes on")
            _loop().thaw(self.process)

    def about_to_write(self) -> None:
        """Raise KilledError if this write is never made."""
        if self.is_over:
            raise KilledError
        if self.doom is not None and not self.doom.after:
            self._count(self.doom)

    def has_written(self) -> None:
        """Raise KilledError if nothing follows this write."""
        if self.doom is not None and self.doom.after:
            self._count(self.doom)

    async def _guarded(self, body: Coroutine[None, None, None]) -> None:
        try:
            await body
        except* (KilledError, asyncio.CancelledError):
            pass
        except* LeadershipLostError as errors:
            self._ledger.note(f"{self._who} ends: {errors.exceptions[0]}")
        except* NotConnectedError as errors:
            if not self.is_over:  # else it is what a dying process could not send any more
                self._crashed(errors)
        except* Exception as errors:  # noqa: BLE001 - whatever a part raises breaks a law
            self._crashed(errors)
        self.is_over = True

    def _crashed(self, errors: BaseExceptionGroup[Exception]) -> None:
        text = "; ".join(f"{type(leaf).__name__}: {leaf}" for leaf in leaves(errors))
        self._ledger.fault(f"{self._who} crashed: {text}")

    def _count(self, doom: Doom) -> None:
        doom.writes -= 1
        if doom.writes <= 0 and doom.instead is not None:
            self.doom = None
            doom.instead()
        elif doom.writes <= 0:
            self._ledger.note(f"{self._who} dies {'after' if doom.after else 'before'} a write")
            self.end()
            raise KilledError


def _loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of a group, however deep they are."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error


class MortalWingJournal:
    """A wing's journal, as the process of one life uses it."""

    def __init__(self, disk: Disk, journal: WingJournal, life: Life, ledger: Ledger) -> None:
        self._disk = disk
        self._journal = journal
        self._life = life
        self._ledger = ledger

    def open_boot(self) -> Remembered:
        return self._journal.open_boot()

    def write(self, records: Sequence[Record]) -> None:
        if not records:
            return
        self._life.about_to_write()
        self._journal.write(records)
        self._ledger.recorded(self._disk, records)
        self._life.has_written()

    def facts(self, boot: Boot, first: int, limit: int) -> Sequence[StoredFact]:
        return self._journal.facts(boot, first, limit)

    def answers(self, command: MessageId) -> Sequence[StoredFact]:
        return self._journal.answers(command)

    def room(self) -> Room:
        return self._journal.room()

    def close(self) -> None:
        self._journal.close()


class MortalOrchestratorJournal:
    """An orchestrator's journal, as the process of one life uses it; a commit takes its time."""

    def __init__(self, journal: OrchestratorJournal, life: Life, ledger: Ledger, dice: random.Random) -> None:
        self._journal = journal
        self._life = life
        self._ledger = ledger
        self._dice = dice

    async def lead(self, *, holder: str, at: datetime) -> Leadership:
        return await self._journal.lead(holder=holder, at=at)

    async def load(self) -> Loaded:
        return await self._journal.load()

    async def commit(self, batch: Batch) -> None:
        await asyncio.sleep(self._dice.uniform(0, SLOWEST_COMMIT_S))
        self._life.about_to_write()
        await self._journal.commit(batch)
        self._ledger.committed(batch, self._life.presences)
        self._life.has_written()

    async def forget(self, before: datetime) -> None:
        await self._journal.forget(before)
