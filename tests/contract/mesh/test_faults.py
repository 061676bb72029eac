"""The mesh in memory misbehaves as it is told to, and the same way each time."""

import asyncio
from datetime import datetime
from itertools import pairwise

import pytest

from broker.client import Publication, Received
from broker.keeping import Keeping
from broker.memory import Faults, MemoryBroker, MemoryMesh
from tests.contract.mesh.sites import Reader, virtual_clock

pytestmark = pytest.mark.looptime

COUNT = 80  # fewer than a client takes before it handles the first
HOUR_S = 3600


def will(number: int) -> Publication:
    """Return the testament of a connection."""
    return Publication(topic="presence", payload=b"lost %d" % number)


async def heard(faults: Faults) -> list[tuple[int, float]]:
    """Return which of `COUNT` publications came, and when, over a mesh with `faults`."""
    broker = MemoryBroker(faults=faults)
    began = virtual_clock()
    async with (
        MemoryMesh(broker, client_id="publisher", clock=virtual_clock) as publisher,
        MemoryMesh(broker, client_id="reader", clock=virtual_clock) as mesh,
    ):
        await mesh.subscribe("facts")
        reader = Reader(mesh)
        await reader.connected()
        for number in range(COUNT):
            await publisher.publish(Publication(topic="facts", payload=b"%d" % number))
        await asyncio.sleep(HOUR_S)
    return [
        (int(event.payload), (event.at - began).total_seconds())
        async for event in mesh.events()
        if isinstance(event, Received)
    ]


async def test_without_faults_all_comes_in_order() -> None:
    """A mesh without faults delivers each message once, in order, at once."""
    came = await heard(Faults())
    assert [number for number, _ in came] == list(range(COUNT))
    assert len({at for _, at in came}) == 1


async def test_the_same_seed_brings_the_same_day() -> None:
    """Two runs with one seed deliver the same at the same times; another seed does not."""
    faults = {"lose": 0.1, "double": 0.1, "delay": 0.2, "reorder": 0.2}
    assert await heard(Faults(seed=1, **faults)) == await heard(Faults(seed=1, **faults))
    assert await heard(Faults(seed=1, **faults)) != await heard(Faults(seed=2, **faults))


async def test_a_lossy_mesh_loses() -> None:
    """Some do not come, none comes twice."""
    numbers = [number for number, _ in await heard(Faults(lose=0.2))]
    assert 0 < len(numbers) < COUNT
    assert numbers == sorted(set(numbers))


async def test_a_doubling_mesh_doubles() -> None:
    """All come, some twice."""
    numbers = [number for number, _ in await heard(Faults(double=0.2))]
    assert set(numbers) == set(range(COUNT))
    assert len(numbers) > COUNT


async def test_a_reordering_mesh_reorders() -> None:
    """All come once, in another order."""
    numbers = [number for number, _ in await heard(Faults(reorder=0.2))]
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(COUNT))


async def test_a_late_will_comes_after_its_client_is_back() -> None:
    """The testament of an earlier connection may be published while a later one stands."""
    broker = MemoryBroker(faults=Faults(late_will=1))
    async with (
        MemoryMesh(broker, client_id="orchestrator", clock=virtual_clock) as orchestrator,
        MemoryMesh(broker, client_id="wing", will=will, clock=virtual_clock) as wing,
    ):
        await orchestrator.subscribe("presence")
        reader, own = Reader(orchestrator), Reader(wing)
        await reader.connected()
        await own.connected()
        broker.cut("wing")
        assert (await own.connected()).connection == 2
        assert (await reader.message()).payload == b"lost 1"


async def test_a_missing_will_never_comes() -> None:
    """A client may die without anybody being told: presence must not depend on a will."""
    broker = MemoryBroker(faults=Faults(missing_will=1))
    async with MemoryMesh(broker, client_id="orchestrator", clock=virtual_clock) as orchestrator:
        await orchestrator.subscribe("presence")
        await Reader(orchestrator).connected()
        async with MemoryMesh(broker, client_id="wing", will=will, clock=virtual_clock) as wing:
            await Reader(wing).connected()
            wing.vanish()
            await asyncio.sleep(HOUR_S)
    assert [event async for event in orchestrator.events()] == []


async def test_a_broker_killed_within_the_delay_never_publishes_the_will() -> None:
    """A will is kept by the broker alone, and dies with it."""
    broker = MemoryBroker(will_delay_s=5)
    async with MemoryMesh(broker, client_id="wing", will=will, clock=virtual_clock) as wing:
        await Reader(wing).connected()
        wing.vanish()
        broker.restart()
    async with MemoryMesh(broker, client_id="orchestrator", clock=virtual_clock) as orchestrator:
        await orchestrator.subscribe("presence")
        await Reader(orchestrator).connected()
        await asyncio.sleep(HOUR_S)
    assert [event async for event in orchestrator.events()] == []


async def test_a_session_ends_after_a_day() -> None:
    """What waits for a client that stays away longer than its session is kept no more."""
    broker = MemoryBroker(session_expiry_s=24 * HOUR_S)
    async with MemoryMesh(broker, client_id="orchestrator", clock=virtual_clock) as orchestrator:
        for away_h, expected in ((23, 1), (25, 0)):
            async with MemoryMesh(broker, client_id="wing", clock=virtual_clock) as wing:
                await wing.subscribe("commands")
                await Reader(wing).connected()
            await orchestrator.publish(Publication(topic="commands", payload=b"converge"))
            await asyncio.sleep(away_h * HOUR_S)
            async with MemoryMesh(broker, client_id="wing", clock=virtual_clock) as wing:
                await Reader(wing).connected()
                await asyncio.sleep(HOUR_S)
            assert len([event async for event in wing.events()]) == expected
            await asyncio.sleep(48 * HOUR_S)


async def test_attempts_without_a_broker_become_rare() -> None:
    """The pauses between attempts grow to the longest and stay there; slowly, they take minutes."""
    broker = MemoryBroker()
    broker.stop()
    keeping = Keeping(pause_s=1, longest_pause_s=30)
    async with MemoryMesh(broker, client_id="wing", keeping=keeping, clock=virtual_clock) as wing:
        reader = Reader(wing)
        times = [(await reader.disconnected()).at for _ in range(30)]
        wing.reconnect_slowly(slowly=True)
        await asyncio.sleep(HOUR_S)
    later = [event.at async for event in wing.events()][2:]
    assert pauses_s(times)[0] <= 1
    assert 15 < max(pauses_s(times)) <= 30
    assert len(later) > 10
    assert all(120 <= pause_s <= 240 for pause_s in pauses_s(later))


def pauses_s(times: list[datetime]) -> list[float]:
    """Return the seconds between each two of `times`."""
    return [(after - before).total_seconds() for before, after in pairwise(times)]
