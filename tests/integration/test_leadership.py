"""Two orchestrators on one PostgreSQL: one leads, and is followed by the other whatever happens to it.

How soon is recorded with the tests' results, not asserted: the lease's arithmetic has its own tests in
virtual time.
"""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from broker.ids import Digest
from orchestrator.domain.views import PresenceState, Selector
from orchestrator.exchange import ClientError, ProblemError
from puppet_bridge.bundle import build
from tests.dev_mesh import write_bundle
from tests.integration.pair import DEADLINE_S, LOOK_S, Daemon, Pair, pair
from tests.postgres import Postgres, postgres

RECORD = Callable[[str, object], None]
EVERYTHING = Selector(everything=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def journal(server: Postgres) -> str:
    return server.fresh()


@pytest.fixture
async def both(tmp_path: Path, journal: str) -> AsyncIterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="tarmak-") as sockets:
        async with pair(tmp_path, Path(sockets), journal) as made:
            yield made


def database(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


def epoch(server: Postgres, journal: str) -> int:
    return int(server.sql("SELECT epoch FROM leadership", database(journal)))


async def soon(true: Callable[[], bool]) -> None:
    """Wait until something is so, as it can be seen from outside only."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await asyncio.to_thread(true):
                return
            await asyncio.sleep(LOOK_S)


async def until_obeyed(leader: Daemon) -> None:
    """Wait until the wing is there and answers this leader's commands."""

    def obeys() -> bool:
        (view,) = leader.client.instances()
        if view.presence is not PresenceState.ONLINE:
            return False
        (pong,) = leader.client.ping(EVERYTHING, timeout_s=5)
        return pong.round_trip_s is not None

    await soon(obeys)


async def test_the_other_leads_when_the_leader_is_killed(
    both: Pair, server: Postgres, journal: str, record_property: RECORD
) -> None:
    """In a higher epoch that the wing obeys; the one that comes back stands by."""
    first, second = await both.started()
    async with both.wing():
        await until_obeyed(first)
        before = epoch(server, journal)
        with pytest.raises(ProblemError, match=f"{first.name} leads") as refused:
            await asyncio.to_thread(second.client.instances)
        assert refused.value.status == 503

        loop = asyncio.get_running_loop()
        killed_at = loop.time()
        first.send(signal.SIGKILL)
        await first.ended()
        after = (await second.until("leading"))["epoch"]
        record_property("takeover_s", loop.time() - killed_at)
        assert after > before
        await until_obeyed(second)

        await first.start()
        assert (await first.until("standing by"))["holder"] == second.name
        assert epoch(server, journal) == after


async def test_a_leader_that_was_stopped_writes_nothing_more(
    both: Pair, server: Postgres, journal: str, record_property: RECORD
) -> None:
    """It had a request to carry out when it was stopped: once it goes on it notices, and stands by."""
    first, second = await both.started()
    async with both.wing():
        await until_obeyed(first)
        digest = await asyncio.to_thread(pushed, both, first)
        loop = asyncio.get_running_loop()
        stopped_at = loop.time()
        first.send(signal.SIGSTOP)
        asked = asyncio.get_running_loop().run_in_executor(None, converge, first, digest)
        after = (await second.until("leading"))["epoch"]
        record_property("takeover_s", loop.time() - stopped_at)

        first.send(signal.SIGCONT)
        assert (await first.until("leadership lost"))["epoch"] < after
        assert (await first.until("standing by"))["holder"] == second.name
        assert isinstance(await asked, ClientError)
        await until_obeyed(second)
        assert await asyncio.to_thread(second.client.runs) == []
        assert server.sql("SELECT count(*) FROM tickets", database(journal)) == "0"
        assert epoch(server, journal) == after


async def test_a_leader_that_stops_in_order_gives_its_lease_back(
    both: Pair, server: Postgres, journal: str
) -> None:
    """Nobody has to wait until it has run out: the other one may have it as soon as the process has ended."""
    first, second = await both.started()
    first.send(signal.SIGTERM)
    assert await first.ended() == 0
    given_back = "SELECT epoch = 2 OR until <= clock_timestamp() FROM leadership"
    assert server.sql(given_back, database(journal)) == "t"
    await second.until("leading")


async def test_both_outlive_their_database(both: Pair, server: Postgres) -> None:
    """Without it nobody leads, and neither process ends; when it is back one of them leads on."""
    first, second = await both.started()
    server.stop()
    try:
        await first.until("leadership lost")
        await second.until("journal not reached")
        await soon(lambda: stands_by(first))
    finally:
        server.start()
    leading: list[int] = []

    def one_leads() -> bool:
        leading.extend(line["epoch"] for each in (first, second) if (line := each.logged("leading")))
        return bool(leading)

    await soon(one_leads)
    assert leading == [2]


def stands_by(daemon: Daemon) -> bool:
    try:
        daemon.client.instances()
    except ProblemError as error:
        return error.kind == "standing-by"
    except ClientError:
        return False
    return False


def pushed(both: Pair, leader: Daemon) -> Digest:
    """Push a bundle and return its digest."""
    shelf = both.folder / "shelf"
    shelf.mkdir()
    built = build(write_bundle(both.folder / "site", ""), shelf)
    with built.path.open("rb") as packed:
        return leader.client.push(packed).digest


def converge(leader: Daemon, digest: Digest) -> object:
    """Ask for a run, and return the answer or the error."""
    try:
        return leader.client.converge(EVERYTHING, digest=digest, noop=False, parallel=None, timeout_s=60)
    except ClientError as error:
        return error


async def test_a_second_daemon_on_one_file_refuses_to_start(tmp_path: Path) -> None:
    """With SQLite there is no lease: whoever comes second is told who has the file, and ends."""
    (tmp_path / "shared").mkdir()
    url = f"sqlite+aiosqlite:///{tmp_path / 'shared' / 'journal.sqlite'}"
    with tempfile.TemporaryDirectory(prefix="tarmak-") as sockets:
        async with pair(tmp_path, Path(sockets), url) as made:
            first, second = made.daemons
            await first.start()
            await first.until("leading")
            await second.start()
            assert await second.ended() == 1
            said = second.log.read_text()
            assert f"held by {first.name}, pid {first.process and first.process.pid}; stop it first" in said
