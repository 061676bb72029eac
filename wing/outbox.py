"""What waits to go out, without ever making the wing wait for its broker.

The machine goes on deciding while the mesh is slow or gone, so nothing here blocks: what has no room or no
connection is dropped. That loses nothing that counts, since facts stay in the journal, whose backlog each
birth and heartbeat names. Facts wait as references and are read when their turn comes, so a replay of
hundreds costs no memory.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from broker.client import MeshClient, Publication
from broker.ids import Boot
from wing.ports import Journal, StoredFact

CAPACITY: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Recorded facts of one boot to publish: `count` from number `first` on."""

    boot: Boot
    first: int
    count: int


class Outbox:
    """A bounded queue in front of a mesh client; `fact_topic` is where facts go."""

    def __init__(self, *, mesh: MeshClient, journal: Journal, fact_topic: str) -> None:
        self._mesh = mesh
        self._journal = journal
        self._fact_topic = fact_topic
        self._waiting: deque[Publication | Facts] = deque()
        self._stirred = asyncio.Event()
        self._open = False
        self.dropped = 0

    def open(self) -> None:
        """Let what is put from now on go out, since the mesh is there."""
        self._open = True

    def shut(self) -> None:
        """Forget what waits, since the mesh is gone: when it comes back a birth says it better."""
        self._open = False
        self._waiting.clear()

    def put(self, publication: Publication) -> None:
        """Let `publication` go out in its turn, if there is a connection and room."""
        self._add(publication, CAPACITY)

    def offer(self, publication: Publication) -> None:
        """Let `publication` go out if that delays nothing that counts."""
        self._add(publication, CAPACITY // 4)

    def put_facts(self, boot: Boot, first: int, count: int) -> None:
        """Let recorded facts go out in their turn."""
        last = self._waiting[-1] if self._waiting else None
        if isinstance(last, Facts) and (last.boot, last.first + last.count) == (boot, first):
            self._waiting[-1] = replace(last, count=last.count + count)
        else:
            self._add(Facts(boot=boot, first=first, count=count), CAPACITY)

    def put_again(self, fact: StoredFact) -> None:
        """Let one recorded fact go out again."""
        self.put_facts(fact.ref.boot, fact.ref.seq, 1)

    async def send(self) -> None:
        """Hand over what waits, one after the other, without end."""
        while True:
            while self._waiting:
                await self._send_one(self._waiting.popleft())
            self._stirred.clear()
            await self._stirred.wait()

    async def drain(self) -> None:
        """Hand over what waits now, and no more."""
        while self._waiting:
            await self._send_one(self._waiting.popleft())

    def _add(self, outgoing: Publication | Facts, capacity: int) -> None:
        if not self._open or len(self._waiting) >= capacity:
            self.dropped += 1
            return
        self._waiting.append(outgoing)
        self._stirred.set()

    async def _send_one(self, outgoing: Publication | Facts) -> None:
        if isinstance(outgoing, Publication):
            await self._mesh.publish(outgoing)
            return
        found = self._journal.facts(outgoing.boot, outgoing.first, 1)
        end = outgoing.first + outgoing.count
        if not found or found[0].ref.seq >= end:
            return
        seq = found[0].ref.seq
        if seq + 1 < end:
            self._waiting.appendleft(replace(outgoing, first=seq + 1, count=end - seq - 1))
        await self._mesh.publish(
            Publication(topic=self._fact_topic, payload=found[0].payload, signature=found[0].signature)
        )
