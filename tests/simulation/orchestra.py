"""The real orchestrator's service over a journal that outlives it, and whoever takes the lead from it."""

import asyncio
import contextlib
import copy
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from broker.ids import Digest, InstanceId
from broker.memory import MemoryBroker
from broker.uuid7 import id_source
from orchestrator.adapters.memory import MemoryJournal
from orchestrator.domain.model import Bundle, Enrolment
from orchestrator.domain.views import ChangeView
from orchestrator.operations import RefusedError
from orchestrator.records import Batch
from orchestrator.service.assembly import Service, assemble
from tests.simulation.clock import START, VirtualClock
from tests.simulation.host import CLUSTER, ORCHESTRATORS
from tests.simulation.ledger import Ledger
from tests.simulation.mortal import Doom, Life, MortalOrchestratorJournal
from tests.simulation.presences import OverheardMesh
from tests.simulation.quick_keys import key_of

RESTART_S: Final = 2.0
RENEWS_WITHIN_S: Final = 5.0
"""How long one that has lost the lead may go on without writing: its lease is renewed that often."""

BUNDLES: Final = tuple(
    Bundle(
        digest=Digest(f"sha256:{mark * 64}"),
        size=3,
        packed=2,
        name=None,
        version=None,
        roles=(),
        pushed_at=START,
        pushed_by="ann",
    )
    for mark in "abc"
)


class EmptyPapers:
    """Finds nothing in any report."""

    async def changes(
        self, report: bytes, *, noop: bool, instance: InstanceId
    ) -> tuple[tuple[ChangeView, ...], int]:
        """Return no change."""
        del report, noop, instance
        return (), 0

    async def log_lines(self, log: bytes) -> Sequence[Mapping[str, object]]:
        """Return no line."""
        del log
        return ()


class NoShelf:
    """Takes no bundles: they are in the journal from the beginning."""

    async def keep(self, draft: Path) -> Bundle:
        """Never be asked."""
        raise AssertionError(draft)

    async def packed(self, digest: Digest) -> Path:
        """Never be asked."""
        raise AssertionError(digest)


class Orchestrator:
    """Two bastions over one journal: `run` is the whole life of whichever leads, the rest what may happen."""

    def __init__(
        self, roster: tuple[Enrolment, ...], *, broker: MemoryBroker, ledger: Ledger, seed: int
    ) -> None:
        self.journal = MemoryJournal()
        self.service: Service | None = None
        self.name = ORCHESTRATORS[0]
        self._roster = roster
        self._broker = broker
        self._ledger = ledger
        self._dice = random.Random(f"{seed} orchestrators")  # noqa: S311 - it has to be predictable
        self._clock = VirtualClock()
        self._life = Life(ledger, self.name)
        self._former: Life | None = None
        self._copy: dict[str, Any] | None = None
        self._asks: asyncio.TaskGroup | None = None
        self._away_s = 0.0
        self._back = asyncio.Event()
        self._over = asyncio.Event()

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Live, and come back after each death, or as the other one."""
        await self.journal.lead(holder=self.name, at=START)
        await self.journal.commit(Batch(bundles=list(BUNDLES)))
        while True:
            self._back.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._away_s):
                    await self._back.wait()
            self._away_s = RESTART_S
            self._life = Life(self._ledger, self.name)
            self._over = self._life.begin(tasks, self._serve(self._life))
            await self._over.wait()
            self.service = self._asks = None

    # What may happen to it -----------------------------------------------------------------------------

    def kill(self, away_s: float = RESTART_S) -> None:
        """Kill it."""
        self._away_s = away_s
        self._life.end()

    def doom(self, doom: Doom) -> None:
        """Have it die at a commit."""
        self._life.doom = doom

    def freeze(self, commits: int, for_s: float, until_taken_s: float) -> None:
        """Have its process stop for a while at a commit, so that the other one takes the lead."""
        life = self._life
        life.doom = Doom(writes=commits, after=True, instead=lambda: self._freeze(life, for_s, until_taken_s))

    def _freeze(self, life: Life, for_s: float, until_taken_s: float) -> None:
        if self._former is not None or life is not self._life:
            return
        life.freeze()
        self._former = life
        self.name = ORCHESTRATORS[1 - ORCHESTRATORS.index(self.name)]
        self._away_s = until_taken_s
        self._over.set()
        asyncio.get_running_loop().call_later(for_s, self._thaw, life)

    def _thaw(self, former: Life) -> None:
        """Let the one go on that was stopped; it finds out that it leads no more."""
        former.thaw()
        asyncio.get_running_loop().call_later(RENEWS_WITHIN_S, self._fade, former)

    def _fade(self, former: Life) -> None:
        former.end()
        if self._former is former:
            self._former = None

    def expect(self, roster: tuple[Enrolment, ...]) -> None:
        """Have whoever starts from now on know these."""
        self._roster = roster

    def back_up(self) -> None:
        """Copy the journal."""
        self._copy = _copied(self.journal)

    def restore(self, away_s: float) -> None:
        """Come back with the journal as it was when it was copied."""
        if self._copy is None:
            return
        for life in (self._former, self._life):
            if life is not None:
                life.end()
        self._away_s = away_s
        vars(self.journal).update(self._copy)
        self._copy = _copied(self.journal)
        self._ledger.restored(self.journal)

    def spare(self) -> None:
        """Be back soon if it is away, and die no death that was foretold."""
        if self._former is not None:
            self._fade(self._former)
        self._life.doom = None
        self._back.set()

    def end(self) -> None:
        """End it, and the one that was stopped."""
        if self._former is not None:
            self._former.end()
        self.kill()

    def ask(self, what: str, asked: Callable[[Service], Awaitable[object]]) -> None:
        """Let an operator ask something; if nobody is there, or dies over it, nobody asks again."""
        if self.service is not None and self._asks is not None and not self._life.is_over:
            self._ledger.note(f"an operator asks: {what}")
            asking = self._answered(self.service, asked)
            self._asks.create_task(asking, name=f"ask {what}", context=self._life.context())

    async def _answered(self, service: Service, asked: Callable[[Service], Awaitable[object]]) -> None:
        try:
            await asked(service)
        except RefusedError as error:
            self._ledger.note(f"the operator is refused: {error}")

    # One life of it ------------------------------------------------------------------------------------

    async def _serve(self, life: Life) -> None:
        name = self.name
        journal = MortalOrchestratorJournal(self.journal, life, self._ledger, self._dice)
        leadership = await journal.lead(holder=name, at=self._clock.now())
        self._ledger.leads(name, leadership.epoch)
        life.mesh = OverheardMesh(life.presences, self._broker, client_id=name, clock=self._clock.now)
        async with life.mesh as mesh:
            service = await assemble(
                cluster=CLUSTER,
                journal=journal,
                archive=self.journal,
                rollouts=self.journal,
                log=self.journal,
                mesh=mesh,
                key=key_of(name),
                clock=self._clock,
                new_id=id_source(self._clock.now, self._dice.randbytes),
                reader=EmptyPapers(),
                shelf=NoShelf(),
                drafts=Path("/nowhere"),
                url_of=lambda digest: f"https://bundles/{digest}",
                endpoint="memory",
                version="1",
                roster=self._roster,
            )
            try:
                async with asyncio.TaskGroup() as asks:
                    self.service, self._asks = service, asks
                    asks.create_task(service.run(), name="service")
            finally:
                self._ledger.counted(service.core.state.counters)


def _copied(journal: MemoryJournal) -> dict[str, Any]:
    """Return a copy of all that a journal holds; what it holds are frozen values."""
    found = {
        name: copy.copy(value) if isinstance(value, dict | list | set) else value
        for name, value in vars(journal).items()
    }
    return found | {"_steps": {key: dict(steps) for key, steps in journal._steps.items()}}
