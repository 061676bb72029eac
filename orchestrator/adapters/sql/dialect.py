"""What differs between databases, and nothing else: upserts, and how SQLite is opened."""

from typing import Any

from sqlalchemy import Connection, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def open_engine(url: str) -> AsyncEngine:
    """Return an engine whose every transaction is on disk when it is committed."""
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _durable)
    return engine


def upsert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert `rows`, or replace those with the same key."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    rest = [name for name in rows[0] if name not in keys]
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    if rest:
        changed = {name: statement.excluded[name] for name in rest}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement, rows)


def _durable(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
