"""A whole fleet in one process, and what a script does to it."""

import asyncio
from collections.abc import Callable
from typing import assert_never

from broker.ids import InstanceId, Role, RunId
from broker.memory import Faults, MemoryBroker
from broker.memory.faults import Fate
from orchestrator.domain.views import Selector
from orchestrator.operations import ConvergeRequest
from orchestrator.service.assembly import Service
from tests.simulation import script
from tests.simulation.host import Host
from tests.simulation.ledger import Ledger
from tests.simulation.mortal import Doom
from tests.simulation.orchestra import BUNDLES, NAME, Orchestrator
from tests.simulation.script import Action, Script

ROLES = (Role("worker"), Role("etcd"))
PING_S = 5.0


class Fleet:
    """A broker, an orchestrator and hosts; to be made where the loop runs."""

    def __init__(self, play: Script, tasks: asyncio.TaskGroup) -> None:
        self.ledger = Ledger(now=asyncio.get_running_loop().time)
        self.broker = MemoryBroker(faults=play.faults)
        self.hosts = [
            Host.fresh(
                InstanceId(f"host-{number + 1}"),
                ROLES[number % len(ROLES)],
                broker=self.broker,
                ledger=self.ledger,
                seed=play.seed,
            )
            for number in range(play.hosts)
        ]
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
        lives = [self.orchestrator.run(tasks), *(host.run(tasks) for host in self.hosts)]
        self._lives = [tasks.create_task(life, name="life") for life in lives]

    def end(self) -> None:
        """End the simulation."""
        for life in self._lives:
            life.cancel()
        for host in (*self.hosts, *self.clones):
            host.kill()
        self.orchestrator.kill()

    def calm(self) -> None:
        """Let nothing bad happen from now on, and end what lasts."""
        self.ledger.note("all is calm")
        for timer, end in self._ends:
            if not timer.cancelled() and timer.when() > asyncio.get_running_loop().time():
                timer.cancel()
                end()
        self.broker._fate = Fate(Faults())
        for host in self.hosts:
            host.spare()
        self.orchestrator.spare()

    def perform(self, action: Action) -> None:  # noqa: C901, PLR0912 - it only dispatches
        """Let `action` happen."""
        self.ledger.note(f"{action}")
        match action:
            case script.Converge():
                self.orchestrator.ask(
                    "converge", lambda service: service.runs.converge(self._request(action))
                )
            case script.CancelRun(place=place):
                self.orchestrator.ask("cancel", lambda service: _cancel(service, place))
            case script.Ping():
                everyone = Selector(everything=True)
                self.orchestrator.ask("ping", lambda service: service.fleet.ping(everyone, timeout_s=PING_S))
            case script.KillWing(host=host, away_s=away_s, reset=reset):
                self.hosts[host].kill(away_s, reset=reset)
            case script.StopWing(host=host, away_s=away_s):
                self.hosts[host].stop(away_s)
            case script.DoomWing(host=host, writes=writes, after=after):
                self.hosts[host].doom(Doom(writes=writes, after=after))
            case script.WipeHost(host=host, away_s=away_s):
                self.hosts[host].wipe(away_s)
            case script.CloneHost(host=host, for_s=for_s):
                self._clone(self.hosts[host], for_s)
            case script.CutWing(host=host, for_s=for_s):
                self._cut(self.hosts[host].name, for_s)
            case script.CutOrchestrator(for_s=for_s):
                self._cut(NAME, for_s)
            case script.StopBroker(for_s=for_s, forget=forget):
                self.broker.stop()
                self._for(for_s, lambda: self.broker.start(forget=forget))
            case script.KillOrchestrator(away_s=away_s):
                self.orchestrator.kill(away_s)
            case script.DoomOrchestrator(commits=commits, after=after):
                self.orchestrator.doom(Doom(writes=commits, after=after))
            case script.HoldLock(host=host, for_s=for_s):
                machine = self.hosts[host].machine
                machine.lock(locked=True)
                self._for(for_s, lambda: machine.lock(locked=False))
            case script.FillDisk(host=host, for_s=for_s):
                filled = self.hosts[host]
                filled.fill_disk(full=True)
                self._for(for_s, lambda: filled.fill_disk(full=False))
            case _:
                assert_never(action)

    def _for(self, seconds: float, end: Callable[[], object]) -> None:
        """Have `end` called after a while, or when all is calm."""
        timer = asyncio.get_running_loop().call_later(seconds, end)
        self._ends.append((timer, end))

    def _cut(self, client: str, for_s: float) -> None:
        self.broker.cut(client, for_good=True)
        self._for(for_s, lambda: self.broker.mend(client))

    def _clone(self, host: Host, for_s: float) -> None:
        twin = host.clone(self._seed)
        life = self._tasks.create_task(twin.run(self._tasks), name="clone")
        self.clones.append(twin)

        def end() -> None:
            life.cancel()
            twin.kill(reset=True)

        self._for(for_s, end)
        self._lives.append(life)

    def _request(self, asked: script.Converge) -> ConvergeRequest:
        names = tuple(self.hosts[number].identity.instance for number in asked.hosts)
        return ConvergeRequest(
            selector=Selector(instances=names, everything=not names),
            digest=BUNDLES[asked.digest].digest,
            noop=asked.noop,
            parallel=asked.parallel,
            timeout_s=asked.timeout_s,
            requested_by="ann",
        )


async def _cancel(service: Service, place: float) -> None:
    open_runs: list[RunId] = [
        run for instance in service.core.state.instances.values() for run in instance.runs
    ]
    if open_runs:
        chosen = open_runs[int(place * len(open_runs))]
        await service.runs.cancel(chosen, requested_by="ann")
