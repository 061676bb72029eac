"""Of the daemons that share a journal one leads; the others stand by until its lease has run out.

A leader that can't renew its lease must have stopped before anybody else can take it. The database's clock,
which decides that, is out of reach then: so the leader counts by its own, from before it asked for the
renewal, and stops before that time is up. Whatever ends its term, the process goes on and stands by.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog

from broker.ids import Epoch
from orchestrator.domain.lease import AGAIN_S, ASK_S, GRACE_S, LEASE_S, RENEW_S
from orchestrator.domain.model import Leadership
from orchestrator.ports import Clock, JournalError, LeadershipLostError, Lease

log = structlog.get_logger(__name__)

SPREAD: Final = 0.1

Seen = Callable[[], Leadership | None]


class LeaseEndedError(Exception):
    """The lease could not be renewed in time: whoever holds it next, it is not us."""

    def __init__(self, *, epoch: Epoch) -> None:
        self.epoch = epoch
        super().__init__(f"the lease of epoch {epoch} has run out, and could not be renewed")


class Candidate:
    """A daemon that leads whenever it may.

    `term` serves as the leader until it is cancelled; `waiting` is entered while somebody else leads, and is
    given a look at who. `chance` returns a number from 0 to 1.
    """

    def __init__(
        self,
        *,
        name: str,
        lease: Lease,
        clock: Clock,
        term: Callable[[Leadership], Awaitable[None]],
        waiting: Callable[[Seen], AbstractAsyncContextManager[None]],
        chance: Callable[[], float],
    ) -> None:
        self._name = name
        self._lease = lease
        self._clock = clock
        self._term = term
        self._waiting = waiting
        self._chance = chance
        self._seen: Leadership | None = None
        self._trouble = ""
        self._ends_at = 0.0

    async def run(self) -> None:
        """Stand by and lead, in turns, until cancelled."""
        while True:
            await self.turn()

    async def turn(self) -> None:
        """Take the lead as soon as it is to be had, and lead until that is over."""
        leadership = await self._ask()
        if leadership is None:
            leadership = await self._stand_by()
        try:
            await self._lead(leadership)
        except* (LeadershipLostError, LeaseEndedError) as errors:
            self._lost(leadership, errors)
        except* JournalError as errors:
            if not self._lease.is_shared:
                raise
            self._lost(leadership, errors)

    async def _stand_by(self) -> Leadership:
        async with self._waiting(lambda: self._seen):
            while True:
                await asyncio.sleep(ASK_S * (1 - SPREAD + 2 * SPREAD * self._chance()))
                leadership = await self._ask()
                if leadership is not None:
                    return leadership

    async def _ask(self) -> Leadership | None:
        """Ask for the lead; a database that is away is told once, and asked again later."""
        asked_at = _now_s()
        try:
            taken = await self._lease.lead(holder=self._name, at=self._clock.now())
            if taken is None:
                self._look(await self._lease.leader())
        except JournalError as error:
            if not self._lease.is_shared:
                raise
            if self._trouble != error.reason:
                log.warning("journal not reached", reason=error.reason, action=error.action)
            self._trouble = error.reason
            return None
        self._trouble = ""
        self._ends_at = asked_at + LEASE_S - GRACE_S
        return taken

    def _look(self, leader: Leadership | None) -> None:
        if leader is not None and (self._seen is None or self._seen.epoch != leader.epoch):
            log.info("standing by", holder=leader.holder, epoch=leader.epoch, name=self._name)
        self._seen = leader

    async def _lead(self, leadership: Leadership) -> None:
        async with asyncio.TaskGroup() as tasks:
            if leadership.until is not None:
                tasks.create_task(self._renew(leadership.epoch), name="orchestrator.lease")
                tasks.create_task(self._watch(leadership.epoch), name="orchestrator.lease.end")
            tasks.create_task(self._serve(leadership), name="orchestrator.term")

    async def _serve(self, leadership: Leadership) -> None:
        await self._term(leadership)

    async def _renew(self, epoch: Epoch) -> None:
        while True:
            asked_at, pause_s = _now_s(), RENEW_S
            try:
                await self._lease.renew(epoch)
            except JournalError as error:
                log.warning("lease not renewed", epoch=epoch, reason=error.reason)
                pause_s = AGAIN_S
            else:
                self._ends_at = asked_at + LEASE_S - GRACE_S
            await asyncio.sleep(pause_s)

    async def _watch(self, epoch: Epoch) -> None:
        # Apart from the renewal, which may hang: nothing that is waited for may hold up the end.
        while True:
            left_s = self._ends_at - _now_s()
            if left_s <= 0:
                raise LeaseEndedError(epoch=epoch)
            await asyncio.sleep(left_s)

    def _lost(self, leadership: Leadership, errors: BaseExceptionGroup[Exception]) -> None:
        self._seen = None
        log.warning("leadership lost", epoch=leadership.epoch, name=self._name, reason=str(first_of(errors)))


def first_of(error: BaseException) -> BaseException:
    """Return the first error of a group, however deep it is."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _now_s() -> float:
    return asyncio.get_running_loop().time()
