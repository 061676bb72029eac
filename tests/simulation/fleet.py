"""A whole fleet in one process, and what a script does to it."""

import asyncio
from collections.abc import Callable
from typing import assert_never

from broker.ids import InstanceId
from broker.memory import Faults, MemoryBroker
from broker.memory.faults import Fate
from orchestrator.domain.views import Selector
from tests.simulation import actions, operators
from tests.simulation.actions import Action
from tests.simulation.hands import Hands
from tests.simulation.host import ORCHESTRATORS, Host
from tests.simulation.ledger import Ledger
from tests.simulation.mortal import Doom
from tests.simulation.operators import Asked
from tests.simulation.orchestra import Orchestrator
from tests.simulation.script import Script
from tests.simulation.watch import SOMEBODY

PING_S = 5.0


class Fleet:
    """A broker, an orchestrator and hosts; to be made where the loop runs."""

    def __init__(self, play: Script, tasks: asyncio.TaskGroup) -> None:
        self.ledger = Ledger(now=asyncio.get_running_loop().time)
        self.broker = MemoryBroker(faults=play.faults)
        self.hosts = [
            Host.fresh(
                InstanceId(f"host-{number + 1}"),
                role,
                broker=self.broker,
                ledger=self.ledger,
                seed=play.seed,
                failing=play.failing,
            )
            for number, role in enumerate(play.roles)
        ]
        self.names = [host.identity.instance for host in self.hosts]
        self.clones: list[Host] = []
        self.orchestrator = Orchestrator(
            tuple(host.enrolment for host in self.hosts),
            broker=self.broker,
            ledger=self.ledger,
            seed=play.seed,
        )
        self._seed = play.seed
        self._tasks = tasks
        self._ends: list[tuple[asyncio.TimerHandle, Callable[[], object]]] = []
        self.hands = Hands(self, play.seed)
        lives = [
            self.orchestrator.run(tasks),
            self.hands.run(tasks),
            *(host.run(tasks) for host in self.hosts),
        ]
        self._lives = [tasks.create_task(life, name="life") for life in lives]

    def end(self) -> None:
        """End the simulation."""
        for life in self._lives:
            life.cancel()
        for host in (*self.hosts, *self.clones):
            host.kill()
        self.orchestrator.end()

    def calm(self) -> None:
        """Let nothing bad happen from now on, and end what lasts."""
        self.ledger.note("all is calm")
        for timer, end in self._ends:
            if not timer.cancelled() and timer.when() > asyncio.get_running_loop().time():
                timer.cancel()
                end()
        self.broker._fate = Fate(Faults())
        self.hands.is_calm = True
        for host in self.hosts:
            host.spare()
        self.orchestrator.spare()

    def ask(self, what: str, asked: Asked) -> None:
        """Let an operator ask something."""
        self.orchestrator.ask(what, asked)

    def perform(self, action: Action) -> None:  # noqa: C901, PLR0912, PLR0915 - it only dispatches
        """Let `action` happen."""
        self.ledger.note(f"{action}")
        match action:
            case actions.Converge():
                self.ask("converge", operators.converging(action, self.names))
            case actions.CancelRun(place=place):
                self.ask("cancel", operators.cancelling_one(place))
            case actions.Ping():
                everyone = Selector(everything=True)
                self.ask("ping", lambda service: service.fleet.ping(everyone, timeout_s=PING_S))
            case actions.Upgrade():
                self.ask("upgrade", operators.upgrading(action, self.names))
            case actions.Steer():
                self.ask(action.action.value, operators.steering(action))
            case actions.DrainHost():
                self.ask("drain", operators.draining(action, self.names))
            case actions.UncordonHost(host=host):
                self.ask("uncordon", operators.uncordoning(self.names[host]))
            case actions.KillWing(host=host, away_s=away_s, reset=reset):
                self.hosts[host].kill(away_s, reset=reset)
            case actions.StopWing(host=host, away_s=away_s):
                self.hosts[host].stop(away_s)
            case actions.DoomWing(host=host, writes=writes, after=after):
                self.hosts[host].doom(Doom(writes=writes, after=after))
            case actions.WipeHost(host=host, away_s=away_s):
                self.hosts[host].wipe(away_s)
            case actions.CloneHost(host=host, for_s=for_s):
                self._clone(self.hosts[host], for_s)
            case actions.CutWing(host=host, for_s=for_s):
                self._cut(self.hosts[host].name, for_s)
            case actions.CutOrchestrator(for_s=for_s):
                for name in ORCHESTRATORS:
                    self._cut(name, for_s)
            case actions.StopBroker(for_s=for_s, forget=forget):
                self.broker.stop()
                self._for(for_s, lambda: self.broker.start(forget=forget))
            case actions.KillOrchestrator(away_s=away_s):
                self.orchestrator.kill(away_s)
            case actions.DoomOrchestrator(commits=commits, after=after):
                self.orchestrator.doom(Doom(writes=commits, after=after))
            case actions.HoldLock(host=host, for_s=for_s):
                machine = self.hosts[host].machine
                machine.lock(locked=True)
                self._for(for_s, lambda: machine.lock(locked=False))
            case actions.FillDisk(host=host, for_s=for_s):
                filled = self.hosts[host]
                filled.fill_disk(full=True)
                self._for(for_s, lambda: filled.fill_disk(full=False))
            case actions.Meddle():
                self._meddle(self.hosts[action.host], action)
            case actions.DriftAway(host=host):
                self.hosts[host].machine.drifts += 1
            case actions.FreezeOrchestrator():
                self.orchestrator.freeze(action.commits, action.for_s, action.until_taken_s)
            case actions.BackUp():
                self.orchestrator.back_up()
            case actions.Restore(away_s=away_s):
                self.orchestrator.restore(away_s)
            case _:
                assert_never(action)

    def _for(self, seconds: float, end: Callable[[], object]) -> None:
        """Have `end` called after a while, or when all is calm."""
        timer = asyncio.get_running_loop().call_later(seconds, end)
        self._ends.append((timer, end))

    def _cut(self, client: str, for_s: float) -> None:
        self.broker.cut(client, for_good=True)
        self._for(for_s, lambda: self.broker.mend(client))

    def _meddle(self, host: Host, action: actions.Meddle) -> None:
        node = host.machine.node
        if not action.cordon:
            node.uncordon(SOMEBODY)
        elif node.owner is None:
            node.cordon(SOMEBODY)
            self._for(action.for_s, lambda: node.owner == SOMEBODY and node.uncordon(SOMEBODY))

    def _clone(self, host: Host, for_s: float) -> None:
        twin = host.clone(self._seed)
        life = self._tasks.create_task(twin.run(self._tasks), name="clone")
        self.clones.append(twin)

        def end() -> None:
            life.cancel()
            twin.kill(reset=True)

        self._for(for_s, end)
        self._lives.append(life)
