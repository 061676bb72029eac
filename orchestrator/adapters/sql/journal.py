"""A crash between two writes must leave either both or none: each batch is one transaction.

The journal is opened by one daemon at a time (`lock.py`), and brought to the newest schema first.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, and_, delete, func, insert, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.ids import ClusterName, Epoch
from orchestrator.adapters.sql import rows
from orchestrator.adapters.sql.dialect import open_engine, upsert
from orchestrator.adapters.sql.schema import (
    BUNDLES,
    CHANGES,
    CHUNKS,
    COMMANDS,
    EVENTS,
    HELD,
    INSTANCES,
    LEADERSHIP,
    PAPERS,
    ROLES,
    RUNS,
    STREAMS,
    TICKETS,
)
from orchestrator.domain.model import Bundle, Leadership, Run, Ticket
from orchestrator.domain.views import RunState
from orchestrator.ports import Batch, HeldFact, JournalError, Loaded

MIGRATIONS: Final = Path(__file__).with_name("migrations")
_OPEN: Final = [state.value for state in RunState if not state.is_final]


class SqlJournal:
    """The journal of one cluster; enter it to open and migrate, leave it to close."""

    def __init__(self, url: str, cluster: ClusterName) -> None:
        self._url = url
        self._cluster = cluster
        self._engine: AsyncEngine = open_engine(url)

    async def __aenter__(self) -> Self:
        try:
            async with self._engine.begin() as connection:
                await connection.run_sync(_migrate)
        except CommandError as error:
            await self._engine.dispose()
            action = "it was written by a newer Tarmak: start that one, or restore an older journal"
            raise JournalError(journal=self._url, reason=str(error), action=action) from error
        except DatabaseError as error:
            await self._engine.dispose()
            action = "restore it from a backup, or move it away to begin with an empty one"
            raise JournalError(journal=self._url, reason=str(error.orig), action=action) from error
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._engine.dispose()

    @property
    def engine(self) -> AsyncEngine:
        """The database, for the readers beside the journal."""
        return self._engine

    async def lead(self, *, holder: str, at: datetime) -> Leadership:
        """Take the lead with an epoch above any before."""
        async with self._engine.begin() as connection:
            query = select(LEADERSHIP.c.record).where(LEADERSHIP.c.cluster == self._cluster)
            raw = (await connection.execute(query)).scalar_one_or_none()
            known = None if raw is None else rows.value(raw, Leadership)
            leadership = Leadership(
                epoch=Epoch(known.epoch + 1 if known else 1),
                holder=holder,
                since=at,
                restored=known.restored if known else None,
            )
            await connection.run_sync(self._write, Batch(leadership=leadership))
        return leadership

    async def renew(self, epoch: Epoch) -> None:
        """Make the lease of `epoch` run anew from now; raises LeadershipLostError."""

    async def load(self) -> Loaded:
        """Return all that is open."""
        async with self._engine.connect() as connection:
            return await connection.run_sync(self._load)

    async def commit(self, batch: Batch) -> None:
        """Write `batch` whole or not at all; raises JournalError."""
        try:
            async with self._engine.begin() as connection:
                await connection.run_sync(self._write, batch)
        except DatabaseError as error:
            action = (
                "free its disk or repair it; the orchestrator stops, for it may decide nothing unrecorded"
            )
            raise JournalError(journal=self._url, reason=str(error.orig), action=action) from error

    async def forget(self, before: datetime) -> None:
        """Delete events, final runs and their papers from before a time."""
        old, mine = before.isoformat(), self._cluster
        newest = select(func.max(EVENTS.c.cursor)).where(EVENTS.c.cluster == mine).scalar_subquery()
        stale = and_(
            RUNS.c.cluster == mine,
            RUNS.c.created_at < old,
            RUNS.c.state.not_in(_OPEN),
        )
        chunks = and_(CHUNKS.c.cluster == mine, CHUNKS.c.run.in_(select(RUNS.c.id).where(stale)))
        async with self._engine.begin() as connection:
            # The newest event stays whatever its age: cursors count on from it.
            events = and_(EVENTS.c.cluster == mine, EVENTS.c.at < old, EVENTS.c.cursor < newest)
            await connection.execute(delete(EVENTS).where(events))
            await connection.execute(delete(CHUNKS).where(chunks))
            await connection.execute(delete(RUNS).where(stale))

    def _write(self, connection: Connection, batch: Batch) -> None:
        self._upsert(connection, LEADERSHIP, _leadership_rows(batch))
        self._upsert(
            connection,
            INSTANCES,
            [rows.instance_row(item, revoked=key in batch.revoked) for key, item in batch.instances.items()],
        )
        roles = [{"role": role, "desired": digest} for role, digest in batch.role_desired.items()]
        self._upsert(connection, ROLES, roles)
        self._upsert(
            connection,
            BUNDLES,
            [{"digest": item.digest, "record": rows.text(item)} for item in batch.bundles],
        )
        self._upsert(
            connection,
            TICKETS,
            [
                {"id": item.id, "created_at": item.created_at.isoformat(), "record": rows.text(item)}
                for item in batch.tickets
            ],
        )
        self._upsert(connection, RUNS, [rows.run_row(run) for run in batch.runs.values()])
        self._write_commands(connection, batch)
        self._write_facts(connection, batch)
        self._write_papers(connection, batch)
        self._insert(connection, EVENTS, [rows.event_row(item) for item in batch.events])

    def _write_commands(self, connection: Connection, batch: Batch) -> None:
        self._upsert(connection, COMMANDS, [rows.delivery_row(item) for item in batch.deliveries.values()])
        if batch.dropped:
            connection.execute(
                delete(COMMANDS).where(
                    and_(COMMANDS.c.cluster == self._cluster, COMMANDS.c.id.in_(batch.dropped))
                )
            )

    def _write_facts(self, connection: Connection, batch: Batch) -> None:
        self._upsert(connection, HELD, [rows.held_row(*item) for item in batch.held])
        self._upsert(
            connection, STREAMS, [rows.stream_row(key[0], item) for key, item in batch.streams.items()]
        )
        for (instance, boot), stream in batch.streams.items():
            connection.execute(
                delete(HELD).where(
                    and_(
                        HELD.c.cluster == self._cluster,
                        HELD.c.instance == instance,
                        HELD.c.boot == boot,
                        HELD.c.seq <= stream.handled,
                    )
                )
            )
        self._upsert(connection, CHUNKS, [rows.chunk_row(chunk) for chunk in batch.chunks])

    def _write_papers(self, connection: Connection, batch: Batch) -> None:
        for papers in batch.papers:
            row = {
                "run": papers.run,
                "log": papers.log,
                "left_out": papers.left_out,
                "reason": papers.reason,
            }
            self._upsert(connection, PAPERS, [row])
            changes = [
                {"run": papers.run, "index": index, "record": rows.text(change)}
                for index, change in enumerate(papers.changes)
            ]
            self._upsert(connection, CHANGES, changes)
            connection.execute(
                delete(CHUNKS).where(and_(CHUNKS.c.cluster == self._cluster, CHUNKS.c.run == papers.run))
            )

    def _upsert(self, connection: Connection, table: Any, items: Sequence[dict[str, Any]]) -> None:
        upsert(connection, table, [{"cluster": self._cluster, **item} for item in items])

    def _insert(self, connection: Connection, table: Any, items: Sequence[dict[str, Any]]) -> None:
        if items:
            connection.execute(insert(table), [{"cluster": self._cluster, **item} for item in items])

    def _load(self, connection: Connection) -> Loaded:
        def every(table: Any, *also: Any) -> Sequence[Any]:
            query = select(table).where(and_(table.c.cluster == self._cluster, *also))
            return connection.execute(query).mappings().all()

        runs = every(RUNS, RUNS.c.state.in_(_OPEN))
        tickets = {run["ticket"] for run in runs} - {None}
        leadership = every(LEADERSHIP)
        newest = select(func.max(EVENTS.c.cursor)).where(EVENTS.c.cluster == self._cluster)
        return Loaded(
            leadership=rows.value(leadership[0]["record"], Leadership),
            instances=[rows.instance_of(row) for row in every(INSTANCES, INSTANCES.c.revoked == 0)],
            former=[rows.instance_of(row) for row in every(INSTANCES, INSTANCES.c.revoked == 1)],
            streams=[rows.stream_of(row) for row in every(STREAMS)],
            held=[HeldFact(**{name: row[name] for name in HeldFact.__slots__}) for row in every(HELD)],
            runs=[rows.value(row["record"], Run) for row in runs],
            deliveries=[rows.delivery_of(row) for row in every(COMMANDS)],
            tickets=[rows.value(row["record"], Ticket) for row in every(TICKETS, TICKETS.c.id.in_(tickets))],
            bundles=[rows.value(row["record"], Bundle) for row in every(BUNDLES)],
            role_desired={row["role"]: row["desired"] for row in every(ROLES)},
            papers_due=[rows.value(row["record"], Run) for row in every(RUNS, RUNS.c.papers_due == 1)],
            cursor=connection.execute(newest).scalar_one() or 0,
        )


def _leadership_rows(batch: Batch) -> list[dict[str, Any]]:
    leadership = batch.leadership
    if leadership is None:
        return []
    return [{"epoch": leadership.epoch, "record": rows.text(leadership)}]


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
