"""What was is paged through, so that no reader can make the daemon hold a month in memory."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, select

from broker.ids import ClusterName, Digest, OrderId, RolloutId, RunId
from orchestrator.adapters.sql import rollout_rows, rows
from orchestrator.adapters.sql.database import Database
from orchestrator.adapters.sql.schema import (
    CHANGES,
    CHUNKS,
    EVENTS,
    ORDERS,
    PAPERS,
    ROLLOUTS,
    RUNS,
    STEPS,
    TICKETS,
)
from orchestrator.domain.model import Order, Papers, Run, Ticket
from orchestrator.domain.rollout.model import Rollout, number_of
from orchestrator.domain.views import ChangeView
from orchestrator.ports import EventQuery, RunQuery
from orchestrator.records import Numbered


class SqlArchive:
    """Reads what the journal has written: `RunArchive`, `RolloutArchive` and `EventLog`."""

    def __init__(self, database: Database, cluster: ClusterName) -> None:
        self._database = database
        self._cluster = cluster

    async def run(self, run: RunId) -> Run | None:
        """Return a run, None if there is none of that id."""
        found = await self._rows(
            select(RUNS.c.record).where(and_(RUNS.c.cluster == self._cluster, RUNS.c.id == run))
        )
        return rows.value(found[0]["record"], Run) if found else None

    async def runs(self, query: RunQuery) -> Sequence[Run]:
        """Return runs, newest first."""
        where: list[Any] = [RUNS.c.cluster == self._cluster]
        if query.instances is not None:
            where.append(RUNS.c.instance.in_(query.instances))
        if query.states:
            where.append(RUNS.c.state.in_([state.value for state in query.states]))
        if query.ticket is not None:
            where.append(RUNS.c.ticket == query.ticket)
        if query.before is not None:
            where.append(RUNS.c.id < query.before)
        statement = select(RUNS.c.record).where(and_(*where)).order_by(RUNS.c.id.desc()).limit(query.limit)
        return [rows.value(row["record"], Run) for row in await self._rows(statement)]

    async def papers(self, run: RunId) -> Papers | None:
        """Return what a run's attachments held, None while they are not complete."""
        of_run = and_(PAPERS.c.cluster == self._cluster, PAPERS.c.run == run)
        found = await self._rows(select(PAPERS).where(of_run))
        if not found:
            return None
        changes = await self._rows(
            select(CHANGES.c.record)
            .where(and_(CHANGES.c.cluster == self._cluster, CHANGES.c.run == run))
            .order_by(CHANGES.c.index)
        )
        return Papers(
            run=run,
            changes=tuple(rows.value(row["record"], ChangeView) for row in changes),
            left_out=found[0]["left_out"],
            log=found[0]["log"],
            reason=found[0]["reason"],
        )

    async def chunks(self, run: RunId, name: str) -> Sequence[tuple[int, bytes]]:
        """Return the parts of an attachment that have come, by index."""
        where = and_(CHUNKS.c.cluster == self._cluster, CHUNKS.c.run == run, CHUNKS.c.name == name)
        found = await self._rows(
            select(CHUNKS.c.index, CHUNKS.c.content).where(where).order_by(CHUNKS.c.index)
        )
        return [(row["index"], row["content"]) for row in found]

    async def ticket(self, ticket: str) -> Ticket | None:
        """Return a request, None if there is none of that id."""
        where = and_(TICKETS.c.cluster == self._cluster, TICKETS.c.id == ticket)
        found = await self._rows(select(TICKETS.c.record).where(where))
        return rows.value(found[0]["record"], Ticket) if found else None

    async def rollout(self, rollout: RolloutId) -> Rollout | None:
        """Return a rollout with its steps, None if there is none of that id."""
        found = await self._rows(
            select(ROLLOUTS).where(and_(ROLLOUTS.c.cluster == self._cluster, ROLLOUTS.c.id == rollout))
        )
        steps = await self._rows(
            select(STEPS).where(and_(STEPS.c.cluster == self._cluster, STEPS.c.rollout == rollout))
        )
        return rollout_rows.rollout_of(found[0], rollout_rows.steps_of(steps).get(rollout)) if found else None

    async def rollouts(self, *, limit: int, before: RolloutId | None) -> Sequence[Rollout]:
        """Return rollouts without their steps, newest first."""
        where: list[Any] = [ROLLOUTS.c.cluster == self._cluster]
        if before is not None:
            where.append(ROLLOUTS.c.number < number_of(before))
        query = select(ROLLOUTS).where(and_(*where)).order_by(ROLLOUTS.c.number.desc()).limit(limit)
        return [rollout_rows.rollout_of(row) for row in await self._rows(query)]

    async def orders(self, owner: str) -> Sequence[Order]:
        """Return the orders of a rollout or a bare drain, newest first."""
        where = and_(ORDERS.c.cluster == self._cluster, ORDERS.c.owner == owner)
        found = await self._rows(select(ORDERS).where(where).order_by(ORDERS.c.id.desc()))
        return [rollout_rows.order_of(row) for row in found]

    async def order(self, order: OrderId) -> Order | None:
        """Return an order, None if there is none of that id."""
        where = and_(ORDERS.c.cluster == self._cluster, ORDERS.c.id == order)
        found = await self._rows(select(ORDERS).where(where))
        return rollout_rows.order_of(found[0]) if found else None

    async def plans(self, digest: Digest, *, limit: int) -> Sequence[Ticket]:
        """Return the requests for dry runs of a bundle, newest first."""
        where = and_(TICKETS.c.cluster == self._cluster, TICKETS.c.digest == digest, TICKETS.c.noop == 1)
        query = select(TICKETS.c.record).where(where).order_by(TICKETS.c.id.desc()).limit(limit)
        return [rows.value(row["record"], Ticket) for row in await self._rows(query)]

    async def events(self, query: EventQuery) -> Sequence[Numbered]:
        """Return the next page of events."""
        where: list[Any] = [EVENTS.c.cluster == self._cluster, EVENTS.c.cursor > query.cursor]
        if query.since is not None:
            where.append(EVENTS.c.at >= query.since.isoformat())
        for column, values in (
            (EVENTS.c.role, query.roles),
            (EVENTS.c.instance, query.instances),
            (EVENTS.c.kind, query.kinds),
        ):
            if values:
                where.append(column.in_(values))
        statement = select(EVENTS).where(and_(*where)).order_by(EVENTS.c.cursor).limit(query.limit)
        return [rows.event_of(row) for row in await self._rows(statement)]

    async def _rows(self, statement: Select[Any]) -> Sequence[RowMapping]:
        def act(connection: Connection) -> Sequence[RowMapping]:
            return connection.execute(statement).mappings().all()

        return await self._database.run(act)
