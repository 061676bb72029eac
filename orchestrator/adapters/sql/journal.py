"""A crash between two writes must leave either both or none: each batch is one transaction.

SQLite's file is opened by one daemon at a time (`lock.py`); a database on PostgreSQL by any number of them,
of which one leads (`lease.py`). Either is brought to the newest schema first.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from broker.ids import ClusterName, Epoch
from orchestrator.adapters.sql import lease
from orchestrator.adapters.sql.database import Database
from orchestrator.adapters.sql.dialect import check_url, is_locked, is_postgresql, is_shared
from orchestrator.adapters.sql.errors import told_at_start, told_of_url
from orchestrator.adapters.sql.loader import Loader
from orchestrator.adapters.sql.retention import forget
from orchestrator.adapters.sql.writer import Writer
from orchestrator.domain.lease import LEASE_S
from orchestrator.domain.model import Leadership
from orchestrator.ports import JournalError
from orchestrator.records import Batch, Loaded

MIGRATIONS: Final = Path(__file__).with_name("migrations")
MIGRATING: Final = 0x7461726D616B  # "tarmak": any number that nobody else takes


class SqlJournal:
    """The journal of one cluster; enter it to open and migrate, leave it to close.

    `lease_s` is how long a lease runs that is not renewed. Leaving ends the lease that is held. Making one
    raises JournalError for a URL that names no such database.
    """

    def __init__(self, url: str, cluster: ClusterName, *, lease_s: float = LEASE_S) -> None:
        with told_of_url():
            check_url(url)
        self.is_shared: Final = is_shared(url)
        self._url = url
        self._cluster = cluster
        self._lease_s = lease_s
        self._database = Database(url, cluster)
        # Connections of their own, so that no number of readers keeps a lease from being renewed.
        self.readers: Final = Database(url, cluster)
        self._raised: set[Epoch] = set()
        self._leads: Epoch | None = None

    async def __aenter__(self) -> Self:
        try:
            with told_at_start(self._url):
                await self._upkeep(_migrate)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self.resign()
        finally:
            await self._close()

    async def lead(self, *, holder: str, at: datetime) -> Leadership | None:
        """Take the lead with an epoch above any before; None while another's lease runs."""

        def act(connection: Connection) -> Leadership | None:
            return lease.lead(connection, self._cluster, holder=holder, at=at, lease_s=self._lease_s)

        try:
            taken = await self._database.run(act)
        except JournalError as error:
            if not is_locked(error.__cause__):
                raise
            await self._database.run(self._end_stuck)
            return None
        self._raised.clear()
        self._leads = None if taken is None else taken.epoch
        return taken

    async def leader(self) -> Leadership | None:
        """Return who leads or led last, None if nobody ever did."""
        return await self._database.run(lambda connection: lease.leader(connection, self._cluster))

    async def renew(self, epoch: Epoch) -> None:
        """Make the lease of `epoch` run anew from now; raises LeadershipLostError.

        What a batch of ours has raised `epoch` to is as good, so that a renewal need not wait for batches.
        """

        def act(connection: Connection) -> None:
            lease.renew(connection, self._cluster, epoch, self._raised, self._lease_s)

        await self._database.run(act)

    async def resign(self) -> None:
        """End the lease that is held, so that nobody has to wait until it has run out."""
        if self._leads is None or not self.is_shared:
            return
        epochs, self._leads = {self._leads, *self._raised}, None
        with suppress(JournalError):  # then it runs out by itself
            await self._database.run(lambda connection: lease.release(connection, self._cluster, epochs))

    async def load(self) -> Loaded:
        """Return all that is open."""
        return await self._database.run(lambda connection: Loader(connection, self._cluster).load())

    async def commit(self, batch: Batch) -> None:
        """Write `batch` whole or not at all; raises JournalError, and LeadershipLostError (see `Batch`)."""
        if batch.leadership is not None:
            self._raised.add(batch.leadership.epoch)

        def act(connection: Connection) -> None:
            if batch.epoch is not None:
                lease.check(connection, self._cluster, batch.epoch)
            Writer(connection, self._cluster).write(batch)

        await self._database.run(act)

    async def forget(self, before: datetime) -> None:
        """Delete what is old and over: events, runs and their papers, rollouts and their steps, orders."""
        await self._upkeep(lambda connection: forget(connection, self._cluster, before))

    async def _upkeep(self, act: Callable[[Connection], None]) -> None:
        patient = Database(self._url, self._cluster, patient=True)
        try:
            await patient.run(act)
        finally:
            await patient.close()

    def _end_stuck(self, connection: Connection) -> None:
        lease.end_stuck(connection, self._cluster, self._lease_s)

    async def _close(self) -> None:
        await self._database.close()
        await self.readers.close()


def _migrate(connection: Connection) -> None:
    if is_postgresql(connection):
        # Two daemons that start at once would both make the tables; the second finds them made.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
