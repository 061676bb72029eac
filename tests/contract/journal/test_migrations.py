"""A journal of any earlier Tarmak is brought to this one's schema, with all that is in it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from broker.ids import Epoch
from orchestrator.adapters.sql import rows
from orchestrator.adapters.sql.archive import SqlArchive
from orchestrator.adapters.sql.journal import MIGRATIONS, SqlJournal
from orchestrator.adapters.sql.schema import METADATA
from orchestrator.domain.model import Leadership
from tests.contract.journal.places import CLUSTER, INSTANCE, TICKET
from tests.postgres import Postgres
from tests.unit.orchestrator.domain.playbook import DIGEST, NOW, A, run


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'journal.sqlite'}"
    server: Postgres = request.getfixturevalue("server")
    return server.fresh()


async def test_the_migrations_make_the_schema(url: str) -> None:
    """A database that was migrated is one that the schema would have made."""

    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    async with SqlJournal(url, CLUSTER) as journal, journal.readers.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_journal_of_the_first_schema_is_read(url: str) -> None:
    """What was written before rollouts were known is there, with what they need by default."""
    plan = replace(TICKET, noop=True)
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(first_schema)
        leadership = Leadership(epoch=Epoch(3), holder="o_1", since=NOW)
        await put(connection, "leadership", cluster="c", epoch=3, record=without(leadership, "until"))
        instance = rows.instance_row(INSTANCE, revoked=False)
        record = json.loads(instance["record"])
        await put(
            connection,
            "instances",
            cluster="c",
            **{**instance, "record": without(record, "cordon", "tried")},
        )
        await put(connection, "tickets", cluster="c", id="t", created_at="", record=without(plan))
        old = rows.run_row(run())
        await put(connection, "runs", cluster="c", **{**old, "record": without(run(), "rollout", "diff")})
    await engine.dispose()
    async with SqlJournal(url, CLUSTER) as journal:
        taken = await journal.lead(holder="o_2", at=NOW)
        assert taken is not None
        assert taken.epoch == Epoch(4)
        loaded = await journal.load()
        assert list(loaded.instances) == [INSTANCE]
        assert (list(loaded.runs), list(loaded.tickets)) == ([run()], [plan])
        assert (loaded.newest_rollout, loaded.newest_drain) == (0, 0)
        archive = SqlArchive(journal.readers, CLUSTER)
        assert list(await archive.plans(DIGEST, limit=5)) == [plan]
        assert [found.instance for found in loaded.runs] == [A]


def first_schema(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")


async def put(connection: Any, table: str, **row: Any) -> None:
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    await connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)  # noqa: S608


def without(record: object, *names: str) -> str:
    """Return a record as JSON, without fields that came later."""
    whole: Mapping[str, object] = json.loads(msgspec.json.encode(record))
    return json.dumps({name: each for name, each in whole.items() if name not in names})
