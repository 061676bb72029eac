"""Who leads: what every journal makes sure of, and the lease by which daemons share one on PostgreSQL."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from broker.ids import ClusterName, Epoch, InstanceId
from orchestrator.adapters.sql import dialect, lease
from orchestrator.adapters.sql.journal import SqlJournal
from orchestrator.domain.lease import LEASE_S
from orchestrator.domain.model import Leadership
from orchestrator.ports import JournalError, LeadershipLostError
from orchestrator.records import Batch
from tests.contract.journal.conftest import expire
from tests.contract.journal.places import INSTANCE, Place
from tests.postgres import Postgres
from tests.unit.orchestrator.domain.playbook import NOW, A

NUMBERS = itertools.count(1)
FIRST, SECOND = Epoch(1), Epoch(2)


async def taken_over(place: Place) -> Place:
    """Have another process lead in epoch 2, and return its journal."""
    other = await place.reopened()
    await place.expired()
    assert (await other.leads("o_2")).epoch == SECOND
    return other


async def test_the_leader_writes_in_its_epoch(place: Place) -> None:
    """A batch of the epoch that leads is written, and its lease renewed."""
    await place.journal.renew(FIRST)
    await place.journal.commit(Batch(epoch=FIRST, instances={A: INSTANCE}))
    assert list((await place.journal.load()).instances) == [INSTANCE]


async def test_who_leads_can_be_asked(place: Place) -> None:
    """Whoever stands by can say for whom."""
    leadership = (await place.journal.load()).leadership
    assert (leadership.holder, leadership.epoch, leadership.since) == ("o_1", FIRST, NOW)


async def test_nothing_of_an_old_leader_is_written(place: Place) -> None:
    """After a takeover a batch of the epoch before is refused whole, and names who leads."""
    other = await taken_over(place)
    with pytest.raises(LeadershipLostError, match="epoch 1 is over: o_2 leads") as lost:
        await place.journal.commit(Batch(epoch=FIRST, instances={A: INSTANCE}))
    assert (lost.value.epoch, lost.value.holder) == (FIRST, "o_2")
    assert list((await other.journal.load()).instances) == []
    await other.journal.commit(Batch(epoch=SECOND, instances={A: INSTANCE}))
    assert list((await other.journal.load()).instances) == [INSTANCE]


async def test_a_lost_lease_is_not_renewed(place: Place) -> None:
    """Who asks for more time after a takeover is told that somebody else leads."""
    other = await taken_over(place)
    with pytest.raises(LeadershipLostError):
        await place.journal.renew(FIRST)
    await other.journal.renew(SECOND)


async def test_an_old_leader_does_not_raise_the_epoch(place: Place) -> None:
    """Only who leads may put its epoch above what wings have seen."""
    other = await taken_over(place)
    leadership = Leadership(epoch=Epoch(9), holder="o_1", since=NOW, restored="births know more")
    with pytest.raises(LeadershipLostError):
        await place.journal.commit(Batch(epoch=FIRST, leadership=leadership))
    assert await other.epoch() == SECOND


async def test_the_leader_raises_its_epoch_with_what_else_it_writes(place: Place) -> None:
    """One batch of the old epoch raises it; from then on only the new one counts."""
    raised = Leadership(epoch=Epoch(9), holder="o_1", since=NOW, restored="births know more")
    await place.journal.commit(Batch(epoch=FIRST, leadership=raised, instances={A: INSTANCE}))
    found = (await place.journal.load()).leadership
    assert replace(found, until=None) == raised
    with pytest.raises(LeadershipLostError):
        await place.journal.commit(Batch(epoch=FIRST, revoked={A}))
    await place.journal.renew(Epoch(9))


async def test_doubt_about_the_journal_outlives_its_leader(place: Place) -> None:
    """A restored journal stays doubted until somebody has looked at it, whoever leads."""
    raised = Leadership(epoch=Epoch(9), holder="o_1", since=NOW, restored="births know more")
    await place.journal.commit(Batch(epoch=FIRST, leadership=raised))
    await place.expired()
    again = await (await place.reopened()).leads("o_2")
    assert (again.epoch, again.restored) == (10, "births know more")


# The lease, on PostgreSQL ------------------------------------------------------------------------------


@dataclass(slots=True)
class Shared:
    """A cluster of its own in a database that its daemons share."""

    server: Postgres
    url: str
    cluster: ClusterName
    stack: AsyncExitStack

    async def daemon(self, lease_s: float = LEASE_S) -> SqlJournal:
        """Open the journal as one more daemon does."""
        return await self.stack.enter_async_context(SqlJournal(self.url, self.cluster, lease_s=lease_s))

    def expire(self) -> None:
        """Put the lease's end in the past."""
        expire(self.server, self.url)(self.cluster)

    def sessions(self) -> list[int]:
        """Return the process ids of the sessions in which daemons of this cluster write."""
        query = f"SELECT pid FROM pg_stat_activity WHERE application_name = 'tarmak {self.cluster}'"  # noqa: S608
        return [int(line) for line in self.server.sql(query).split()]


@pytest.fixture
async def shared(server: Postgres, database: str) -> AsyncIterator[Shared]:
    async with AsyncExitStack() as stack:
        yield Shared(server, database, ClusterName(f"l-{next(NUMBERS)}"), stack)


async def at_once(every: list[SqlJournal]) -> list[Epoch]:
    """Have all ask for the lead at the same moment, and return the epochs that were given."""
    await asyncio.gather(*(each.leader() for each in every))  # so that all are connected
    taken = await asyncio.gather(*(each.lead(holder=f"o_{n}", at=NOW) for n, each in enumerate(every)))
    return [each.epoch for each in taken if each is not None]


async def had(journal: SqlJournal, at: datetime) -> Leadership:
    """Ask for the lead until it is had."""
    async with asyncio.timeout(10):
        while True:
            taken = await journal.lead(holder="o_2", at=at)
            if taken is not None:
                return taken
            await asyncio.sleep(0.02)


async def test_nobody_leads_while_a_lease_runs(shared: Shared) -> None:
    """The second daemon is told to wait, and can say for whom; so is one of the same name."""
    first, second = await shared.daemon(), await shared.daemon()
    mine = await first.lead(holder="o_1", at=NOW)
    assert mine is not None
    assert mine.until is not None
    assert await second.lead(holder="o_2", at=NOW) is None
    assert await second.lead(holder="o_1", at=NOW) is None
    assert await second.leader() == mine


async def test_a_lease_that_is_not_renewed_runs_out(shared: Shared) -> None:
    """By the database's clock alone: the daemons' own are years apart, and nobody asks them."""
    first, second = await shared.daemon(lease_s=0.2), await shared.daemon()
    assert await first.lead(holder="o_1", at=datetime(2099, 1, 1, tzinfo=UTC)) is not None
    assert (await had(second, NOW - timedelta(days=3650))).epoch == SECOND
    with pytest.raises(LeadershipLostError):
        await first.renew(FIRST)


async def test_a_renewed_lease_runs_on(shared: Shared) -> None:
    """A renewal counts from when it is made, and saves a lease that nobody has taken yet."""
    first, second = await shared.daemon(), await shared.daemon()
    await first.lead(holder="o_1", at=NOW)
    shared.expire()
    await first.renew(FIRST)
    assert await second.lead(holder="o_2", at=NOW) is None


async def test_one_of_many_leads_at_first(shared: Shared) -> None:
    """Daemons that start together on an empty journal don't both lead."""
    every = [await shared.daemon() for _ in range(5)]
    assert await at_once(every) == [FIRST]


async def test_one_of_many_takes_over(shared: Shared) -> None:
    """Daemons that see a lease run out don't both take it."""
    every = [await shared.daemon() for _ in range(5)]
    await every[0].lead(holder="o_0", at=NOW)
    shared.expire()
    assert await at_once(every) == [SECOND]


async def test_a_daemon_that_stops_in_order_leaves_the_lead(shared: Shared) -> None:
    """A restart need not wait for the lease of the process before."""
    second = await shared.daemon()
    async with SqlJournal(shared.url, shared.cluster) as first:
        await first.lead(holder="o_1", at=NOW)
        await first.commit(Batch(leadership=Leadership(epoch=Epoch(5), holder="o_1", since=NOW)))
        assert await second.lead(holder="o_2", at=NOW) is None
    assert await second.lead(holder="o_2", at=NOW) is not None


async def test_a_daemon_that_has_lost_leaves_the_others_lead_alone(shared: Shared) -> None:
    """Stopping ends one's own lease only."""
    second, third = await shared.daemon(), await shared.daemon()
    async with SqlJournal(shared.url, shared.cluster) as first:
        await first.lead(holder="o_1", at=NOW)
        shared.expire()
        assert await second.lead(holder="o_2", at=NOW) is not None
    assert await third.lead(holder="o_3", at=NOW) is None


async def test_an_epoch_that_was_raised_is_renewed_under_its_old_name(shared: Shared) -> None:
    """A renewal may be on its way while a batch raises the epoch: that is no loss."""
    first = await shared.daemon()
    await first.lead(holder="o_1", at=NOW)
    raised = Leadership(epoch=Epoch(5), holder="o_1", since=NOW)
    await first.commit(Batch(epoch=FIRST, leadership=raised))
    await first.renew(FIRST)


async def test_a_batch_under_way_is_waited_for(shared: Shared) -> None:
    """A takeover comes before or after a batch, never within: the new leader reads all that was written.

    And a renewal doesn't have to wait for it.
    """
    first, second = await shared.daemon(), await shared.daemon()
    await first.lead(holder="o_1", at=NOW)
    async with first.readers.engine.begin() as connection:
        await connection.run_sync(checked, shared.cluster)
        shared.expire()
        assert await second.lead(holder="o_2", at=NOW) is None
        await first.renew(FIRST)
        shared.expire()
    assert await second.lead(holder="o_2", at=NOW) is not None


async def test_a_leader_that_was_stopped_within_a_batch_is_in_nobodys_way(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is ended by whoever wants to take over, once it is older than a lease."""
    monkeypatch.setattr(dialect, "IDLE_S", 600.0)  # where the server does not see it as idle
    first, second = await shared.daemon(), await shared.daemon(lease_s=0.2)
    await first.lead(holder="o_1", at=NOW)
    async with first.readers.engine.connect() as connection:
        await connection.run_sync(checked, shared.cluster)
        shared.expire()
        assert (await had(second, NOW)).epoch == SECOND
        await connection.invalidate()  # what the pool would find out at its next use


def checked(connection: Connection, cluster: ClusterName) -> None:
    lease.check(connection, cluster, FIRST)


# A database that is away -------------------------------------------------------------------------------


async def test_a_database_that_is_away_is_an_error_and_comes_back(server: Postgres) -> None:
    """The error says what to do and tells no password; once it runs again the same journal goes on."""
    url = server.fresh().replace("tarmak@", "tarmak:geheim@")
    async with SqlJournal(url, ClusterName("c")) as journal:
        await journal.lead(holder="o_1", at=NOW)
        server.stop()
        try:
            for act in (journal.load(), journal.renew(FIRST), journal.commit(Batch(revoked={A}))):
                with pytest.raises(JournalError, match="see that the database runs") as gone:
                    await act
                assert "geheim" not in str(gone.value)
            with pytest.raises(JournalError, match="names it and who may use it"):
                async with SqlJournal(url, ClusterName("c")):
                    pass
        finally:
            server.start()
        await journal.commit(Batch(epoch=FIRST, instances={A: INSTANCE}))


@pytest.mark.parametrize(
    "url", ["nonsense:geheim", "postgresql://tarmak:geheim@x/y", "mysql+aiomysql://x:geheim@x/y"]
)
def test_a_url_that_names_no_journal_is_refused(url: str) -> None:
    """The error says how to write it, and repeats no password."""
    with pytest.raises(JournalError, match=r"journal\.url: .*; write it as sqlite") as refused:
        SqlJournal(url, ClusterName("c"))
    assert "geheim" not in str(refused.value)


async def test_a_word_that_the_driver_does_not_know_is_an_error(server: Postgres) -> None:
    """What comes after the question mark is the driver's; it names what it does not know."""
    with pytest.raises(JournalError, match="sslmode"):
        async with SqlJournal(f"{server.url()}&sslmode=require", ClusterName("c")):
            pass


def test_clusters_with_long_names_are_told_apart() -> None:
    """PostgreSQL cuts a session's name off: a takeover must end only its own cluster's sessions."""
    long = [ClusterName("c" * 62 + end) for end in "ab"]
    names = {dialect.session_name(cluster) for cluster in (*long, ClusterName("c"))}
    assert len(names) == 3
    assert max(map(len, names)) <= 63


@pytest.mark.parametrize(("set_to", "used"), [("off", "on"), ("remote_apply", "remote_apply")])
async def test_what_is_committed_is_on_disk(server: Postgres, set_to: str, used: str) -> None:
    """A database that answers before it has written is not asked that way; a stricter one is left alone."""
    url = server.fresh()
    name = url.partition("@/")[2].partition("?")[0]
    server.sql(f"ALTER DATABASE {name} SET synchronous_commit = {set_to}")
    async with SqlJournal(url, ClusterName("c")) as journal, journal.readers.engine.connect() as connection:
        found = await connection.exec_driver_sql("SHOW synchronous_commit")
        assert found.scalar_one() == used


async def test_a_database_that_is_not_there_is_an_error(server: Postgres) -> None:
    """A wrong name is told as the server tells it, with what to look at."""
    with pytest.raises(JournalError, match='"nowhere" does not exist; see that the database runs'):
        async with SqlJournal(server.url("nowhere"), ClusterName("c")):
            pass


async def test_a_database_that_was_started_again_is_used_again(server: Postgres) -> None:
    """Connections that died while nobody used them are no error."""
    async with SqlJournal(server.fresh(), ClusterName("c")) as journal:
        await journal.lead(holder="o_1", at=NOW)
        server.stop()
        server.start()
        await journal.commit(Batch(epoch=FIRST, instances={A: INSTANCE}))


@pytest.mark.parametrize(("statement_s", "transaction_s"), [(0.3, 60.0), (60.0, 0.3)])
async def test_a_database_that_does_not_answer_is_an_error(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, statement_s: float, transaction_s: float
) -> None:
    """A server that has stopped in the middle of it all hangs nobody for long."""
    monkeypatch.setattr(dialect, "STATEMENT_S", statement_s)
    monkeypatch.setattr(dialect, "ANSWER_S", 0.1)
    monkeypatch.setattr("orchestrator.adapters.sql.database.TRANSACTION_S", transaction_s)
    journal = await shared.daemon()
    await journal.lead(holder="o_1", at=NOW)
    stopped = shared.sessions()
    signalled(stopped, signal.SIGSTOP)
    try:
        async with asyncio.timeout(8):
            with pytest.raises(JournalError, match="no answer in time"):
                await journal.renew(FIRST)
    finally:
        signalled(stopped, signal.SIGCONT)


async def test_a_row_that_is_locked_for_long_is_an_error(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself ends a statement that waits for too long."""
    monkeypatch.setattr(dialect, "STATEMENT_S", 0.3)
    journal, other = await shared.daemon(), await shared.daemon()
    await journal.lead(holder="o_1", at=NOW)
    instance = InstanceId(A)
    await journal.commit(Batch(instances={instance: INSTANCE}))
    async with other.readers.engine.begin() as connection:
        await connection.exec_driver_sql("LOCK TABLE instances")
        with pytest.raises(JournalError, match="statement timeout"):
            await journal.commit(Batch(instances={instance: INSTANCE}))


def signalled(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        os.kill(process, number)
