"""The real orchestrator's service over a journal that outlives it, and the operator who asks things of it."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from broker.ids import Digest, InstanceId
from broker.memory import MemoryBroker, MemoryMesh
from broker.uuid7 import id_source
from orchestrator.adapters.memory import MemoryJournal
from orchestrator.domain.model import Bundle, Enrolment
from orchestrator.domain.views import ChangeView
from orchestrator.operations import RefusedError
from orchestrator.ports import Batch
from orchestrator.service.assembly import Service, assemble
from tests.simulation.clock import START, VirtualClock
from tests.simulation.host import CLUSTER, key_of
from tests.simulation.ledger import Ledger
from tests.simulation.mortal import Doom, Life, MortalOrchestratorJournal

NAME: Final = "o_1"
RESTART_S: Final = 2.0
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
    """The bastion: `run` is its whole life, and the other methods are what may happen to it."""

    def __init__(
        self, roster: tuple[Enrolment, ...], *, broker: MemoryBroker, ledger: Ledger, seed: int
    ) -> None:
        self.journal = MemoryJournal()
        self.service: Service | None = None
        self._roster = roster
        self._broker = broker
        self._ledger = ledger
        self._dice = random.Random(f"{seed} {NAME}")  # noqa: S311 - it has to be predictable
        self._clock = VirtualClock()
        self._life = Life(ledger, NAME)
        self._asks: asyncio.TaskGroup | None = None
        self._away_s = 0.0
        self._back = asyncio.Event()

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Live, and come back after each death."""
        await self.journal.lead(holder=NAME, at=START)
        await self.journal.commit(Batch(bundles=list(BUNDLES)))
        while True:
            self._back.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._away_s):
                    await self._back.wait()
            self._away_s = RESTART_S
            self._life = Life(self._ledger, NAME)
            await self._life.live(tasks, self._serve(self._life))
            self.service = self._asks = None

    # What may happen to it -----------------------------------------------------------------------------

    def kill(self, away_s: float = RESTART_S) -> None:
        """Kill it."""
        self._away_s = away_s
        self._life.end()

    def doom(self, doom: Doom) -> None:
        """Have it die at a commit."""
        self._life.doom = doom

    def spare(self) -> None:
        """Be back soon if it is away, and die no death that was foretold."""
        self._life.doom = None
        self._back.set()

    def ask(self, what: str, asked: Callable[[Service], Awaitable[object]]) -> None:
        """Let an operator ask something; if nobody is there, or dies over it, nobody asks again."""
        if self.service is not None and self._asks is not None and not self._life.is_over:
            self._ledger.note(f"an operator asks: {what}")
            self._asks.create_task(self._answered(self.service, asked), name=f"ask {what}")

    async def _answered(self, service: Service, asked: Callable[[Service], Awaitable[object]]) -> None:
        try:
            await asked(service)
        except RefusedError as error:
            self._ledger.note(f"the operator is refused: {error}")

    # One life of it ------------------------------------------------------------------------------------

    async def _serve(self, life: Life) -> None:
        journal = MortalOrchestratorJournal(self.journal, life, self._ledger, self._dice)
        leadership = await journal.lead(holder=NAME, at=self._clock.now())
        self._ledger.note(f"{NAME} leads in epoch {leadership.epoch}")
        life.mesh = MemoryMesh(self._broker, client_id=NAME, clock=self._clock.now)
        async with life.mesh as mesh:
            service = await assemble(
                cluster=CLUSTER,
                journal=journal,
                archive=self.journal,
                rollouts=self.journal,
                log=self.journal,
                mesh=mesh,
                key=key_of(NAME),
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
            async with asyncio.TaskGroup() as asks:
                self.service, self._asks = service, asks
                asks.create_task(service.run(), name="service")
