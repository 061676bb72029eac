"""A host with the real wing on it, which dies and comes back over a disk that may be lost or copied."""

import asyncio
import contextlib
import copy
import random
from typing import Final

from broker.ids import ClusterName, InstanceId, Role
from broker.memory import MemoryBroker, MemoryMesh
from broker.messages import Host as Described
from broker.signing import Keyring
from broker.uuid7 import id_source
from orchestrator.domain.model import Enrolment
from tests.simulation.clock import START, VirtualClock
from tests.simulation.ledger import Disk, Ledger
from tests.simulation.mortal import Doom, KilledError, Life, MortalWingJournal
from tests.simulation.quick_keys import key_of
from tests.simulation.work import Machine, ScriptedWork
from wing.agent import Agent, Surroundings
from wing.inbox import Ear
from wing.machine import Machine as WingMachine
from wing.memory import MemoryJournal
from wing.state import Identity
from wing.voice import Voice

CLUSTER: Final = ClusterName("sim")
DESCRIBED: Final = Described(
    hostname="h", addresses=("192.0.2.1",), os="Debian", kernel="6", puppet="7.23", cores=2, memory=2**31
)
RESTART_S: Final = 3.0
ORCHESTRATORS: Final = ("o_1", "o_2")


class NoSupervisor:
    """Nobody watches over this process."""

    def ready(self) -> None:
        """Take no note."""

    def alive(self) -> None:
        """Take no note."""

    def stopping(self) -> None:
        """Take no note."""


class Host:
    """One host: `run` is its whole life, and the other methods are what may happen to it."""

    def __init__(
        self,
        name: str,
        identity: Identity,
        *,
        broker: MemoryBroker,
        ledger: Ledger,
        seed: int,
        failing: float,
    ) -> None:
        self.name = name
        self.identity = identity
        self.dice = random.Random(f"{seed} {name}")  # noqa: S311 - it has to be predictable
        self.clock = VirtualClock(self.dice.uniform(-2, 2))
        self.machine = Machine(name, identity.role, ledger=ledger, seed=seed, failing=failing)
        self.agent: Agent | None = None
        self._key = key_of(identity.instance)
        self._broker = broker
        self._ledger = ledger
        self._disks = self._clones = 0
        self._life = Life(ledger, name)
        self._away_s = 0.0
        self._back = asyncio.Event()
        self._machines = 1
        self._admitted = asyncio.Event()
        self._admitted.set()
        self._orchestrators = Keyring({name: key_of(name).public for name in ORCHESTRATORS})
        self.install()

    @classmethod
    def fresh(
        cls,
        instance: InstanceId,
        role: Role,
        *,
        broker: MemoryBroker,
        ledger: Ledger,
        seed: int,
        failing: float,
    ) -> "Host":
        """Return a host that was just installed."""
        identity = Identity(cluster=CLUSTER, role=role, instance=instance)
        host = cls(instance, identity, broker=broker, ledger=ledger, seed=seed, failing=failing)
        ledger.watch.enrol(instance, role, host.machine.node)
        return host

    @property
    def enrolment(self) -> Enrolment:
        """How the orchestrator knows this host."""
        return Enrolment(
            id=self.identity.instance,
            role=self.identity.role,
            pool="p",
            labels={},
            key=self._key.public.to_base64(),
            enrolled_at=START,
        )

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Live, and come back after each death."""
        while True:
            self._back.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._away_s):
                    await self._back.wait()
            await self._admitted.wait()
            self._away_s = RESTART_S
            self._life = Life(self._ledger, self.name)
            await self._life.begin(tasks, self._boot(self._life)).wait()
            self.agent = None

    # What may happen to it -----------------------------------------------------------------------------

    def install(self) -> None:
        """Begin with an empty disk."""
        self._disks += 1
        self.disk = Disk(instance=self.identity.instance, number=self._disks)
        self.journal = MemoryJournal(sign=self._key.sign, entropy=self.dice.randbytes)

    def kill(self, away_s: float = RESTART_S, *, reset: bool = False) -> None:
        """Kill the wing; with `reset` the whole host, so that no process outlives it."""
        self._away_s = away_s
        self._life.end()
        if reset:
            self.machine.reboot()

    def doom(self, doom: Doom) -> None:
        """Have the wing die at a write to its journal."""
        self._life.doom = doom

    def stop(self, away_s: float) -> None:
        """Ask the wing to stop in order, as SIGTERM does."""
        self._away_s = away_s
        if self.agent is not None and not self._life.is_over:
            try:
                self.agent.stop()
            except KilledError:
                self._ledger.note(f"{self.name} was killed when it was to stop")

    def wipe(self, away_s: float) -> None:
        """Install the host anew: all that the wing knew is gone."""
        self._ledger.note(f"{self.name} is installed anew")
        self.kill(away_s, reset=True)
        self.install()

    def remake(self) -> None:
        """Be another machine, with a key of its own, which knows nothing and begins once it is `admitted`."""
        self._machines += 1
        self._ledger.note(f"{self.name} is made anew, as machine {self._machines}")
        self._key = key_of(f"{self.identity.instance}~{self._machines}")
        self._admitted.clear()
        self.kill(0.0, reset=True)
        self.install()
        self.machine.node.pods.clear()
        self._ledger.watch.remade(self.identity.instance, self._machines)

    def admitted(self) -> None:
        """Begin, since the fleet knows it by now."""
        self._admitted.set()

    def clone(self, seed: int) -> "Host":
        """Return another host that begins with a copy of this one's disk as it is now."""
        self._ledger.note(f"{self.name} is cloned")
        self._clones += 1
        name = f"{self.name}-clone-{self._clones}"
        twin = Host(name, self.identity, broker=self._broker, ledger=self._ledger, seed=seed, failing=0.0)
        twin.machine.node = self.machine.node
        twin._key = self._key
        twin._admitted = self._admitted
        twin.disk = Disk(instance=self.identity.instance, number=-self._clones, original=self.disk)
        twin.journal = copy.copy(self.journal)
        for name, value in vars(self.journal).items():
            if isinstance(value, dict | list):
                setattr(twin.journal, name, copy.copy(value))
        twin.journal._entropy = twin.dice.randbytes
        return twin

    def spare(self) -> None:
        """Be back soon if it is away, die no death that was foretold, and let all on it go well."""
        self._life.doom = None
        self._back.set()
        self.machine.calm()

    def fill_disk(self, *, full: bool) -> None:
        """Let nothing be written to the disk, or again."""
        self.journal.unwritable = "no space left on device" if full else None

    # One life of its wing ------------------------------------------------------------------------------

    async def _boot(self, life: Life) -> None:
        if self.journal.unwritable is not None:
            self._ledger.note(f"{self.name} can't begin: {self.journal.unwritable}")
            return
        self.agent = self._wing(life)
        await self.agent.run()
        self._ledger.note(f"{self.name} has stopped in order")

    def _wing(self, life: Life) -> Agent:
        journal = MortalWingJournal(self.disk, self.journal, life, self._ledger)
        new_id = id_source(self.clock.now, self.dice.randbytes)
        since = self.clock.now()
        remembered = journal.open_boot()
        self._ledger.note(f"{self.name} begins boot {remembered.boot}")
        machine = WingMachine.restored(self.identity, remembered, at=since, new_id=new_id)
        voice = Voice(identity=self.identity, key=self._key, clock=self.clock.now, new_id=new_id, version="1")
        life.mesh = MemoryMesh(
            self._broker,
            client_id=self.identity.instance,
            will=voice.will(remembered.boot),
            clock=self.clock.now,
        )
        around = Surroundings(
            journal=journal,
            mesh=life.mesh,
            work=ScriptedWork(self.machine, self.disk, self.clock),
            voice=voice,
            ear=Ear(
                orchestrators=self._orchestrators,
                own=self._key.public,
                presence_topic=voice.presence_topic,
                boot=remembered.boot,
                since=since,
            ),
            host=DESCRIBED,
            supervisor=NoSupervisor(),
            clock=self.clock.now,
            jitter=self.dice.random,
            changed=lambda: False,
            heartbeat_s=60.0,
        )
        return Agent(machine, around)
