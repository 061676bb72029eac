"""What a wing's runs do to its host: scripted by a seed, with processes that outlive a killed wing.

Puppet is a process of its own. SIGKILL for the wing leaves it at work, and the wing's next boot has to end it
before it says `interrupted`; so a process here belongs to its host, and only the awaiting of it to the wing.
"""

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, assert_never

from broker.ids import Digest, Role, RunId
from broker.messages import (
    Checked,
    Converge,
    Drain,
    Health,
    Prefetch,
    RunOutcome,
    RunResult,
    Uncordon,
    Verdict,
)
from tests.simulation.clock import VirtualClock
from tests.simulation.ledger import Disk, Ledger, Proof
from tests.simulation.node import Draining, Node
from tests.simulation.waiting import slept, unless
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
GOOD_WAYS: Final = (CHANGED, CHANGED, UNCHANGED, MENDED)
BAD_WAYS: Final = (FAILED, NEVER_SETTLES, BROKEN_CODE)
LONGEST_APPLY_S: Final = 15.0
SLOWEST_FETCH_S: Final = 3.0
ORDER_S: Final = 0.5
UNHEALTHY_S: Final = (3.0, 15.0, 1e9)
"""For how long a host may be unhealthy after a run; the last until all is calm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a run will go: the exit code and length of each apply; a hanging one never ends by itself."""

    codes: tuple[int, ...]
    applies_s: tuple[float, ...]
    fetch_s: float
    has_bundle: bool
    hangs: bool


class Machine:
    """A host, as far as work meets it: its processes, who holds Puppet's lock, its Node and its health.

    `failing` is how often a run on it goes wrong.
    """

    def __init__(self, name: str, role: Role, *, ledger: Ledger, seed: int, failing: float) -> None:
        self.name = name
        self.role = role
        self.ledger = ledger
        self.host_boot = 1
        self.drifts = 0
        self._failing = failing
        self._healthy_at_s = 0.0
        self._calm = False
        self._dice = random.Random(f"{seed} {name} work")  # noqa: S311 - it has to be predictable
        self.node = Node(name, ledger, self._dice)
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

    def calm(self) -> None:
        """Let all go well from now on."""
        self._calm = True
        self._failing = self._healthy_at_s = 0.0
        self.node.calm()
        self.lock(locked=False)

    def plan(self, order: Converge) -> Plan:
        """Throw the dice for a run."""
        dice = self._dice
        bad = dice.random() < self._failing
        codes = dice.choice(BAD_WAYS if bad else GOOD_WAYS)
        if order.noop:
            codes = dice.choice(((4,), (1,)) if bad else ((2,), (0,)))
        return Plan(
            codes=codes,
            applies_s=tuple(dice.uniform(0.5, LONGEST_APPLY_S) for _ in codes),
            fetch_s=dice.uniform(0, SLOWEST_FETCH_S),
            has_bundle=not bad or dice.random() > 0.1,
            hangs=bad and dice.random() < 0.25,
        )

    def diff_of(self, digest: Digest) -> str:
        """Return the hash of what a bundle would change here now."""
        return f"{digest[-1]}{self.drifts:02}".ljust(64, "0")

    def ail(self) -> None:
        """Be healthy again some time after a run."""
        if self._dice.random() < self._failing:
            self._healthy_at_s = asyncio.get_running_loop().time() + self._dice.choice(UNHEALTHY_S)

    @property
    def is_healthy(self) -> bool:
        """Whether all that is looked at is well."""
        return asyncio.get_running_loop().time() >= self._healthy_at_s

    def order_fails(self) -> bool:
        """Throw the dice for whether the API server can't be reached."""
        return self._dice.random() < self._failing / 4

    def process(self) -> Process:
        """Return what a process that waits at its gate is known by."""
        pid = next(self._numbers)
        return Process(pid=pid, group=pid, start=pid, host_boot=str(self.host_boot))

    def begin(
        self, process: Process, order: Converge, *, attempt: int, lasts_s: float | None
    ) -> asyncio.Event:
        """Let a process pass its gate; the event says that it is gone."""
        run = order.run
        if not order.noop:
            self.ledger.change_begins(self.name, run)
            # What drifts between the attempts of a run is the runner's to find, which is scripted here.
            diff = self.diff_of(order.digest) if attempt == 1 else None
            self.ledger.watch.applied(self.name, run, self.node, diff)
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
        if not await slept(cancel, plan.fetch_s):
            return Stopped()
        if not plan.has_bundle:
            return Unable(reason="bundle not fetched: no such bundle")
        began = self._clock.now()
        if self._machine.is_locked:
            watcher.waits("Puppet is at work already: process 4711, puppet agent")
            if not await unless(cancel, self._machine.unlocked()):
                return Stopped(result=self._result(order, (), began), papers=_papers(order))
        if order.diff not in {None, self._machine.diff_of(order.digest)}:
            return Completed(result=self._differing(order, began), papers=_papers(order))
        try:
            return await self._applied(order, plan, watcher, cancel)
        except JournalUnwritableError as error:
            return Unable(reason=f"not run, since it could not be recorded: {error}")

    async def prefetch(self, order: Prefetch, cancel: asyncio.Event) -> End:
        """Have the bundle at once."""
        del order, cancel
        return Fetched()

    async def carry_out(self, asked: RunOrder, watcher: OrderWatcher, cancel: asyncio.Event) -> End:
        """Drain, uncordon, or look at health, as the host's Node and the dice have it."""
        process = self._machine.process()
        order = asked.order
        self._machine.ledger.work_begins(self._disk, order.order, noop=False)
        try:
            await watcher.process_started(process)
        except JournalUnwritableError as error:
            return Unable(reason=f"not begun, since it could not be recorded: {error}")
        if isinstance(order, Health):
            return await self._looked(asked, order, watcher, cancel)
        self._machine.ledger.change_begins(self._machine.name, order.order)
        try:
            end = await self._moved(asked, order, watcher, cancel)
        finally:
            self._machine.ledger.change_ends(self._machine.name, order.order)
        self._machine.ledger.watch.carried_out(order.order, done=isinstance(end, Done))
        return end

    async def end_leftovers(self, processes: Sequence[Process]) -> Sequence[str]:
        """End what an earlier wing's runs left."""
        here = [each for each in processes if each.host_boot == str(self._machine.host_boot)]
        await asyncio.sleep(0.5 * len(here))
        return [f"process {each.pid}" for each in here if self._machine.end(each.pid)]

    async def _moved(
        self, asked: RunOrder, order: Drain | Uncordon, watcher: OrderWatcher, cancel: asyncio.Event
    ) -> End:
        if not await slept(cancel, ORDER_S):
            return Stopped()
        if self._machine.order_fails():
            return Unable(reason="the API server can't be reached")
        draining = Draining(self._machine.node, asked, watcher, self._clock)
        match order:
            case Drain():
                return await draining.drain(order, cancel)
            case Uncordon():
                return draining.uncordon(order)
            case _:
                assert_never(order)

    async def _looked(
        self, asked: RunOrder, health: Health, watcher: OrderWatcher, cancel: asyncio.Event
    ) -> End:
        ends_s = asyncio.get_running_loop().time() + health.timeout_s
        passes, told = 0, False
        while passes < health.passes:
            passes = passes + 1 if self._machine.is_healthy else 0
            if not passes and not told:
                watcher.told(self._checked(asked, health, passed=False, saw="not ready", passes=0))
                told = True
            if passes < health.passes and not await slept(cancel, health.interval_s):
                return Stopped()
            if passes < health.passes and asyncio.get_running_loop().time() > ends_s:
                return Unable(reason=f"not healthy within {health.timeout_s} s: not ready")
        watcher.told(self._checked(asked, health, passed=True, saw="Ready", passes=passes))
        self._machine.ledger.watch.carried_out(health.order, done=True)
        return Done()

    def _checked(self, asked: RunOrder, health: Health, *, passed: bool, saw: str, passes: int) -> Checked:
        return Checked(
            command=asked.command, order=health.order, check="node", passed=passed, saw=saw, passes=passes
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
            gone = self._machine.begin(process, order, attempt=len(codes) + 1, lasts_s=lasts_s)
            watcher.progressed(len(codes) + 1, 1, 2, "File[/etc/motd]")
            ended = await unless(cancel, gone.wait(), within_s=left_s)
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
        if not order.noop:
            self._machine.ail()
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
            diff_hash=self._machine.diff_of(order.digest),
        )

    def _differing(self, order: Converge, began: datetime) -> RunResult:
        """Return the account of a run that found other changes than were approved, and made none."""
        reason = f"diff differs: approved was {str(order.diff)[:12]}"
        result = self._result(order, (), began)
        return replace(result, outcome=RunOutcome.NOT_RUN, verdict=None, reason=reason)


def _outcome(codes: tuple[int, ...]) -> RunOutcome:
    if not codes or codes[-1] == 1:
        return RunOutcome.NOT_RUN
    if codes[-1] in {4, 6, KILLED}:
        return RunOutcome.FAILED
    return RunOutcome.CHANGED if 2 in codes else RunOutcome.UNCHANGED


def _papers(order: Converge) -> tuple[Paper, ...]:
    log = f"Notice: run {order.run}\n" * 20
    return Paper(name="log", content=log.encode()), Paper(name="report", content=order.run.encode())
