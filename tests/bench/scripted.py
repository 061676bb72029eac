"""The real service over wings that do at once whatever they are told, in one process.

What crosses the mesh is what would cross a real one: encoded, signed, checked. So what a process spends, less
what its wings spend, is the orchestrator's own; and a fleet of thousands needs no thousands of processes.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from broker.client import Connected, MeshEvent, Publication, Received
from broker.codec import decode
from broker.ids import Digest, InstanceId
from broker.memory import MemoryBroker
from broker.messages import Command, Heartbeat, Presence
from broker.signing import SigningKey
from broker.topics import Channel, parse
from broker.uuid7 import id_source
from orchestrator.adapters.sql.archive import SqlArchive
from orchestrator.adapters.sql.journal import SqlJournal
from orchestrator.records import Batch
from orchestrator.service.assembly import Service, assemble
from tests.unit.orchestrator.domain.playbook import number
from tests.unit.orchestrator.service.stage import (
    BUNDLE,
    CLUSTER,
    ROLE,
    TOPICS,
    LoopClock,
    NoPapers,
    NoShelf,
    ScriptedWing,
    running,
    until,
)

HEARTBEAT_S = 60.0


@dataclass
class Traffic:
    """What the orchestrator can't leave out: messages that it sent and heard, transactions, events."""

    sent: int = 0
    heard: int = 0
    commits: int = 0
    events: int = 0

    def since(self, before: "Traffic") -> "Traffic":
        """Return what has come since."""
        return Traffic(
            sent=self.sent - before.sent,
            heard=self.heard - before.heard,
            commits=self.commits - before.commits,
            events=self.events - before.events,
        )


class CountingJournal(SqlJournal):
    """The journal, which counts what is written."""

    def __init__(self, url: str, traffic: Traffic) -> None:
        super().__init__(url, CLUSTER)
        self._traffic = traffic

    async def commit(self, batch: Batch) -> None:
        self._traffic.commits += 1
        self._traffic.events += len(batch.events)
        await super().commit(batch)


@dataclass
class ScriptedFleet:
    """Many wings behind one client of the mesh; `wings_s` is the processor time that they themselves took."""

    wings: Mapping[InstanceId, ScriptedWing]
    traffic: Traffic
    wings_s: float = 0.0
    _events: "asyncio.Queue[MeshEvent]" = field(default_factory=asyncio.Queue)
    _clock: LoopClock = field(default_factory=LoopClock)

    async def __aenter__(self) -> Self:
        self._events.put_nowait(Connected(connection=1, at=self._clock.now()))
        return self

    async def __aexit__(self, *exc: object) -> None: ...

    async def publish(self, publication: Publication) -> None:
        """Take what either side says: commands go to the wings, all else to the orchestrator."""
        topic = parse(publication.topic)
        if topic.channel is Channel.COMMAND:
            self.traffic.sent += 1
            await self._command(publication, topic.instance)
        else:
            self.traffic.heard += 1
            self._events.put_nowait(
                Received(
                    topic=publication.topic,
                    payload=publication.payload,
                    signature=publication.signature,
                    retained=False,
                    at=self._clock.now(),
                )
            )

    async def subscribe(self, *filters: str) -> None:
        """Hear everything anyway."""

    async def events(self) -> AsyncIterator[MeshEvent]:
        """Yield what the wings say."""
        while True:
            yield await self._events.get()

    def reconnect_slowly(self, *, slowly: bool) -> None:
        """Stay connected."""

    async def live(self) -> None:
        """Say that every wing is there, again and again."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            for wing in self.wings.values():
                beat = Heartbeat(standing=wing.wing.standing())
                message = Presence(id=number(0), at=self._clock.now(), body=beat)
                await wing.send(TOPICS.presence(ROLE, wing.id), message)

    async def _command(self, publication: Publication, instance: InstanceId | None) -> None:
        begun = time.thread_time()
        command = decode(publication.payload)
        assert isinstance(command, Command)
        for wing in self.wings.values() if instance is None else [self.wings[instance]]:
            await wing.obey(command)
        self.wings_s += time.thread_time() - begun


@asynccontextmanager
async def scripted(folder: Path, size: int, *bundles: Digest) -> AsyncIterator[tuple[Service, ScriptedFleet]]:
    """Run the service on a journal in `folder` with `size` workers, all of which are there."""
    broker = MemoryBroker()
    traffic = Traffic()
    names = [InstanceId(f"worker-{n + 1}") for n in range(size)]
    wings = {name: ScriptedWing(broker, name) for name in names}
    fleet = ScriptedFleet(wings=wings, traffic=traffic)
    for wing in wings.values():
        wing.mesh = fleet
    async with CountingJournal(f"sqlite+aiosqlite:///{folder}/journal.sqlite", traffic) as journal, fleet:
        clock = LoopClock()
        await journal.lead(holder="o_1", at=clock.now())
        await journal.commit(Batch(bundles=[replace(BUNDLE, digest=digest) for digest in bundles]))
        archive = SqlArchive(journal.readers, CLUSTER)
        service = await assemble(
            cluster=CLUSTER,
            journal=journal,
            archive=archive,
            rollouts=archive,
            log=archive,
            mesh=fleet,
            key=SigningKey.generate(),
            clock=clock,
            new_id=id_source(clock.now, os.urandom),
            reader=NoPapers(),
            shelf=NoShelf(),
            drafts=folder,
            url_of=lambda digest: f"https://x/{digest}",
            endpoint="scripted",
            version="1",
            roster=tuple(wing.enrolment for wing in wings.values()),
        )
        async with running(service), asyncio.TaskGroup() as tasks:
            alive = tasks.create_task(fleet.live(), name="bench.fleet")
            await until(service, "instance_online", count=size)
            yield service, fleet
            alive.cancel()
