"""The orchestrator's loop: take what has come, decide, write it down, and only then act.

Everything that happens goes through one inbox: what the mesh says, what operators ask, deadlines. Each
burst is handled in memory, written as one transaction, and carried out after it; so a crash loses nothing
that was answered or sent, and a thousand facts a second need few transactions.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import structlog

from broker.client import Connected, Disconnected, MeshClient, MeshEvent, Received
from broker.ids import InstanceId, RolloutId
from broker.messages import Fact, Live, LogLines, Pong, Presence, Progress, Report
from broker.signing import SigningKey
from broker.topics import Topics
from orchestrator.domain.events import BrokerFound, BrokerLost, FactHeard, PongHeard, PresenceHeard, Woke
from orchestrator.domain.model import Enrolment
from orchestrator.domain.rollout.events import Reconnected
from orchestrator.domain.stream import Arrived
from orchestrator.operations import RefusedError
from orchestrator.ports import Clock, Journal
from orchestrator.records import Batch
from orchestrator.service.edge import Believed, Dropped, Edge
from orchestrator.service.guard import Guard
from orchestrator.service.roster import put_in_force
from orchestrator.service.sending import Sender
from orchestrator.service.state import ClusterState, Work
from orchestrator.service.timers import ROLLOUT, Sleeper, Timers

log = structlog.get_logger(__name__)

T = TypeVar("T")
BURST: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """Something that an operator asks, to be done within a burst; it is answered once it is written."""

    act: Callable[[ClusterState, Work], T]
    answer: asyncio.Future[T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """A deadline of an instance or a rollout has come."""

    sleeper: Sleeper
    at: datetime


Input = MeshEvent | Call[Any] | Wake
Listener = Callable[[Believed], None]


class Core:
    """The loop, and the state that it alone changes."""

    def __init__(
        self,
        *,
        state: ClusterState,
        journal: Journal,
        mesh: MeshClient,
        key: SigningKey,
        edge: Edge,
        clock: Clock,
    ) -> None:
        self.state: Final = state
        self.clock: Final = clock
        self._journal = journal
        self._mesh = mesh
        self._edge = edge
        self._topics = Topics(state.cluster)
        self._inbox: asyncio.Queue[Input] = asyncio.Queue(maxsize=10 * BURST)
        self.sender: Final = Sender(state, mesh, key, clock)
        self._timers = Timers(clock)
        self._guard = Guard(state, clock)
        self._written: list[Callable[[Work], None]] = []
        self._listeners: list[Listener] = []
        self._asked: set[asyncio.Future[Any]] = set()
        self.committed_at: datetime | None = None

    def on_written(self, listener: Callable[[Work], None]) -> None:
        """Have `listener` called after each burst that was written."""
        self._written.append(listener)

    def on_live(self, listener: Listener) -> None:
        """Have `listener` called with each log line, progress and pong."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._mesh.subscribe(*self._topics.orchestrator_filters())
        self._timers.arm(self.state.next_wakes(set(self.state.instances), self.clock.now()))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(), name="orchestrator.mesh")
                tasks.create_task(self._wake(), name="orchestrator.timers")
                tasks.create_task(self.sender.run(), name="orchestrator.outgoing")
                tasks.create_task(self._work(), name="orchestrator.core")
        finally:
            self._turn_away()

    async def call(self, act: Callable[[ClusterState, Work], T]) -> T:
        """Have `act` done in the loop, and return its answer once what it changed is written."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.add(answer)
        try:
            await self._inbox.put(Call(act=act, answer=answer))
            return await answer
        finally:
            self._asked.discard(answer)

    def _turn_away(self) -> None:
        """Refuse whatever was asked and will not be done here any more, so that nobody waits for it."""
        for answer in self._asked:
            if not answer.done():
                answer.set_exception(_no_longer_here())

    async def step(self, inputs: Sequence[Input]) -> None:
        """Handle a burst: decide, write, act."""
        work = Work(batch=Batch(epoch=self.state.leadership.epoch))
        answers = [answer for each in inputs if (answer := self._handle(each, work)) is not None]
        self.state.settle(work, self.clock.now())
        self._guard.check(work)
        if not work.batch.is_empty():
            await self._journal.commit(work.batch)
        self.committed_at = self.clock.now()
        self._carry_out(work)
        for future, value in answers:
            if not future.done():
                future.set_result(value)

    async def enrol(self, roster: tuple[Enrolment, ...]) -> None:
        """Put a roster in force before the loop runs."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self.step([self._enrolling(roster, answer)])

    def enrol_soon(self, roster: tuple[Enrolment, ...]) -> None:
        """Put a roster in force with the next burst."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait(self._enrolling(roster, answer))

    def _enrolling(self, roster: tuple[Enrolment, ...], answer: asyncio.Future[None]) -> Call[None]:
        def act(state: ClusterState, work: Work) -> None:
            for role in sorted(put_in_force(state, roster, work, self.clock.now())):
                self.sender.tell_role(role, Report())
            self.believe()

        return Call(act=act, answer=answer)

    def believe(self) -> None:
        """Believe those who are enrolled by now, and nobody else."""
        self._edge.enrol(tuple(item.enrolment for item in self.state.instances.values()))

    async def _work(self) -> None:
        while True:
            burst = [await self._inbox.get()]
            while len(burst) < BURST and not self._inbox.empty():
                burst.append(self._inbox.get_nowait())
            await self.step(burst)

    async def _listen(self) -> None:
        async for event in self._mesh.events():
            await self._inbox.put(event)

    async def _wake(self) -> None:
        while True:
            at, sleeper = await self._timers.due()
            await self._inbox.put(Wake(sleeper=sleeper, at=at))

    def _handle(self, each: Input, work: Work) -> tuple[asyncio.Future[Any], Any] | None:
        match each:
            case Received():
                self._receive(each, work)
            case Connected():
                self._connected(each, work)
            case Disconnected():
                self._disconnected(each, work)
            case Wake():
                self._woken(each.sleeper, work)
            case Call():
                return self._call(each, work)
        return None

    def _woken(self, sleeper: Sleeper, work: Work) -> None:
        at = self.clock.now()
        if sleeper.kind == ROLLOUT:
            self.state.upgrades.woke(RolloutId(sleeper.id), at)
        elif sleeper.id in self.state.instances:
            self.state.apply(InstanceId(sleeper.id), Woke(at=at), work)

    def _call(self, call: Call[Any], work: Work) -> tuple[asyncio.Future[Any], Any] | None:
        try:
            return call.answer, call.act(self.state, work)
        except RefusedError as error:
            if not call.answer.done():
                call.answer.set_exception(error)
            return None

    def _receive(self, received: Received, work: Work) -> None:
        found = self._edge.check(received)
        if isinstance(found, Dropped):
            self.state.count(found.counter, found.instance)
            log.warning("message dropped", reason=found.counter, detail=found.detail, topic=received.topic)
            return
        message, at = found.message, self.clock.now()
        match message:
            case Presence():
                heard = PresenceHeard(at=at, presence=message, retained=found.retained)
                self.state.apply(found.instance, heard, work)
            case Fact():
                arrived = Arrived(fact=message, payload=found.payload)
                self.state.apply(found.instance, FactHeard(at=at, arrived=arrived), work)
            case Live(body=Pong() as pong):
                sent = self.sender.sent_at(message.caused_by) if message.caused_by else None
                ponged = PongHeard(at=at, said=message.at, pong=pong, sent_at=sent)
                self.state.apply(found.instance, ponged, work)
                self._hear(found)
            case Live(body=Progress() as progress):
                self.state.upgrades.progressed(found.instance, progress.run, at)
                self._hear(found)
            case Live(body=LogLines()):
                self._hear(found)
            case _:
                raise AssertionError(message)

    def _hear(self, found: Believed) -> None:
        for listener in self._listeners:
            listener(found)

    def _connected(self, event: Connected, work: Work) -> None:
        self.state.connected = True
        for instance in self.state.instances:
            self.state.apply(instance, BrokerFound(at=self.clock.now()), work)
        for rollout in self.state.upgrades.open:
            self.state.upgrades.tell(rollout, Reconnected(at=self.clock.now()))
        self.state.emit(work, "broker_connected", self.clock.now(), connection=event.connection)
        for role in sorted({item.enrolment.role for item in self.state.instances.values()}):
            self.sender.tell_role(role, Report())

    def _disconnected(self, event: Disconnected, work: Work) -> None:
        self.state.disconnect_reason = event.reason
        if not self.state.connected:
            return
        self.state.connected = False
        for instance in self.state.instances:
            self.state.apply(instance, BrokerLost(at=self.clock.now()), work)
        self.state.emit(work, "broker_lost", self.clock.now(), reason=event.reason)
        self.sender.forget()

    def _carry_out(self, work: Work) -> None:
        for command in work.commands:
            self.sender.send(command)
        self._timers.arm(self.state.next_wakes(work.touched, self.clock.now()))
        for listener in self._written:
            listener(work)


def _no_longer_here() -> RefusedError:
    return RefusedError(
        kind="not-leading",
        status=503,
        title="this orchestrator has stopped",
        detail="what was asked has not been done: it is stopping, or another one leads the cluster now",
        action="ask again in a moment",
    )
