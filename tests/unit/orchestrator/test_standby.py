"""Standing by, leading and losing the lead, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from broker.ids import Epoch
from orchestrator.domain.lease import ASK_S, GRACE_S, LEASE_S, RENEW_S
from orchestrator.domain.model import Leadership
from orchestrator.ports import JournalError, LeadershipLostError
from orchestrator.standby import Candidate, Seen

pytestmark = pytest.mark.looptime

START = datetime(2026, 1, 1, tzinfo=UTC)
AWAY = JournalError(journal="j", reason="away", action="start it")


class LoopClock:
    def now(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass
class Row:
    """The database: its row, and whether it can be reached."""

    is_shared: bool = True
    away: bool = False
    hangs: bool = False
    answers_after_s: float = 0.0
    epoch: int = 0
    holder: str = ""
    ends_at: float = 0.0

    async def lead(self, *, holder: str, at: datetime) -> Leadership | None:
        await self._reached()
        if self.is_shared and now_s() < self.ends_at:
            return None
        self.epoch, self.holder, self.ends_at = self.epoch + 1, holder, now_s() + LEASE_S
        until = START + timedelta(seconds=self.ends_at) if self.is_shared else None
        return Leadership(epoch=Epoch(self.epoch), holder=holder, since=at, until=until)

    async def leader(self) -> Leadership | None:
        await self._reached()
        return Leadership(epoch=Epoch(self.epoch), holder=self.holder, since=START) if self.epoch else None

    async def renew(self, epoch: Epoch) -> None:
        await self._reached()
        if epoch != self.epoch:
            raise LeadershipLostError(epoch=epoch, holder=self.holder)
        self.ends_at = now_s() + LEASE_S
        await asyncio.sleep(self.answers_after_s)

    async def _reached(self) -> None:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.away:
            raise AWAY


@dataclass
class Daemon:
    """One daemon, and what it was seen to do: `led` and `waited` are epochs and holders, in order."""

    row: Row
    name: str
    serves: Callable[[Leadership], Awaitable[None]] | None = None
    led: list[int] = field(default_factory=list)
    left_at: list[float] = field(default_factory=list)
    waited: list[Seen] = field(default_factory=list)
    is_waiting: bool = False

    @property
    def is_leading(self) -> bool:
        return len(self.led) > len(self.left_at)

    def candidate(self) -> Candidate:
        return Candidate(
            name=self.name,
            lease=self.row,
            clock=LoopClock(),
            term=self._term,
            waiting=self._waiting,
            chance=lambda: 0.5,
        )

    async def _term(self, leadership: Leadership) -> None:
        self.led.append(leadership.epoch)
        try:
            if self.serves is not None:
                await self.serves(leadership)
            await asyncio.get_running_loop().create_future()
        finally:
            self.left_at.append(now_s())

    @asynccontextmanager
    async def _waiting(self, seen: Seen) -> AsyncIterator[None]:
        self.waited.append(seen)
        self.is_waiting = True
        try:
            yield
        finally:
            self.is_waiting = False


def now_s() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def running(*daemons: Daemon) -> AsyncIterator[list[asyncio.Task[None]]]:
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(each.candidate().run(), name=each.name) for each in daemons]
        await asyncio.sleep(0.01)
        yield started
        for task in started:
            task.cancel()


async def test_one_leads_and_the_other_says_for_whom_it_waits() -> None:
    """The second asks again and again, tells once who leads, and never gets in while the first renews."""
    row = Row()
    first, second = Daemon(row, "o_1"), Daemon(row, "o_2")
    with capture_logs() as logs:
        async with running(first, second):
            await asyncio.sleep(600)
            assert (first.led, second.led) == ([1], [])
            assert second.is_waiting
            leader = second.waited[0]()
            assert leader is not None
            assert leader.holder == "o_1"
    assert [entry["holder"] for entry in logs if entry["event"] == "standing by"] == ["o_1"]


async def test_the_other_leads_within_a_lease_and_a_question() -> None:
    """A leader that is killed is followed before 8 s have passed, in a higher epoch."""
    row = Row()
    first, second = Daemon(row, "o_1"), Daemon(row, "o_2")
    async with running(first, second) as tasks:
        await asyncio.sleep(100)
        tasks[0].cancel()
        await asyncio.sleep(LEASE_S - RENEW_S - 0.5)
        assert second.led == []
        await asyncio.sleep(RENEW_S + 0.5 + ASK_S + 0.1)
        assert second.led == [2]
        assert not second.is_waiting


async def test_who_is_alone_leads_at_once() -> None:
    """Nobody is waited for when nobody is there."""
    daemon = Daemon(Row(), "o_1")
    async with running(daemon):
        assert daemon.led == [1]
        assert daemon.waited == []


async def test_a_renewal_that_finds_another_leader_ends_the_term() -> None:
    """The process goes on: it stands by for the one who leads now, and tells that once."""
    row = Row()
    daemon = Daemon(row, "o_1")
    with capture_logs() as logs:
        async with running(daemon):
            row.epoch, row.holder, row.ends_at = 2, "o_2", now_s() + 60
            await asyncio.sleep(RENEW_S + 0.1)
            assert not daemon.is_leading
            assert daemon.is_waiting
            await asyncio.sleep(120)
            assert daemon.led == [1, 3]
    told = [entry["event"] for entry in logs]
    assert told == ["leadership lost", "standing by"]
    assert logs[0]["reason"] == "epoch 1 is over: o_2 leads the cluster now"


async def test_a_write_that_finds_another_leader_ends_the_term_at_once() -> None:
    """What the journal says to the service is heard, however deep in it."""
    row = Row()

    async def serve(_leadership: Leadership) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write(), name="write")

    async def write() -> None:
        await asyncio.sleep(0.5)
        row.epoch, row.holder, row.ends_at = 2, "o_2", now_s() + 3600
        raise LeadershipLostError(epoch=1, holder="o_2")

    daemon = Daemon(row, "o_1", serves=serve)
    async with running(daemon):
        await asyncio.sleep(0.6)
        assert daemon.left_at == [pytest.approx(0.5)]
        assert daemon.is_waiting


@pytest.mark.parametrize("how", ["away", "hangs"])
async def test_a_leader_stops_before_its_lease_can_be_taken(how: str) -> None:
    """Without its database it counts by its own clock, from before the last renewal that succeeded."""
    row = Row()
    daemon = Daemon(row, "o_1")
    async with running(daemon):
        await asyncio.sleep(10.5)
        setattr(row, how, True)
        await asyncio.sleep(LEASE_S)
        assert daemon.left_at
        assert daemon.left_at[0] <= row.ends_at - GRACE_S + 0.05
        assert daemon.left_at[0] >= 10.5 + GRACE_S


async def test_a_slow_answer_makes_no_lease_longer() -> None:
    """What counts is when a renewal was asked for: the database may have made it as early as that."""
    row = Row(answers_after_s=GRACE_S + 1)
    daemon = Daemon(row, "o_1")
    async with running(daemon):
        await asyncio.sleep(20)
        row.hangs = True
        await asyncio.sleep(2 * LEASE_S)
        assert daemon.left_at[0] <= row.ends_at - GRACE_S


async def test_a_database_that_is_away_for_a_moment_costs_nothing() -> None:
    """One renewal that fails is repeated soon, well within the lease."""
    row = Row()
    daemon = Daemon(row, "o_1")
    async with running(daemon):
        await asyncio.sleep(9.9)
        row.away = True
        await asyncio.sleep(2.5)
        row.away = False
        await asyncio.sleep(60)
        assert (daemon.led, daemon.left_at) == ([1], [])


async def test_a_database_that_comes_back_is_led_on() -> None:
    """A daemon outlives its database: it stands by, tells it once, and leads again when it is back."""
    row = Row()
    daemon = Daemon(row, "o_1")
    with capture_logs() as logs:
        async with running(daemon):
            row.away = True
            await asyncio.sleep(600)
            assert daemon.is_waiting
            assert daemon.waited[0]() is None
            row.away = False
            await asyncio.sleep(2 * ASK_S)
            assert daemon.led == [1, 2]
    assert [entry["event"] for entry in logs].count("journal not reached") == 1


async def test_a_service_that_could_not_write_is_begun_anew() -> None:
    """On a shared database the process stands by; its next term reads what was written."""
    row = Row()
    failing = [True]

    async def serve(_leadership: Leadership) -> None:
        if failing:
            failing.clear()
            raise AWAY

    daemon = Daemon(row, "o_1", serves=serve)
    async with running(daemon):
        await asyncio.sleep(LEASE_S + 2 * ASK_S)
        assert daemon.led == [1, 2]
        assert daemon.is_leading


async def test_a_journal_of_ones_own_is_led_without_a_lease() -> None:
    """With a file nobody else can have, nothing is renewed, and what can't be written ends the process."""
    row = Row(is_shared=False)

    async def serve(_leadership: Leadership) -> None:
        await asyncio.sleep(60)
        raise AWAY

    daemon = Daemon(row, "o_1", serves=serve)
    with pytest.raises(ExceptionGroup) as ended:
        async with asyncio.timeout(3600):
            await daemon.candidate().run()
    assert ended.group_contains(JournalError)
    assert daemon.left_at == [pytest.approx(60)]
