"""What holds when a connection, a client or the broker goes away."""

from broker.client import Publication, Received, Will
from broker.ids import ClusterName, InstanceId, Role
from broker.keeping import KeptMesh
from broker.topics import Topics
from tests.contract.mesh.sites import Reader, Site

TOPICS = Topics(ClusterName("main"))
WORKER = Role("worker")
ONE = InstanceId("worker-1")
TWO = InstanceId("worker-2")
COMMAND = TOPICS.command(WORKER, ONE)
FACTS = TOPICS.facts(WORKER, ONE)


def lost(instance: InstanceId) -> Will:
    """Return the testament of `instance`, which names the connection."""
    topic = TOPICS.presence(WORKER, instance)
    return lambda number: Publication(topic=topic, payload=b"lost %d" % number, retain=True)


async def test_what_came_while_away_is_delivered_on_return(site: Site) -> None:
    """A command that is published while its wing is cut off waits in the wing's session."""
    async with (
        site.mesh("orchestrator_1") as orchestrator,
        site.mesh(ONE) as wing,
        site.mesh(TWO) as two,
    ):
        await two.subscribe(TOPICS.command_role(WORKER))
        await wing.subscribe(COMMAND)
        reader, witness = Reader(wing), Reader(two)
        await reader.connected()
        await witness.connected()
        site.cut(ONE, for_good=True)
        await reader.disconnected()
        await orchestrator.publish(Publication(topic=COMMAND, payload=b"converge"))
        await _taken(orchestrator, witness)
        site.mend(ONE)
        connected, received = await reader.connected(), await reader.message()
    assert connected.connection == 2
    assert received.payload == b"converge"
    assert not received.retained


async def test_a_command_that_expired_meanwhile_never_comes(site: Site) -> None:
    """A message expires in the session that it waits in; what was published after it comes."""
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(TWO, will=lost(TWO)) as two:
        watcher, other = Reader(orchestrator), Reader(two)
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        await two.subscribe(TOPICS.command_role(WORKER))
        await watcher.connected()
        await other.connected()
        async with site.mesh(ONE) as wing:
            await wing.subscribe(COMMAND)
            reader = Reader(wing)
            await reader.connected()
            site.cut(ONE, for_good=True)
            await reader.disconnected()
            await orchestrator.publish(Publication(topic=COMMAND, payload=b"short-lived", expiry_s=1))
            await orchestrator.publish(Publication(topic=COMMAND, payload=b"long-lived", expiry_s=600))
            await _taken(orchestrator, other)
            # Each of these two wills takes at least a second to come: by then the message has expired.
            for expected in (b"lost 1", b"lost 2"):
                site.cut(TWO, for_good=True)
                assert (await watcher.message()).payload == expected
                site.mend(TWO)
                await other.connected()
            site.mend(ONE)
            received = await reader.message()
    assert received.payload == b"long-lived"


async def test_a_lost_client_is_told_of_by_its_will(site: Site) -> None:
    """The will of a client that dies comes from the broker, after its delay, live for who is there."""
    async with (
        site.mesh("orchestrator_1") as orchestrator,
        site.mesh(ONE, will=lost(ONE)) as wing,
    ):
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader = Reader(orchestrator)
        await reader.connected()
        await Reader(wing).connected()
        site.vanish(ONE)
        received = await reader.message()
    assert (received.topic, received.payload) == (TOPICS.presence(WORKER, ONE), b"lost 1")
    assert not received.retained


async def test_each_connection_has_a_will_of_its_own(site: Site) -> None:
    """After a reconnection the will names the new connection, and the old one's never comes."""
    async with (
        site.mesh("orchestrator_1") as orchestrator,
        site.mesh(ONE, will=lost(ONE)) as wing,
    ):
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader, own = Reader(orchestrator), Reader(wing)
        await reader.connected()
        assert (await own.connected()).connection == 1
        site.cut(ONE)
        assert (await own.connected()).connection == 2
        site.vanish(ONE)
        received = await reader.message()
    assert received.payload == b"lost 2"


async def test_who_leaves_in_order_has_no_will(site: Site) -> None:
    """A clean stop publishes what was queued and no testament: the next death heard is another's."""
    async with (
        site.mesh("orchestrator_1") as orchestrator,
        site.mesh(TWO, will=lost(TWO)) as two,
    ):
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader = Reader(orchestrator)
        await reader.connected()
        await Reader(two).connected()
        async with site.mesh(ONE, will=lost(ONE)) as one:
            await Reader(one).connected()
            await one.publish(Publication(topic=TOPICS.presence(WORKER, ONE), payload=b"offline"))
        first = await reader.message()
        site.vanish(TWO)
        second = await reader.message()
    assert [first.payload, second.payload] == [b"offline", b"lost 1"]


async def test_an_identity_is_where_it_connected_last(site: Site) -> None:
    """A second connection of one identity takes the first one's place, which is told so by its loss."""
    async with site.mesh(ONE) as old:
        first = Reader(old)
        await first.connected()
        old.reconnect_slowly(slowly=True)
        async with site.mesh(ONE) as new, site.mesh("orchestrator_1") as orchestrator:
            await new.subscribe(COMMAND)
            second = Reader(new)
            await second.connected()
            await first.disconnected()
            await orchestrator.publish(Publication(topic=COMMAND, payload=b"converge"))
            received = await second.message()
    assert received.payload == b"converge"


async def test_a_restarted_broker_is_found_again(site: Site) -> None:
    """After the broker was killed each client connects and subscribes again by itself."""
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(ONE) as wing:
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader, own = Reader(orchestrator), Reader(wing)
        await reader.connected()
        await own.connected()
        await site.stop()
        await reader.disconnected()
        await own.disconnected()
        await site.start()
        assert (await reader.connected()).connection == 2
        assert (await own.connected()).connection == 2
        await wing.publish(Publication(topic=FACTS, payload=b"fact"))
        received = await reader.message()
    assert received.payload == b"fact"


async def test_a_broker_that_forgot_everything_carries_on(site: Site) -> None:
    """With its disk deleted the broker keeps nothing retained; what is said after that is heard."""
    presence = TOPICS.presence(WORKER, ONE)
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(ONE) as wing:
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader, own = Reader(orchestrator), Reader(wing)
        await reader.connected()
        await own.connected()
        await wing.publish(Publication(topic=presence, payload=b"birth 1", retain=True))
        await reader.message()
        await site.stop()
        await own.disconnected()
        await site.start(forget=True)
        await reader.connected()
        await own.connected()
        await wing.publish(Publication(topic=FACTS, payload=b"fact"))
        received = await reader.message()
    assert (received.payload, received.retained) == (b"fact", False)


async def test_what_was_queued_survives_a_restart_of_the_broker(site: Site) -> None:
    """What a client publishes while the broker is down is sent, in order, when it is back."""
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(ONE) as wing:
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader, own = Reader(orchestrator), Reader(wing)
        await reader.connected()
        await own.connected()
        site.cut(ONE, for_good=True)
        await own.disconnected()
        for number in range(3):
            await wing.publish(Publication(topic=FACTS, payload=b"%d" % number))
        await site.stop()
        await site.start(forget=True)
        await reader.connected()
        site.mend(ONE)
        payloads = await reader.payloads(3)
    assert payloads == [b"0", b"1", b"2"]


async def test_a_message_that_was_not_handled_comes_again(site: Site) -> None:
    """What its reader had not done with when the connection died is delivered once more."""
    async with site.mesh("orchestrator_1") as orchestrator, site.mesh(ONE) as wing:
        await wing.subscribe(COMMAND)
        reader = Reader(wing)
        await reader.connected()
        await orchestrator.publish(Publication(topic=COMMAND, payload=b"converge"))
        first = await reader.message()
        site.cut(ONE)
        await reader.connected()
        second = await reader.message()
    assert isinstance(first, Received)
    assert (first.payload, second.payload) == (b"converge", b"converge")


async def test_leaving_ends_without_a_broker(site: Site) -> None:
    """Without a broker a client can be left all the same; what it could not send is given up."""
    await site.stop()
    async with site.mesh(ONE) as wing:
        await Reader(wing).disconnected()
        await wing.publish(Publication(topic=FACTS, payload=b"fact"))


async def _taken(orchestrator: KeptMesh, witness: Reader) -> None:
    """Return once the broker has taken all that `orchestrator` published before."""
    await orchestrator.publish(Publication(topic=TOPICS.command_role(WORKER), payload=b"marker"))
    assert (await witness.message()).payload == b"marker"
