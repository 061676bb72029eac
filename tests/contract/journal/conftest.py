"""Each test of the contract runs on each journal."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from broker.ids import ClusterName
from orchestrator.adapters.memory import MemoryJournal
from orchestrator.adapters.sql.archive import SqlArchive
from orchestrator.adapters.sql.journal import SqlJournal
from tests.contract.journal.places import CLUSTER, Place
from tests.postgres import Postgres, postgres

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(scope="session")
def database(server: Postgres) -> str:
    """One database for all, each test with a cluster of its own in it: so its tables are made once."""
    return server.fresh()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        match request.param:
            case "memory":
                opened = memory()
            case "sqlite":
                url = f"sqlite+aiosqlite:///{tmp_path / 'journal.sqlite'}"
                opened = await sql(stack, url, CLUSTER)
            case _:
                server, url = request.getfixturevalue("server"), request.getfixturevalue("database")
                opened = await sql(stack, url, ClusterName(f"c-{next(NUMBERS)}"), expire(server, url))
        await opened.leads("o_1")
        yield opened


def memory() -> Place:
    journal = MemoryJournal()

    async def same() -> Place:
        return Place(journal, journal, same, nothing)

    return Place(journal, journal, same, nothing)


async def sql(
    stack: AsyncExitStack,
    url: str,
    cluster: ClusterName,
    expired: Callable[[ClusterName], None] = lambda _cluster: None,
) -> Place:
    async def expires() -> None:
        expired(cluster)

    async def reopen() -> Place:
        journal = await stack.enter_async_context(SqlJournal(url, cluster))
        return Place(journal, SqlArchive(journal.readers, cluster), reopen, expires)

    return await reopen()


def expire(server: Postgres, url: str) -> Callable[[ClusterName], None]:
    database = url.partition("@/")[2].partition("?")[0]

    def act(cluster: ClusterName) -> None:
        past = "clock_timestamp() - interval '1 second'"
        server.sql(f"UPDATE leadership SET until = {past} WHERE cluster = '{cluster}'", database)  # noqa: S608

    return act


async def nothing() -> None:
    """Have no lease that could run out."""
