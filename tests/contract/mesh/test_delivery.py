"""What a mesh delivers, and to whom."""

import asyncio
from dataclasses import replace

import pytest

from broker.client import Connected, Publication, Signature
from broker.errors import MessageTooLargeError, NotConnectedError
from broker.ids import ClusterName, InstanceId, Role
from broker.keeping import KeptMesh
from broker.messages import MAX_MESSAGE
from broker.topics import Topics
from tests.contract.mesh.sites import QUICK, Reader, Site

TOPICS = Topics(ClusterName("main"))
WORKER = Role("worker")
ONE = InstanceId("worker-1")
TWO = InstanceId("worker-2")
COMMAND = TOPICS.command(WORKER, ONE)
FACTS = TOPICS.facts(WORKER, ONE)
PRESENCE = TOPICS.presence(WORKER, ONE)


async def test_a_command_reaches_the_wing_it_is_for(site: Site) -> None:
    """What is published to a topic comes to who has subscribed to it, as it was, signature included."""
    signature = Signature(key="0123456789abcdef", value=bytes(range(64)))
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(ONE) as wing:
        await wing.subscribe(*TOPICS.wing_filters(WORKER, ONE))
        reader = Reader(wing)
        await reader.connected()
        await orchestrator.publish(Publication(topic=COMMAND, payload=b"\x00converge", signature=signature))
        received = await reader.message()
    assert (received.topic, received.payload, received.signature) == (COMMAND, b"\x00converge", signature)
    assert not received.retained


async def test_what_is_not_signed_comes_unsigned(site: Site) -> None:
    """A message without a signature has none when it comes."""
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(ONE) as wing:
        await wing.subscribe(COMMAND)
        reader = Reader(wing)
        await reader.connected()
        await orchestrator.publish(Publication(topic=COMMAND, payload=b"ping"))
        received = await reader.message()
    assert received.signature is None


async def test_connected_comes_first_and_with_every_filter(site: Site) -> None:
    """The first event is the first connection, even before what was retained."""
    async with site.mesh(ONE) as wing, site.mesh("orchestrator_1") as orchestrator:
        reader = Reader(orchestrator)
        await reader.connected()
        await orchestrator.subscribe(PRESENCE)
        await wing.publish(Publication(topic=PRESENCE, payload=b"birth", retain=True))
        await reader.message()
        async with site.mesh("orchestrator_2") as late:
            await late.subscribe(*TOPICS.orchestrator_filters())
            other = Reader(late)
            first, second = await other.event(), await other.message()
    assert isinstance(first, Connected)
    assert first.connection == 1
    assert (second.payload, second.retained) == (b"birth", True)


async def test_a_live_message_is_not_retained_for_who_is_there(site: Site) -> None:
    """The retained flag tells what the broker had kept from what is said just now."""
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(ONE) as wing:
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader = Reader(orchestrator)
        await reader.connected()
        await wing.publish(Publication(topic=PRESENCE, payload=b"birth", retain=True))
        received = await reader.message()
    assert not received.retained


async def test_wildcards_cover_each_wing_and_channel_once(site: Site) -> None:
    """An orchestrator's filters match presence, facts and log of any wing, and no command."""
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(ONE) as one, site.mesh(TWO) as two:
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader = Reader(orchestrator)
        await reader.connected()
        await orchestrator.publish(Publication(topic=COMMAND, payload=b"command"))
        await one.publish(Publication(topic=FACTS, payload=b"fact 1"))
        first = await reader.message()
        await two.publish(Publication(topic=TOPICS.facts(WORKER, TWO), payload=b"fact 2"))
        second = await reader.message()
    assert [first.payload, second.payload] == [b"fact 1", b"fact 2"]


async def test_messages_of_one_client_keep_their_order(site: Site) -> None:
    """Hundreds of facts arrive in the order in which they were published, none twice."""
    count = 300
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(ONE) as wing:
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader = Reader(orchestrator)
        await reader.connected()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_publish_facts(wing, count))
            payloads = await reader.payloads(count)
    assert payloads == [b"%d" % number for number in range(count)]


async def test_a_slow_reader_loses_nothing(site: Site) -> None:
    """More than a client takes at once waits on the broker's side until the reader goes on."""
    count = 50
    async with (
        site.mesh("orchestrator_1", keeping=replace(QUICK, receive_maximum=5)) as orchestrator,
        site.mesh(ONE) as wing,
    ):
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader = Reader(orchestrator)
        await reader.connected()
        await _publish_facts(wing, count)
        own = Reader(wing)
        await wing.subscribe(COMMAND)
        await own.connected()
        assert len(orchestrator._inbox._waiting) <= 5
        payloads = await reader.payloads(count)
    assert payloads == [b"%d" % number for number in range(count)]


async def test_a_later_subscription_holds_at_once(site: Site) -> None:
    """Filters add to earlier ones; a subscription made while connected stands when it returns."""
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(ONE) as wing:
        await wing.subscribe(TOPICS.command_role(WORKER))
        reader = Reader(wing)
        await reader.connected()
        await wing.subscribe(COMMAND)
        await orchestrator.publish(Publication(topic=TOPICS.command_role(WORKER), payload=b"to all"))
        await orchestrator.publish(Publication(topic=COMMAND, payload=b"to one"))
        payloads = await reader.payloads(2)
    assert payloads == [b"to all", b"to one"]


async def test_the_largest_message_passes_and_a_larger_is_refused(site: Site) -> None:
    """A message of exactly the limit arrives; one byte more is an error where it is published."""
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(ONE) as wing:
        await wing.subscribe(COMMAND)
        reader = Reader(wing)
        await reader.connected()
        with pytest.raises(MessageTooLargeError):
            await orchestrator.publish(Publication(topic=COMMAND, payload=bytes(MAX_MESSAGE + 1)))
        await orchestrator.publish(Publication(topic=COMMAND, payload=bytes(MAX_MESSAGE)))
        received = await reader.message()
    assert len(received.payload) == MAX_MESSAGE


async def test_publishing_waits_while_the_queue_is_full(site: Site) -> None:
    """A wing that is cut off queues only so much; whoever publishes more waits until it is back."""
    async with (
        site.mesh("orchestrator_1") as orchestrator,
        site.mesh(ONE, keeping=replace(QUICK, queue_bytes=4000)) as wing,
        asyncio.TaskGroup() as tasks,
    ):
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader, own = Reader(orchestrator), Reader(wing)
        await reader.connected()
        await own.connected()
        site.cut(ONE, for_good=True)
        await own.disconnected()
        publishing = tasks.create_task(_publish_facts(wing, 20))
        await own.disconnected()
        assert not publishing.done()
        site.mend(ONE)
        payloads = await reader.payloads(20)
    assert payloads == [b"%d" % number for number in range(20)]


async def test_a_live_line_never_waits(site: Site) -> None:
    """A publication of QoS 0 is dropped where it would have to wait: a log must not hold a run up."""
    async with (
        site.mesh("orchestrator_1") as orchestrator,
        site.mesh(ONE, keeping=replace(QUICK, queue_bytes=4000)) as wing,
    ):
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader, own = Reader(orchestrator), Reader(wing)
        await reader.connected()
        await own.connected()
        site.cut(ONE, for_good=True)
        await own.disconnected()
        for _ in range(100):
            await wing.publish(Publication(topic=TOPICS.log(WORKER, ONE), payload=b"line", qos=0))
        await wing.publish(Publication(topic=FACTS, payload=b"fact"))
        site.mend(ONE)
        received = await reader.message()
    assert received.payload == b"fact"


async def test_a_client_that_was_left_publishes_no_more(site: Site) -> None:
    """After it was left, events end and publishing is an error."""
    async with site.mesh(ONE) as wing:
        reader = Reader(wing)
        await reader.connected()
    with pytest.raises(NotConnectedError):
        await wing.publish(Publication(topic=FACTS, payload=b"too late"))
    assert [event async for event in wing.events()] == []


async def _publish_facts(wing: KeptMesh, count: int) -> None:
    for number in range(count):
        await wing.publish(Publication(topic=FACTS, payload=b"%d" % number))
