"""Who leads is a row that all daemons of a cluster see; only the database's clock says when a lease ends.

Clocks of hosts differ, so none of them is asked. Three locks of PostgreSQL on that row keep the parties apart
as needed: a batch holds it FOR KEY SHARE from its check to its end, which a takeover (FOR UPDATE) has to wait
for and a renewal (an update of no key) has not. So a batch is either written before a takeover, and read by
the new leader, or not at all. In SQLite there is no lease (`until` is None): a file's lock keeps others out.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Interval,
    Row,
    and_,
    false,
    func,
    literal,
    null,
    select,
    text,
    update,
)

from broker.ids import ClusterName, Epoch
from orchestrator.adapters.sql import rows
from orchestrator.adapters.sql.dialect import insert_new, is_postgresql, session_name, upsert
from orchestrator.adapters.sql.schema import LEADERSHIP
from orchestrator.domain.model import Leadership
from orchestrator.ports import LeadershipLostError

NOBODY: Final = "nobody"

_STUCK: Final = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = current_user AND application_name = :name"
    " AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - CAST(:lease AS interval)"
)


def leader(connection: Connection, cluster: ClusterName) -> Leadership | None:
    """Return who leads or led last, None if nobody ever did."""
    row = connection.execute(select(LEADERSHIP).where(LEADERSHIP.c.cluster == cluster)).one_or_none()
    return None if row is None else _leadership(row)


def lead(
    connection: Connection, cluster: ClusterName, *, holder: str, at: datetime, lease_s: float
) -> Leadership | None:
    """Take the lead with the next epoch, None while a lease runs (the name of its holder doesn't matter).

    Raises the database's own error if a transaction that the last leader has not ended is in the way.
    """
    ends = _ends(connection, lease_s)
    query = select(LEADERSHIP, _runs(connection).label("runs")).where(LEADERSHIP.c.cluster == cluster)
    found = connection.execute(query).one_or_none()
    if found is None:
        first = Leadership(epoch=Epoch(1), holder=holder, since=at)
        row = {"cluster": cluster, "epoch": first.epoch, "record": rows.text(first), "until": ends}
        return None if not insert_new(connection, LEADERSHIP, row) else leader(connection, cluster)
    if found.runs:
        return None
    known = connection.execute(query.with_for_update(nowait=True)).one()
    if known.runs:
        return None
    taken = Leadership(
        epoch=Epoch(known.epoch + 1), holder=holder, since=at, restored=_leadership(known).restored
    )
    values = {"epoch": taken.epoch, "record": rows.text(taken), "until": ends}
    connection.execute(update(LEADERSHIP).where(LEADERSHIP.c.cluster == cluster).values(values))
    return leader(connection, cluster)


def end_stuck(connection: Connection, cluster: ClusterName, lease_s: float) -> None:
    """End the cluster's sessions whose transaction is open for longer than a lease.

    A leader that is stopped within a transaction, or whose host is gone, would hold its lock as long as its
    connection lives; PostgreSQL lets a user end their own sessions.
    """
    values = {"name": session_name(cluster), "lease": timedelta(seconds=lease_s)}
    connection.execute(_STUCK, values)


def check(connection: Connection, cluster: ClusterName, epoch: Epoch) -> None:
    """Raise LeadershipLostError unless `epoch` leads, and keep it so until the transaction ends."""
    query = select(LEADERSHIP).where(LEADERSHIP.c.cluster == cluster)
    row = connection.execute(query.with_for_update(read=True, key_share=True)).one_or_none()
    if row is None or row.epoch != epoch:
        raise _lost(epoch, row)


def raised(connection: Connection, cluster: ClusterName, leadership: Leadership) -> None:
    """Write what has changed in the leader's own leadership; its lease runs on."""
    row = {"cluster": cluster, "epoch": leadership.epoch, "record": rows.text(leadership)}
    upsert(connection, LEADERSHIP, [row])


def renew(
    connection: Connection, cluster: ClusterName, epoch: Epoch, raised_to: Collection[Epoch], lease_s: float
) -> None:
    """Make the lease of `epoch`, or of one that its holder has raised it to, run from now."""
    mine = and_(LEADERSHIP.c.cluster == cluster, LEADERSHIP.c.epoch.in_({epoch, *raised_to}))
    ends = _ends(connection, lease_s)
    if connection.execute(update(LEADERSHIP).where(mine).values(until=ends)).rowcount == 0:
        query = select(LEADERSHIP).where(LEADERSHIP.c.cluster == cluster)
        raise _lost(epoch, connection.execute(query).one_or_none())


def release(connection: Connection, cluster: ClusterName, epochs: Collection[Epoch]) -> None:
    """End the lease of `epochs` if one of them still leads, so that nobody has to wait for its end."""
    mine = and_(LEADERSHIP.c.cluster == cluster, LEADERSHIP.c.epoch.in_(epochs))
    connection.execute(update(LEADERSHIP).where(mine).values(until=_ends(connection, 0)))


def _runs(connection: Connection) -> ColumnElement[Any]:
    return LEADERSHIP.c.until > _now() if is_postgresql(connection) else false()


def _ends(connection: Connection, lease_s: float) -> ColumnElement[Any]:
    if not is_postgresql(connection):
        return null()
    return _now() + literal(timedelta(seconds=lease_s), Interval)


def _now() -> ColumnElement[Any]:
    # Not now(), which stands still within a transaction, also while that waits for a lock.
    return func.clock_timestamp(type_=DateTime(timezone=True))


def _leadership(row: Row[Any]) -> Leadership:
    until = None if row.until is None else row.until.astimezone(UTC)
    return replace(rows.value(row.record, Leadership), epoch=Epoch(row.epoch), until=until)


def _lost(epoch: Epoch, row: Row[Any] | None) -> LeadershipLostError:
    return LeadershipLostError(epoch=epoch, holder=NOBODY if row is None else _leadership(row).holder)
