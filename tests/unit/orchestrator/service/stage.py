"""The whole service over a broker in memory, and wings that say what a script tells them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from broker.client import Connected, MeshClient, Publication, Received
from broker.codec import decode, encode
from broker.ids import ClusterName, Digest, InstanceId, MessageId, Role
from broker.memory import MemoryBroker, MemoryMesh
from broker.messages import (
    Accepted,
    Ack,
    Birth,
    Command,
    Converge,
    Drain,
    FactBody,
    Health,
    Live,
    Message,
    Ping,
    Pong,
    Presence,
    Replay,
    Report,
    Started,
    Succeeded,
    Uncordon,
    Verdict,
)
from broker.signing import SigningKey
from broker.topics import Topics
from orchestrator.adapters.memory import MemoryJournal
from orchestrator.adapters.memory_kubernetes import MemoryKubernetes
from orchestrator.domain.model import Bundle, Enrolment
from orchestrator.domain.views import ChangeView, EventView
from orchestrator.operations import EventFilter
from orchestrator.records import Batch
from orchestrator.service.assembly import Service, assemble
from tests.unit.orchestrator.domain.playbook import DIGEST, HOST, NOW, Wing, number, result, run

CLUSTER = ClusterName("c")
ROLE = Role("worker")
TOPICS = Topics(CLUSTER)
BUNDLE = Bundle(
    digest=DIGEST,
    size=3,
    packed=2,
    name=None,
    version=None,
    roles=(),
    pushed_at=NOW,
    pushed_by="ann",
)


class LoopClock:
    """The time of a loop whose time is virtual."""

    def now(self) -> datetime:
        return NOW + timedelta(seconds=asyncio.get_running_loop().time())


class NoPapers:
    """Reads nothing."""

    async def changes(
        self, report: bytes, *, noop: bool, instance: InstanceId
    ) -> tuple[tuple[ChangeView, ...], int]:
        raise AssertionError((report, noop, instance))

    async def log_lines(self, log: bytes) -> Sequence[Mapping[str, object]]:
        raise AssertionError(log)


class NoShelf:
    """Takes no bundles."""

    async def keep(self, draft: Path) -> Bundle:
        raise AssertionError(draft)

    async def packed(self, digest: Digest) -> Path:
        raise AssertionError(digest)


@dataclass(slots=True)
class ScriptedWing:
    """A wing that does at once and proves whatever it is told, and counts what it ran."""

    broker: MemoryBroker
    id: InstanceId
    role: Role = ROLE
    key: SigningKey = field(default_factory=SigningKey.generate)
    wing: Wing = field(default_factory=Wing)
    ran: list[MessageId] = field(default_factory=list)
    orders: list[Drain | Uncordon | Health] = field(default_factory=list)
    converged: list[Digest] = field(default_factory=list)
    acked: int = 0
    answers: bool = True
    clock: LoopClock = field(default_factory=LoopClock)
    mesh: MeshClient | None = None
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(0x50000))

    @property
    def enrolment(self) -> Enrolment:
        key = self.key.public.to_base64()
        return Enrolment(id=self.id, role=self.role, pool="p", labels={}, key=key, enrolled_at=NOW)

    async def run(self) -> None:
        async with MemoryMesh(self.broker, client_id=self.id, clock=self.clock.now) as mesh:
            self.mesh = mesh
            await mesh.subscribe(*TOPICS.wing_filters(self.role, self.id))
            async for event in mesh.events():
                match event:
                    case Connected():
                        await self.birth()
                    case Received() if "/cmd/" in event.topic:
                        command = decode(event.payload)
                        assert isinstance(command, Command)
                        await self.obey(command)
                    case _:
                        pass

    async def obey(self, command: Command) -> None:
        match command.body:
            case Converge() if self.answers:
                await self.converge(command, command.body)
            case Drain() | Uncordon() | Health() if self.answers and command.id not in self.ran:
                self.ran.append(command.id)
                self.orders.append(command.body)
                await self.tell(Accepted(command=command.id))
                await self.tell(Started(command=command.id))
                await self.tell(Succeeded(command=command.id))
            case Ack() as ack:
                self.acked = max(self.acked, ack.seq)
            case Replay() as replay:
                for payload in self.wing.facts[replay.first - 1 : replay.first - 1 + replay.limit]:
                    await self.publish(TOPICS.facts(self.role, self.id), payload)
            case Ping():
                pong = Pong(boot=self.wing.boot, received_at=self.clock.now())
                await self.send(
                    TOPICS.facts(self.role, self.id),
                    Live(id=number(next(self._ids)), at=self.clock.now(), caused_by=command.id, body=pong),
                )
            case Report():
                await self.birth()
            case _:
                pass

    async def converge(self, command: Command, body: Converge) -> None:
        if command.id in self.ran:
            return
        self.ran.append(command.id)
        if not body.noop:
            self.converged.append(body.digest)
        wanted = run(noop=body.noop, digest=body.digest)
        proof = replace(result(wanted, None if body.noop else Verdict.CONVERGED), run=body.run)
        await self.tell(Accepted(command=command.id))
        await self.tell(Started(command=command.id, run=body.run))
        await self.tell(Succeeded(command=command.id, result=proof))

    async def tell(self, body: FactBody) -> None:
        await self.publish(TOPICS.facts(self.role, self.id), self.wing.say(body).payload)

    async def birth(self) -> None:
        backlog = [(self.acked + 1, len(self.wing.facts))] if self.acked < len(self.wing.facts) else []
        born = Birth(standing=self.wing.standing(*backlog), version="1", host=HOST)
        message = Presence(id=number(next(self._ids)), at=self.clock.now(), body=born)
        await self.send(TOPICS.presence(self.role, self.id), message)

    async def send(self, topic: str, message: Message) -> None:
        await self.publish(topic, encode(message))

    async def publish(self, topic: str, payload: bytes, key: SigningKey | None = None) -> None:
        assert self.mesh is not None
        signature = (key or self.key).sign(payload)
        await self.mesh.publish(Publication(topic=topic, payload=payload, signature=signature))


class Stage:
    """A broker, a journal that outlives the orchestrators, and wings."""

    def __init__(self, wings: int = 1) -> None:
        self.broker = MemoryBroker()
        self.journal = MemoryJournal()
        self.clock = LoopClock()
        self.wings = [ScriptedWing(self.broker, InstanceId(f"worker-{n + 1}")) for n in range(wings)]
        self.kubernetes: MemoryKubernetes | None = None
        self._ids = itertools.count(0x100000)

    async def begin(self) -> None:
        """Have a bundle known."""
        await self.journal.lead(holder="o_1", at=NOW)
        await self.journal.commit(Batch(bundles=[BUNDLE]))

    @asynccontextmanager
    async def orchestrator(self, tmp: Path) -> AsyncIterator[Service]:
        """Run an orchestrator; leaving is a kill: nothing is said, nothing more is written."""
        await self.journal.lead(holder="o_1", at=self.clock.now())
        mesh = MemoryMesh(self.broker, client_id="o_1", clock=self.clock.now)
        async with mesh:
            service = await assemble(
                cluster=CLUSTER,
                journal=self.journal,
                archive=self.journal,
                rollouts=self.journal,
                log=self.journal,
                mesh=mesh,
                key=SigningKey.generate(),
                clock=self.clock,
                new_id=lambda: number(next(self._ids)),
                reader=NoPapers(),
                shelf=NoShelf(),
                drafts=tmp,
                url_of=lambda digest: f"https://x/{digest}",
                endpoint="memory",
                version="1",
                roster=tuple(wing.enrolment for wing in self.wings),
                nodes=self.kubernetes,
                preflight=self.kubernetes,
            )
            async with running(service):
                yield service
            mesh.vanish()

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Run the wings."""
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(wing.run(), name=wing.id) for wing in self.wings]
            yield
            for task in started:
                task.cancel()


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(service.run(), name="service")
        yield
        task.cancel()


async def until(service: Service, *kinds: str, count: int = 1, cursor: int = 0) -> list[EventView]:
    """Return the first `count` events of those kinds, waiting for them."""
    found: list[EventView] = []
    stream = service.tail.events(EventFilter(cursor=cursor, kinds=kinds), follow=True)
    async for event in stream:
        found.append(event)
        if len(found) == count:
            break
    await stream.aclose()  # type: ignore[attr-defined] # an async generator, though the port says less
    return found


async def tail(service: Service) -> list[EventView]:
    """Return every stored event."""
    return [event async for event in service.tail.events(EventFilter(), follow=False)]
