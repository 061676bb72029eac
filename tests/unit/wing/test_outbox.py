"""What waits to go out is bounded, keeps its order, and is forgotten when the connection goes."""

from collections.abc import AsyncIterator
from typing import Self

from broker.client import MeshEvent, Publication, Signature
from broker.messages import Trouble
from tests.unit.wing.wings import BOOT, NOW, new_id
from wing.effects import DropFacts, RecordFact
from wing.facts import FactLog, spans
from wing.memory import MemoryJournal
from wing.outbox import CAPACITY, Outbox

FACTS = "facts"


class Wire:
    """A mesh that takes everything at once."""

    def __init__(self) -> None:
        self.sent: list[Publication] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Leave nothing behind."""

    async def publish(self, publication: Publication) -> None:
        self.sent.append(publication)

    async def subscribe(self, *filters: str) -> None:
        """Hear nothing."""

    async def events(self) -> AsyncIterator[MeshEvent]:
        nothing: tuple[MeshEvent, ...] = ()
        for event in nothing:
            yield event

    def reconnect_slowly(self, *, slowly: bool) -> None:
        """Never reconnect."""


def a_publication(number: int) -> Publication:
    return Publication(topic="t", payload=b"%d" % number)


def journal_of(count: int) -> tuple[MemoryJournal, list[bytes]]:
    """Return a journal with `count` facts, and their bytes."""
    journal = MemoryJournal(sign=lambda payload: Signature(key="0" * 16, value=payload[:1]), entropy=bytes)
    log, payloads = FactLog(boot=BOOT), []
    for number in range(count):
        log, fact = log.append(Trouble(what=str(number), detail=""), fact_id=new_id(), at=NOW, caused_by=None)
        payloads.append(fact.payload)
        journal.write([RecordFact(fact=fact)])
    return journal, payloads


def outbox(wire: Wire, journal: MemoryJournal | None = None) -> Outbox:
    return Outbox(mesh=wire, journal=journal or journal_of(0)[0], fact_topic=FACTS)


async def test_nothing_goes_out_before_there_is_a_connection() -> None:
    """What is put too early is counted as dropped: a birth and its backlog say it later."""
    wire = Wire()
    box = outbox(wire)
    box.put(a_publication(1))
    assert box.dropped == 1
    box.open()
    box.put(a_publication(2))
    await box.drain()
    assert wire.sent == [a_publication(2)]


async def test_what_waits_when_the_connection_goes_is_forgotten() -> None:
    """Nothing old is said after the next birth."""
    wire = Wire()
    box = outbox(wire)
    box.open()
    box.put(a_publication(1))
    box.shut()
    box.open()
    await box.drain()
    assert wire.sent == []


async def test_a_full_queue_drops_live_lines_first() -> None:
    """Live lines may fill a quarter; what counts may fill the rest, and then is dropped as well."""
    box = outbox(Wire())
    box.open()
    for number in range(CAPACITY):
        box.offer(a_publication(number))
    assert box.dropped == CAPACITY - CAPACITY // 4
    for number in range(CAPACITY):
        box.put(a_publication(number))
    assert box.dropped == CAPACITY


async def test_facts_go_out_in_their_order_with_their_own_signature() -> None:
    """Facts wait as references, joined where they follow each other, and are read when their turn comes."""
    journal, payloads = journal_of(3)
    wire = Wire()
    box = outbox(wire, journal)
    box.open()
    box.put_facts(BOOT, 1, 1)
    box.put_facts(BOOT, 2, 1)
    box.put(a_publication(7))
    (last,) = journal.facts(BOOT, 3, 1)
    box.put_again(last)
    await box.drain()
    assert [one.payload for one in wire.sent] == [payloads[0], payloads[1], b"7", payloads[2]]
    assert wire.sent[0].topic == FACTS
    assert wire.sent[0].signature == Signature(key="0" * 16, value=payloads[0][:1])


async def test_a_replay_steps_over_what_is_gone() -> None:
    """Facts that were truncated or acknowledged in between are no end of the replay."""
    journal, payloads = journal_of(5)
    (gone,) = spans(fact.ref for fact in journal.facts(BOOT, 2, 2))
    journal.write([DropFacts(span=gone)])
    wire = Wire()
    box = outbox(wire, journal)
    box.open()
    box.put_facts(BOOT, 1, 500)
    await box.drain()
    assert [one.payload for one in wire.sent] == [payloads[0], payloads[3], payloads[4]]
