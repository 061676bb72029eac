"""The shell around the machine: hear, decide, record, and only then act.

Each event goes the same way: the machine decides, what it wants recorded is written in one transaction, and
then its acts are carried out. If the transaction fails nothing has happened: the machine stays as it was, a
command is dropped and counted (its sender sends it again), and what the wing itself has lived through is held
until it can be recorded. Nothing in here waits for the mesh.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from broker import client
from broker.client import MeshClient, MeshEvent
from broker.messages import Host, LiveBody
from wing.effects import (
    Act,
    Effect,
    Leave,
    ReconnectSlowly,
    RecordFact,
    RunConverge,
    RunOrder,
    RunPrefetch,
    SendAnswers,
    SendBirth,
    SendFacts,
    SendHeartbeat,
    SendPong,
    StopWork,
    Warn,
)
from wing.events import (
    CommandReceived,
    Completed,
    Connected,
    Disconnected,
    Event,
    GarbageReceived,
    JournalFailed,
    JournalMeasured,
    JournalRecovered,
    StopRequested,
    Ticked,
    WingStarted,
    WorkEnded,
)
from wing.inbox import Ear
from wing.machine import Machine
from wing.outbox import Outbox
from wing.ports import Journal, JournalUnwritableError, Supervisor, Work
from wing.voice import Voice
from wing.workers import Workers

log = logging.getLogger("wing")

TICK_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Everything of the world that an agent needs; `jitter` gives 0 to 1, `changed` asks for a restart."""

    journal: Journal
    mesh: MeshClient
    work: Work
    voice: Voice
    ear: Ear
    host: Host
    supervisor: Supervisor
    clock: Callable[[], datetime]
    jitter: Callable[[], float]
    changed: Callable[[], bool]
    heartbeat_s: float


class Agent:
    """A wing at work: give it a machine in its new boot and `run` it."""

    def __init__(self, machine: Machine, around: Surroundings) -> None:
        self.machine = machine
        self.renewing = False
        self._around = around
        self._held: list[Event] = []
        self._done = asyncio.Event()
        self._workers: Workers | None = None
        self._outbox = Outbox(mesh=around.mesh, journal=around.journal, fact_topic=around.voice.fact_topic)

    def stop(self) -> None:
        """Ask for an end in order; safe to call from a signal handler of the loop, and twice."""
        if self._workers is None:
            self._done.set()
        else:
            self.step(StopRequested(at=self._around.clock()))

    async def run(self) -> None:
        """Be a wing until told to stop; `renewing` then says whether its own files have changed."""
        underway = self.machine.state.underway
        processes = [entry.process for entry in underway if entry.process is not None]
        ended = tuple(await self._around.work.end_leftovers(processes))
        if self._done.is_set():
            return
        async with self._around.mesh as mesh:
            await mesh.subscribe(*self._around.voice.filters)
            await self._live_through(WingStarted(at=self._around.clock(), ended=ended))
            await self._say_goodbye()

    async def _live_through(self, first: WingStarted) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._workers = Workers(
                work=self._around.work,
                tasks=tasks,
                tell=self.step,
                record=self._commit,
                say=self._say,
                clock=self._around.clock,
            )
            helpers = [
                tasks.create_task(self._listen(), name="wing.listen"),
                tasks.create_task(self._outbox.send(), name="wing.send"),
                tasks.create_task(self._beat(), name="wing.beat"),
                tasks.create_task(self._tick(), name="wing.tick"),
            ]
            self.step(first)
            self._around.supervisor.ready()
            await self._done.wait()
            for helper in helpers:
                helper.cancel()

    async def _say_goodbye(self) -> None:
        self._around.supervisor.stopping()
        state = self.machine.state
        if state.connection:
            self._outbox.put(self._around.voice.offline(state.boot, state.connection))
        await self._outbox.drain()

    # One event ------------------------------------------------------------------------------------

    def step(self, event: Event) -> None:
        """Handle one event whole: decide, record, act; or, if it can't be recorded, do nothing of it."""
        self._catch_up()
        try:
            self._commit(event)
        except JournalUnwritableError as error:
            log.warning("not recorded", extra={"event": type(event).__name__, "reason": str(error)})
            self._commit(JournalFailed(at=event.at, reason=str(error)))
            if not isinstance(event, CommandReceived | GarbageReceived):
                self._held.append(event)
        if self._held and self.machine.state.stopping:
            self._done.set()  # the next boot says `interrupted`: it can't be recorded in this one
        if isinstance(event, WorkEnded) and isinstance(event.end, Completed):
            self._renew(settled=True)

    def _catch_up(self) -> None:
        if self.machine.state.unwritable is None:
            return
        held, self._held = self._held, []
        try:
            self._commit(JournalRecovered(at=self._around.clock()))
            while held:
                self._commit(held[0])
                del held[0]
        except JournalUnwritableError:
            log.debug("journal still unwritable")
        finally:
            self._held = held

    def _commit(self, event: Event) -> None:
        machine, effects = self.machine.handle(event)
        self._around.journal.write([effect for effect in effects if not isinstance(effect, Act)])
        self.machine = machine
        for effect in effects:
            self._carry_out(effect)
        if any(isinstance(effect, RecordFact) for effect in effects) or machine.state.full:
            self._measure(event.at)

    def _measure(self, at: datetime) -> None:
        room = self._around.journal.room()
        if room.surplus or room.full != self.machine.state.full:
            self._commit(JournalMeasured(at=at, surplus=room.surplus, full=room.full))

    def _carry_out(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - it only dispatches
        match effect:
            case RecordFact(fact=fact):
                self._outbox.put_facts(fact.ref.boot, fact.ref.seq, 1)
            case RunConverge() | RunPrefetch() | RunOrder():
                self._working.start(effect)
            case StopWork(command=command):
                self._working.stop(command)
            case SendBirth():
                self._outbox.put(self._around.voice.birth(self.machine.state.standing(), self._around.host))
            case SendHeartbeat():
                self._heartbeat()
            case SendPong(ping=ping, received_at=received_at):
                self._outbox.put(self._around.voice.pong(ping, self.machine.state.boot, received_at))
            case SendFacts(boot=boot, first=first, limit=limit):
                self._outbox.put_facts(boot, first, limit)
            case SendAnswers(command=command):
                for answer in self._around.journal.answers(command):
                    self._outbox.put_again(answer)
            case ReconnectSlowly(slowly=slowly):
                self._around.mesh.reconnect_slowly(slowly=slowly)
            case Warn(what=what, detail=detail):
                log.warning(what, extra={"detail": detail})
            case Leave():
                self._done.set()
            case _:
                pass

    @property
    def _working(self) -> Workers:
        if self._workers is None:
            raise RuntimeError("no work can start before the agent runs")
        return self._workers

    # Beside the events ----------------------------------------------------------------------------

    async def _listen(self) -> None:
        async for event in self._around.mesh.events():
            self._hear(event)

    def _hear(self, event: MeshEvent) -> None:
        match event:
            case client.Connected(connection=connection, at=at):
                log.info("connected", extra={"connection": connection})
                self._outbox.open()
                self.step(Connected(at=at, connection=connection))
            case client.Disconnected(reason=reason, at=at):
                log.warning("disconnected", extra={"reason": reason})
                self._outbox.shut()
                self.step(Disconnected(at=at, reason=reason))
            case client.Received():
                heard = self._around.ear.heard(event)
                if heard is not None:
                    self.step(heard)
            case _:
                assert_never(event)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._around.heartbeat_s * (0.9 + 0.1 * self._around.jitter()))
            self._heartbeat()
            self._renew()

    def _heartbeat(self) -> None:
        state = self.machine.state
        if state.connection:
            self._outbox.put(self._around.voice.heartbeat(state.standing()))

    def _renew(self, *, settled: bool = False) -> None:
        """End, to be started again, if the wing's own files have changed and nothing is under way.

        What a run has changed is `settled` when the run has ended: the two looks that must agree come at
        once, so that whatever is asked next, such as whether all is well now, is answered by the new code.
        """
        state = self.machine.state
        if state.underway or state.stopping:
            return
        if self._around.changed() or (settled and self._around.changed()):
            log.info("own files changed, starting again")
            self.renewing = True
            self.stop()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._around.supervisor.alive()
            self.step(Ticked(at=self._around.clock()))

    def _say(self, body: LiveBody) -> None:
        self._outbox.offer(self._around.voice.live(body))
