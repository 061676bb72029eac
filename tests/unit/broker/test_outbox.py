"""The queue of what is to be published: bounded, in order, kept over a lost connection."""

import asyncio

from broker.client import Publication
from broker.outbox import OVERHEAD, SENDINGS, Outbox

ONE = OVERHEAD + 10


def publication(name: str, *, qos: int = 1) -> Publication:
    """Return a publication that weighs `ONE`."""
    return Publication(topic="topic", payload=name.encode().ljust(5), qos=qos)


async def names(outbox: Outbox, count: int) -> list[str]:
    """Take `count` publications and return their names."""
    return [(await outbox.take()).publication.payload.decode().strip() for _ in range(count)]


async def test_what_was_being_sent_takes_its_old_place() -> None:
    """After a lost connection the order is the one in which publications were queued."""
    outbox = Outbox(limit=10 * ONE)
    for name in "abcd":
        await outbox.put(publication(name))
    first, second, third = [await outbox.take() for _ in range(3)]
    for queued in (third, first, second):
        outbox.put_back(queued)
    assert await names(outbox, 4) == ["a", "b", "c", "d"]


async def test_room_is_made_by_what_was_handed_over_only() -> None:
    """What is being sent still counts: a queue that is on its way is as full as before."""
    outbox = Outbox(limit=2 * ONE)
    assert outbox.offer(publication("a"))
    assert outbox.offer(publication("b"))
    queued = await outbox.take()
    assert not outbox.offer(publication("c"))
    outbox.done(queued)
    assert outbox.offer(publication("c"))


async def test_whoever_waits_longer_goes_first() -> None:
    """Two that wait for room get it in turn."""
    outbox = Outbox(limit=ONE)
    await outbox.put(publication("a"))
    async with asyncio.TaskGroup() as tasks:
        for name in "bc":
            tasks.create_task(outbox.put(publication(name)))
        sent = []
        for _ in range(3):
            queued = await outbox.take()
            sent += [queued.publication.payload.strip()]
            outbox.done(queued)
    assert sent == [b"a", b"b", b"c"]


async def test_a_publication_larger_than_the_queue_passes_alone() -> None:
    """A single publication always fits, or it could never be sent."""
    outbox = Outbox(limit=ONE)
    large = Publication(topic="topic", payload=bytes(100 * ONE))
    assert outbox.offer(large)
    assert not outbox.offer(publication("a"))


async def test_what_breaks_every_connection_is_given_up() -> None:
    """A publication that a broker can't stand must not keep its client from the mesh for ever."""
    outbox = Outbox(limit=10 * ONE)
    await outbox.put(publication("poison"))
    for _ in range(SENDINGS):
        assert not outbox.is_empty
        outbox.put_back(await outbox.take())
    assert outbox.is_empty


async def test_a_live_line_is_not_sent_again() -> None:
    """A publication of QoS 0 is lost with the connection that it was being sent on."""
    outbox = Outbox(limit=10 * ONE)
    assert outbox.offer(publication("line", qos=0))
    outbox.put_back(await outbox.take())
    assert outbox.is_empty


async def test_closing_lets_go_who_waits() -> None:
    """When the client is left, whoever waits for room is told that the publication was not taken."""
    outbox = Outbox(limit=ONE)
    await outbox.put(publication("a"))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(outbox.put(publication("b")))
        outbox.close()
    assert waiting.result() is False
    assert await names(outbox, 1) == ["a"]
