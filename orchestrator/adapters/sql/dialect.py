"""What differs between databases, and nothing else: how each is opened, upserts, and what its errors mean.

A database that is away must become an error soon, for a leader that waits for it can neither renew its lease
nor learn that it has lost it. So every wait has an end, on our side and, for what our side can't end any more
because it is stopped or gone, on the server's.
"""

import hashlib
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from broker.ids import ClusterName

DRIVERS: Final = ("sqlite+aiosqlite", "postgresql+asyncpg")
CONNECT_S: Final = 5.0
STATEMENT_S: Final = 10.0
TRANSACTION_S: Final = 15.0
"""A whole transaction; beyond it not even the server's own account of what it waits for is waited for."""

PATIENT_S: Final = 900.0
"""For migrations and retention, which may have much to do and keep nobody waiting."""

IDLE_S: Final = 5.0
"""Less than a lease: the server ends a leader that is stopped within a transaction, and its locks with it."""

ANSWER_S: Final = 2.0
"""How much longer we wait than the server works: its own account of a timeout is the better one."""

DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
"""Only where a database was set to answer before it has written; what is stricter than `on` stays."""

LOCK_NOT_AVAILABLE: Final = "55P03"
NAME_LENGTH: Final = 63
"""PostgreSQL cuts names of sessions off there."""

UNAVAILABLE: Final = (DBAPIError, PoolTimeoutError, OSError)
"""What a database that can't do what it is asked raises."""


def check_url(url: str) -> None:
    """Raise ValueError, without the URL, unless it names a database that a journal can be in."""
    try:
        drivername = make_url(url).drivername
    except ArgumentError as error:
        raise ValueError("it is no URL of a database") from error
    if drivername not in DRIVERS:
        raise ValueError(f"{drivername!r} is none of {', '.join(DRIVERS)}")


def open_engine(url: str, cluster: ClusterName, *, patient: bool = False) -> AsyncEngine:
    """Return an engine whose every transaction is on disk when it is committed."""
    if make_url(url).get_backend_name() == "postgresql":
        return _open_postgresql(url, cluster, patient=patient)
    engine = create_async_engine(url)
    event.listen(engine.sync_engine, "connect", _durable)
    return engine


def shown(url: str) -> str:
    """Return a database's URL as it may be told: without its password."""
    return make_url(url).render_as_string(hide_password=True)


def is_shared(url: str) -> bool:
    """Tell whether several daemons may have the database open, so that a lease is needed."""
    return make_url(url).get_backend_name() == "postgresql"


def database_file(url: str) -> Path | None:
    """Return the file of a SQLite database, None for what is no file of this machine."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database)


def is_postgresql(connection: Connection) -> bool:
    """Tell whether this is PostgreSQL."""
    return connection.dialect.name == "postgresql"


def is_locked(error: BaseException | None) -> bool:
    """Tell whether a lock was not to be had at once."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE


def session_name(cluster: ClusterName) -> str:
    """Return the name of the sessions in which a cluster's daemons write: what can be told apart by it."""
    whole = f"tarmak {cluster}"
    if len(whole) <= NAME_LENGTH:
        return whole
    return f"{whole[:50]} {hashlib.sha256(whole.encode()).hexdigest()[:12]}"


def upsert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert `rows`, or replace those with the same key."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    rest = [name for name in rows[0] if name not in keys]
    statement = _insert(connection)(table)
    if rest:
        changed = {name: statement.excluded[name] for name in rest}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement, rows)


def insert_new(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert `row` unless there is one with its key; returns whether it was."""
    statement = _insert(connection)(table).values(row).on_conflict_do_nothing()
    return connection.execute(statement).rowcount == 1


def _insert(connection: Connection) -> Any:
    return postgresql.insert if is_postgresql(connection) else sqlite.insert


def _open_postgresql(url: str, cluster: ClusterName, *, patient: bool) -> AsyncEngine:
    work_s = PATIENT_S if patient else STATEMENT_S
    settings = {
        "application_name": "tarmak upkeep" if patient else session_name(cluster),
        "statement_timeout": _milliseconds(work_s),
        "idle_in_transaction_session_timeout": _milliseconds(IDLE_S),
        "TimeZone": "UTC",
    }
    return create_async_engine(
        url,
        isolation_level="READ COMMITTED",  # the lease's locks are made for it
        pool_pre_ping=True,  # a server that was restarted leaves dead connections behind
        pool_timeout=CONNECT_S,
        connect_args={
            "async_creator_fn": _connect,
            "timeout": CONNECT_S,
            "command_timeout": work_s + ANSWER_S,
            "server_settings": settings,
        },
    )


async def _connect(*words: Any, **settings: Any) -> Any:
    """Connect; raises OSError also where asyncpg has errors of its own, which SQLAlchemy does not wrap."""
    import asyncpg  # type: ignore[import-untyped] # noqa: PLC0415 - a site with SQLite has no use for it

    try:
        connection = await asyncpg.connect(*words, **settings)
        await connection.execute(DURABLE)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, TypeError) as error:
        # A TypeError names a word of the URL's that asyncpg does not take.
        raise ConnectionError(str(error)) from error
    return connection


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


def _durable(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
