"""A whole wing without a host: its agent on a broker in memory, with a journal in memory, in virtual time."""

import asyncio
import copy
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broker.client import Publication, Received
from broker.codec import decode, encode
from broker.ids import Boot
from broker.memory import MemoryBroker, MemoryMesh
from broker.messages import (
    Birth,
    CommandBody,
    Converge,
    Drain,
    Fact,
    FactBody,
    Heartbeat,
    Host,
    Live,
    LogLine,
    Message,
    Prefetch,
    Presence,
    PresenceBody,
)
from broker.signing import Keyring, SigningKey
from broker.topics import Topics
from tests.unit.wing.wings import NOW, US, WORKER, aimed, command, drain_started, new_id, result
from wing.agent import Agent, Surroundings
from wing.effects import RunOrder
from wing.events import Completed, Done, End, Fetched, Process, Stopped, Unable
from wing.inbox import Ear
from wing.machine import Machine
from wing.memory import MemoryJournal
from wing.ports import Bound, JournalUnwritableError, OrderWatcher, Watcher
from wing.voice import Voice

LEADER = "orchestrator_1"
TOPICS = Topics(WORKER.cluster)
PATIENCE_S = 7_200.0
"""Of virtual time; whoever waits for longer waits for what never comes."""

HOST = Host(
    hostname="w", addresses=("192.0.2.7",), os="Debian", kernel="6", puppet="7.23.0", cores=2, memory=2**31
)


def clock() -> datetime:
    """Return the virtual time."""
    return NOW + timedelta(seconds=asyncio.get_running_loop().time())


class Puppet:
    """Work that lasts until the test ends it, or the wing asks it to stop."""

    def __init__(self, line: LogLine | None = None) -> None:
        self.started: list[Converge | Prefetch] = []
        self.orders: list[RunOrder] = []
        self.leftovers: list[Process] = []
        self.finish = asyncio.Event()
        self._line = line

    async def converge(self, order: Converge, watcher: Watcher, cancel: asyncio.Event) -> End:
        """Run until told to stop."""
        process = Process(pid=42, group=42, start=7, host_boot="b")
        try:
            await watcher.process_started(process)
        except JournalUnwritableError as error:
            return Unable(reason=str(error))
        self.started.append(order)
        if self._line is not None:
            watcher.said(self._line)
            watcher.progressed(1, 2, 3, "File[/a]")
        if await self._stopped(cancel):
            return Stopped(result=result(order))
        return Completed(result=result(order))

    async def prefetch(self, order: Prefetch, cancel: asyncio.Event) -> End:
        """Fetch until told to stop."""
        self.started.append(order)
        return Stopped() if await self._stopped(cancel) else Fetched()

    async def carry_out(self, asked: RunOrder, watcher: OrderWatcher, cancel: asyncio.Event) -> End:
        """Carry an order out until told to stop."""
        try:
            await watcher.process_started(Process(pid=43, group=43, start=8, host_boot="b"))
        except JournalUnwritableError as error:
            return Unable(reason=str(error))
        self.orders.append(asked)
        if isinstance(asked.order, Drain):
            watcher.told(drain_started(asked.command, asked.order))
        return Stopped() if await self._stopped(cancel) else Done()

    async def end_leftovers(self, processes: Sequence[Process]) -> Sequence[str]:
        """End whatever is named."""
        self.leftovers += processes
        return [f"process {process.pid}" for process in processes]

    async def _stopped(self, cancel: asyncio.Event) -> bool:
        async with asyncio.TaskGroup() as tasks:
            waiting = {tasks.create_task(event.wait()) for event in (cancel, self.finish)}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in waiting:
                one.cancel()
        return cancel.is_set()


@dataclass
class Watchman:
    """A supervisor that keeps what it was told."""

    told: list[str] = field(default_factory=list)

    def ready(self) -> None:
        """Take note."""
        self.told.append("ready")

    def alive(self) -> None:
        """Take note, once in a row."""
        if self.told[-1:] != ["alive"]:
            self.told.append("alive")

    def stopping(self) -> None:
        """Take note."""
        self.told.append("stopping")


class Site:
    """One broker, an orchestrator that the test plays, and hosts that all hold one identity."""

    def __init__(self, broker: MemoryBroker, leader: MemoryMesh) -> None:
        self.broker = broker
        self.heard: list[Message] = []
        self.key = SigningKey.generate()
        self.wing_key = SigningKey.generate()
        self._leader = leader

    def host(self, *, bound: Bound | None = None, puppet: Puppet | None = None) -> "HostSite":
        """Return a host whose wing does not run yet."""
        journal = MemoryJournal(sign=self.wing_key.sign, entropy=random.randbytes, bound=bound)
        return HostSite(site=self, journal=journal, puppet=puppet or Puppet())

    async def send(self, body: CommandBody, *, boot: Boot | None = None) -> None:
        """Send a command to `boot`, or to whichever there is."""
        order = command(body, at=clock(), target=aimed(US, boot=boot))
        payload = encode(order)
        topic = TOPICS.command(WORKER.role, WORKER.instance)
        await self._leader.publish(
            Publication(topic=topic, payload=payload, signature=self.key.sign(payload))
        )

    async def until(self, wanted: Callable[[Message], bool]) -> Message:
        """Wait for a message that was not heard before."""
        async with asyncio.timeout(PATIENCE_S):
            async for event in self._leader.events():
                if isinstance(event, Received):
                    self.wing_key.public.verify(event.payload, event.signature)
                    message = decode(event.payload)
                    self.heard.append(message)
                    if not event.retained and wanted(message):
                        return message
        raise AssertionError("the mesh ended")

    async def until_told(self, *kinds: type[FactBody]) -> FactBody:
        """Wait for a fact of one of `kinds`."""
        fact = await self.until(lambda message: isinstance(message, Fact) and isinstance(message.body, kinds))
        assert isinstance(fact, Fact)
        return fact.body

    async def until_seen(self, kind: type[PresenceBody]) -> PresenceBody:
        """Wait for presence of a kind."""
        seen = await self.until(
            lambda message: isinstance(message, Presence) and isinstance(message.body, kind)
        )
        assert isinstance(seen, Presence)
        return seen.body

    async def until_born(self) -> Birth:
        """Wait for a birth."""
        birth = await self.until_seen(Birth)
        assert isinstance(birth, Birth)
        return birth

    async def until_beat(self) -> Heartbeat:
        """Wait for a heartbeat."""
        beat = await self.until_seen(Heartbeat)
        assert isinstance(beat, Heartbeat)
        return beat

    def told(self) -> list[FactBody]:
        """Return every fact heard so far."""
        return [message.body for message in self.heard if isinstance(message, Fact)]

    def lines(self) -> list[object]:
        """Return what came live."""
        return [message.body for message in self.heard if isinstance(message, Live)]


@dataclass
class HostSite:
    """One host: its journal and its Puppet outlive its wing."""

    site: Site
    journal: MemoryJournal
    puppet: Puppet
    watchman: Watchman = field(default_factory=Watchman)
    changed: bool = False

    def agent(self) -> Agent:
        """Return the agent of a new boot."""
        since = clock()
        remembered = self.journal.open_boot()
        machine = Machine.restored(WORKER, remembered, at=since, new_id=new_id)
        own = self.site.wing_key
        voice = Voice(identity=WORKER, key=own, clock=clock, new_id=new_id, version="1")
        will = voice.will(remembered.boot)
        around = Surroundings(
            journal=self.journal,
            mesh=MemoryMesh(self.site.broker, client_id=WORKER.instance, will=will, clock=clock),
            work=self.puppet,
            voice=voice,
            ear=Ear(
                orchestrators=Keyring({LEADER: self.site.key.public}),
                own=own.public,
                presence_topic=voice.presence_topic,
                boot=remembered.boot,
                since=since,
            ),
            host=HOST,
            supervisor=self.watchman,
            clock=clock,
            jitter=lambda: 1.0,
            changed=lambda: self.changed,
            heartbeat_s=60.0,
        )
        return Agent(machine, around)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Agent]:
        """Run the wing until the block ends, if it has not ended before."""
        agent = self.agent()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(agent.run(), name="wing")
            yield agent
            agent.stop()


def copied(journal: MemoryJournal) -> MemoryJournal:
    """Return the journal of a cloned host."""
    clone = copy.copy(journal)
    for name in ("_boots", "_entries", "_bans", "_facts"):
        setattr(clone, name, copy.copy(getattr(journal, name)))
    return clone


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A broker, and an orchestrator that listens."""
    broker = MemoryBroker()
    async with MemoryMesh(broker, client_id=LEADER, clock=clock) as leader:
        await leader.subscribe(*TOPICS.orchestrator_filters())
        yield Site(broker, leader)
