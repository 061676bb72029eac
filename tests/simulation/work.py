"""What a wing's runs do to its host: scripted by a seed, with processes that outlive a killed wing.

Puppet is a process of its own. SIGKILL for the wing leaves it at work, and the wing's next boot has to end it
before it says `interrupted`; so a process here belongs to its host, and only the awaiting of it to the wing.
"""

import asyncio
import itertools
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from broker.ids import MessageId, OrderId, RunId
from broker.messages import (
    Checked,
    Converge,
    CordonChanged,
    Drain,
    Drainer,
    DrainFinished,
    DrainStarted,
    Health,
    Prefetch,
    RunOutcome,
    RunResult,
    Uncordon,
    Verdict,
)
from tests.simulation.clock import VirtualClock
from tests.simulation.ledger import Disk, Ledger, Proof
from wing.effects import RunOrder
from wing.events import Completed, Done, End, Fetched, Paper, Process, Stopped, Unable
from wing.ports import JournalUnwritableError, OrderWatcher, Watcher

CHANGED: Final = (2, 0)
UNCHANGED: Final = (0,)
FAILED: Final = (4, 6, 4)
NEVER_SETTLES: Final = (2, 2, 2)
MENDED: Final = (6, 2, 0)
BROKEN_CODE: Final = (1,)
KILLED: Final = -9
WAYS: Final = (CHANGED, CHANGED, CHANGED, UNCHANGED, FAILED, NEVER_SETTLES, MENDED, BROKEN_CODE)
LONGEST_APPLY_S: Final = 40.0
SLOWEST_FETCH_S: Final = 5.0
SLOWEST_ORDER_S: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a run will go: the exit code and length of each apply; a hanging one never ends by itself."""

    codes: tuple[int, ...]
    applies_s: tuple[float, ...]
    fetch_s: float
    has_bundle: bool
    hangs: bool


class Machine:
    """A host, as far as work meets it: its processes, who holds Puppet's lock, and who its Node's `cordon`.

    The cordon stands in the Kubernetes API, so nothing that happens to the host takes it away.
    """

    def __init__(self, name: str, ledger: Ledger, seed: int) -> None:
        self.name = name
        self.ledger = ledger
        self.cordon: str | None = None
        self.host_boot = 1
        self._dice = random.Random(f"{seed} {name} work")  # noqa: S311 - it has to be predictable
        self._numbers = itertools.count(100)
        self._alive: dict[int, tuple[RunId, asyncio.TimerHandle | None, asyncio.Event]] = {}
        self._unlocked = asyncio.Event()
        self._unlocked.set()

    @property
    def is_locked(self) -> bool:
        """Whether somebody else's Puppet is at work."""
        return not self._unlocked.is_set()

    def lock(self, *, locked: bool) -> None:
        """Let somebody else's Puppet begin or end."""
        if locked:
            self._unlocked.clear()
        else:
            self._unlocked.set()

    async def unlocked(self) -> None:
        """Wait until nobody else's Puppet is at work."""
        await self._unlocked.wait()

    def plan(self, order: Converge) -> Plan:
        """Throw the dice for a run."""
        dice = self._dice
        codes = dice.choice(((2,), (0,), (4,), (1,)) if order.noop else WAYS)
        return Plan(
            codes=codes,
            applies_s=tuple(dice.uniform(0.5, LONGEST_APPLY_S) for _ in codes),
            fetch_s=dice.uniform(0, SLOWEST_FETCH_S),
            has_bundle=dice.random() > 0.03,
            hangs=dice.random() < 0.05,
        )

    def order_s(self) -> float:
        """Throw the dice for how long a drain takes."""
        return self._dice.uniform(0.5, SLOWEST_ORDER_S)

    def process(self) -> Process:
        """Return what a process that waits at its gate is known by."""
        pid = next(self._numbers)
        return Process(pid=pid, group=pid, start=pid, host_boot=str(self.host_boot))

    def begin(self, process: Process, run: RunId, *, changes: bool, lasts_s: float | None) -> asyncio.Event:
        """Let a process pass its gate; the event says that it is gone."""
        if changes:
            self.ledger.change_begins(self.name, run)
        gone = asyncio.Event()
        timer = None
        if lasts_s is not None:
            timer = asyncio.get_running_loop().call_later(lasts_s, self.end, process.pid)
        self._alive[process.pid] = (run, timer, gone)
        return gone

    def end(self, pid: int) -> bool:
        """End a process, if it is alive; returns whether it was."""
        found = self._alive.pop(pid, None)
        if found is None:
            return False
        run, timer, gone = found
        if timer is not None:
            timer.cancel()
        self.ledger.change_ends(self.name, run)
        gone.set()
        return True

    def reboot(self) -> None:
        """End every process, as a reset does."""
        self.host_boot += 1
        for pid in tuple(self._alive):
            self.end(pid)


class ScriptedWork:
    """`wing.ports.Work` on a `Machine`."""

    def __init__(self, machine: Machine, disk: Disk, clock: VirtualClock) -> None:
        self._machine = machine
        self._disk = disk
        self._clock = clock

    async def converge(self, order: Converge, watcher: Watcher, cancel: asyncio.Event) -> End:
        """Do what the dice say, as the real runner would: fetch, wait for the lock, apply, confirm."""
        self._machine.ledger.work_begins(self._disk, order.run, noop=order.noop)
        plan = self._machine.plan(order)
        if not await _unless(cancel, asyncio.sleep(plan.fetch_s)):
            return Stopped()
        if not plan.has_bundle:
            return Unable(reason="bundle not fetched: no such bundle")
        if self._machine.is_locked:
            watcher.waits("Puppet is at work already: process 4711, puppet agent")
            began = self._clock.now()
            if not await _unless(cancel, self._machine.unlocked()):
                return Stopped(result=self._result(order, (), began), papers=_papers(order))
        try:
            return await self._applied(order, plan, watcher, cancel)
        except JournalUnwritableError as error:
            return Unable(reason=f"not run, since it could not be recorded: {error}")

    async def prefetch(self, order: Prefetch, cancel: asyncio.Event) -> End:
        """Have the bundle at once."""
        del order, cancel
        return Fetched()

    async def carry_out(self, asked: RunOrder, watcher: OrderWatcher, cancel: asyncio.Event) -> End:
        """Drain in a moment, lift our own cordon, and find all well."""
        process = self._machine.process()
        try:
            await watcher.process_started(process)
        except JournalUnwritableError as error:
            return Unable(reason=f"not begun, since it could not be recorded: {error}")
        match asked.order:
            case Drain() as drain:
                return await self._drained(asked.command, drain, watcher, cancel)
            case Uncordon() as uncordon:
                self._uncordoned(asked.command, uncordon, watcher)
            case Health() as health:
                watcher.told(
                    Checked(
                        command=asked.command,
                        order=health.order,
                        check="node",
                        passed=True,
                        saw="Ready",
                        passes=health.passes,
                    )
                )
            case _:
                assert_never(asked.order)
        return Done()

    async def end_leftovers(self, processes: Sequence[Process]) -> Sequence[str]:
        """End what an earlier wing's runs left."""
        here = [each for each in processes if each.host_boot == str(self._machine.host_boot)]
        await asyncio.sleep(0.5 * len(here))
        return [f"process {each.pid}" for each in here if self._machine.end(each.pid)]

    async def _drained(
        self, command: MessageId, drain: Drain, watcher: OrderWatcher, cancel: asyncio.Event
    ) -> End:
        machine = self._machine
        machine.cordon = drain.owner
        watcher.told(self._cordon_changed(command, drain.order, owned=True))
        watcher.told(
            DrainStarted(
                command=command, order=drain.order, drainer=Drainer.KUBERNETES, node=machine.name, total=1
            )
        )
        took_s = machine.order_s()
        if not await _unless(cancel, asyncio.sleep(took_s)):
            return Stopped()
        watcher.told(DrainFinished(command=command, order=drain.order, took_ms=int(took_s * 1000), evicted=1))
        return Done()

    def _uncordoned(self, command: MessageId, uncordon: Uncordon, watcher: OrderWatcher) -> None:
        if self._machine.cordon == uncordon.owner:
            self._machine.cordon = None
        watcher.told(self._cordon_changed(command, uncordon.order, owned=False))

    def _cordon_changed(self, command: MessageId, order: OrderId, *, owned: bool) -> CordonChanged:
        cordoned = self._machine.cordon is not None
        return CordonChanged(
            command=command, order=order, node=self._machine.name, cordoned=cordoned, owned=owned
        )

    async def _applied(self, order: Converge, plan: Plan, watcher: Watcher, cancel: asyncio.Event) -> End:
        began = self._clock.now()
        deadline = asyncio.get_running_loop().time() + order.timeout_s
        codes: list[int] = []
        for code, apply_s in zip(plan.codes, plan.applies_s, strict=True):
            left_s = deadline - asyncio.get_running_loop().time()
            process = self._machine.process()
            await watcher.process_started(process)
            lasts_s = None if plan.hangs else apply_s
            gone = self._machine.begin(process, order.run, changes=not order.noop, lasts_s=lasts_s)
            watcher.progressed(len(codes) + 1, 1, 2, "File[/etc/motd]")
            ended = await _unless(cancel, gone.wait(), within_s=left_s)
            if self._machine.end(process.pid) or not ended:
                codes.append(KILLED)
                if cancel.is_set():
                    return Stopped(result=self._result(order, tuple(codes), began), papers=_papers(order))
                return Completed(
                    result=self._result(order, tuple(codes), began, timeout=True), papers=_papers(order)
                )
            codes.append(code)
        result = self._result(order, tuple(codes), began)
        proof = Proof(run=order.run, digest=order.digest, noop=order.noop, good=not result.failed)
        self._machine.ledger.proven(self._machine.name, proof)
        return Completed(result=result, papers=_papers(order))

    def _result(
        self, order: Converge, codes: tuple[int, ...], began: datetime, *, timeout: bool = False
    ) -> RunResult:
        outcome = RunOutcome.TIMEOUT if timeout else _outcome(codes)
        good = outcome in {RunOutcome.UNCHANGED, RunOutcome.CHANGED} and (order.noop or codes[-1] == 0)
        return RunResult(
            run=order.run,
            digest=order.digest,
            noop=order.noop,
            outcome=outcome,
            verdict=None if order.noop else Verdict.CONVERGED if good else Verdict.FAILED,
            reason="" if good else f"ended with {codes}",
            changed=sum(code in {2, 6} for code in codes),
            failed=0 if good else 1,
            skipped=0,
            total=2,
            exit_codes=codes,
            started_at=began,
            finished_at=self._clock.now(),
        )


def _outcome(codes: tuple[int, ...]) -> RunOutcome:
    if not codes or codes[-1] == 1:
        return RunOutcome.NOT_RUN
    if codes[-1] in {4, 6, KILLED}:
        return RunOutcome.FAILED
    return RunOutcome.CHANGED if 2 in codes else RunOutcome.UNCHANGED


def _papers(order: Converge) -> tuple[Paper, ...]:
    log = f"Notice: run {order.run}\n" * 20
    return Paper(name="log", content=log.encode()), Paper(name="report", content=order.run.encode())


async def _unless(
    cancel: asyncio.Event, awaited: Coroutine[None, None, object], *, within_s: float | None = None
) -> bool:
    """Return whether `awaited` came to its end before `cancel` was set or `within_s` had passed."""
    async with asyncio.TaskGroup() as tasks:
        doing = tasks.create_task(awaited, name="work.doing")
        watching = tasks.create_task(cancel.wait(), name="work.cancel")
        await asyncio.wait({doing, watching}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        doing.cancel()
        watching.cancel()
    return not doing.cancelled()
