"""What is old and over is deleted, but never what numbers are counted on from."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select

from broker.ids import ClusterName
from orchestrator.adapters.sql.loader import OPEN_ROLLOUTS, OPEN_RUNS
from orchestrator.adapters.sql.schema import CHUNKS, EVENTS, ORDERS, ROLLOUTS, RUNS, TOKENS


def forget(connection: Connection, cluster: ClusterName, before: datetime) -> None:
    """Delete events, final runs with their papers, final rollouts with their steps, final orders, old tokens.

    The newest event, rollout and bare drain stay whatever their age: a new process counts on from them.
    """
    old = before.isoformat()

    def newest(column: Any) -> Any:
        return select(func.max(column)).where(column.table.c.cluster == cluster).scalar_subquery()

    def stale(table: Any, at: Any, *also: ColumnElement[bool]) -> ColumnElement[bool]:
        return and_(table.c.cluster == cluster, at < old, *also)

    runs = stale(RUNS, RUNS.c.created_at, RUNS.c.state.not_in(OPEN_RUNS))
    of_runs = CHUNKS.c.run.in_(select(RUNS.c.id).where(runs))
    connection.execute(
        delete(EVENTS).where(stale(EVENTS, EVENTS.c.at, EVENTS.c.cursor < newest(EVENTS.c.cursor)))
    )
    connection.execute(delete(CHUNKS).where(and_(CHUNKS.c.cluster == cluster, of_runs)))
    connection.execute(delete(RUNS).where(runs))
    connection.execute(delete(TOKENS).where(stale(TOKENS, TOKENS.c.expires_at)))
    connection.execute(
        delete(ORDERS).where(
            stale(
                ORDERS,
                ORDERS.c.created_at,
                ORDERS.c.state.not_in(OPEN_RUNS),
                (ORDERS.c.drain == 0) | (ORDERS.c.drain < newest(ORDERS.c.drain)),
            )
        )
    )
    connection.execute(
        delete(ROLLOUTS).where(
            stale(
                ROLLOUTS,
                ROLLOUTS.c.finished_at,
                ROLLOUTS.c.state.not_in(OPEN_ROLLOUTS),
                ROLLOUTS.c.number < newest(ROLLOUTS.c.number),
            )
        )
    )
