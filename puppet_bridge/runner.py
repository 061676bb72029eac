"""One real `puppet apply`: started so that no crash loses sight of it, followed, and ended as a whole.

Between the birth of a process and the moment its number is on disk, a wing may die. So the child starts as
a gate: a shell that waits for one line on its pipe and only then becomes Puppet (`exec`). Until the watcher
has the process on record and the host's lock is taken in its name, nothing has run; if the wing dies
before, the pipe closes and the gate ends. The shell is called by a link named `puppet-gate`: an agent that
looks at the lock meanwhile sees a process that looks like Puppet, and takes the lock for a living one.
"""

import asyncio
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from puppet_bridge import lock
from puppet_bridge.command import Places, PuppetSettings, apply_command, environment
from puppet_bridge.errors import PuppetMissingError, ReportError
from puppet_bridge.execution import Ending, Execution, Identity, Order, ProcessIdentity, Watcher
from puppet_bridge.host import find, host_lock, host_modules, last_words, prepare
from puppet_bridge.processes import GRACE_S, end_tree, identify
from puppet_bridge.report import RunReport
from puppet_bridge.report_reader import read_report
from puppet_bridge.tail import LOOK_S, Tail

GATE: Final = 'read -r go && exec "$@" </dev/null'


class LocalPuppet:
    """The Puppet of this host, for one instance."""

    def __init__(self, settings: PuppetSettings, instance: Identity, *, grace_s: float = GRACE_S) -> None:
        self._settings = settings
        self._instance = instance
        self._grace_s = grace_s
        self._lock = settings.lock

    async def execute(self, order: Order, watcher: Watcher, cancel: asyncio.Event) -> Execution:
        """Carry out `order`, ended early when `cancel` is set; raises PuppetError if that can't begin."""
        executable = find(self._settings.executable)
        self._lock = self._lock or await host_lock(executable)
        places = prepare(self._settings.state, order, self._instance)
        command = apply_command(
            executable,
            places=places,
            bundle=order.bundle,
            host_modules=host_modules(order.bundle, self._settings.modules),
            instance=self._instance,
            noop=order.noop,
        )
        async with _gate(command, places, self._grace_s) as gate:
            await watcher.process_started(gate.process)
            attempt = _Attempt(
                order=order, gate=gate, watcher=watcher, tail=Tail(places.log, order, watcher), cancel=cancel
            )
            return await attempt.carry_out(self._lock, places)


@dataclass(slots=True, kw_only=True)
class _Gate:
    """A child that waits to become Puppet."""

    child: Process
    process: ProcessIdentity
    grace_s: float
    ended: tuple[str, ...] = ()

    def open(self) -> None:
        """Let Puppet start."""
        if self.child.stdin is not None:
            self.child.stdin.write(b"go\n")
            self.child.stdin.close()

    async def end(self) -> None:
        """End the child with all that descends from it."""
        self.ended += await end_tree(self.process, grace_s=self.grace_s)
        await self.child.wait()

    async def end_if_alive(self) -> None:
        """End the child if it hasn't ended by itself."""
        if self.child.returncode is None:
            await self.end()


@asynccontextmanager
async def _gate(command: tuple[str, ...], places: Places, grace_s: float) -> AsyncIterator[_Gate]:
    """Start the gate; whatever happens within, nothing of it is left afterwards."""
    with places.console.open("wb") as console:
        child = await asyncio.create_subprocess_exec(
            *("sh", "-c", GATE, "puppet-gate", *command),
            executable=places.gate,
            stdin=PIPE,
            stdout=console,
            stderr=console,
            cwd=places.own,
            env=environment(places.state),
            start_new_session=True,
        )
    process = identify(child.pid)
    if process is None:
        raise PuppetMissingError(executable=command[0], reason="/bin/sh ended before it became Puppet")
    gate = _Gate(child=child, process=process, grace_s=grace_s)
    try:
        yield gate
    finally:
        await gate.end_if_alive()


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """One execution under way."""

    order: Order
    gate: _Gate
    watcher: Watcher
    tail: Tail
    cancel: asyncio.Event
    took_s: float = 0.0

    async def carry_out(self, path: Path, places: Places) -> Execution:
        """Take the lock, run Puppet, and return how it went; waiting for the lock is not counted."""
        ending = await self._under_lock(path)
        self.tail.finish()
        report, fault = await _report(places, self.order.bundle)
        return Execution(
            noop=self.order.noop,
            ending=ending,
            exit_code=self.gate.child.returncode if self.took_s else None,
            took_s=self.took_s,
            report=report,
            fault=fault,
            errors=tuple(self.tail.errors),
            skips=self.tail.skips,
            at_resource=self.tail.at_resource,
            last_words=last_words(places.console),
            ended=self.gate.ended,
        )

    async def _under_lock(self, path: Path) -> Ending:
        pid = self.gate.process.pid
        if not await lock.take(path, pid, waits=self.watcher.waits, cancel=self.cancel):
            await self.gate.end()
            return Ending.CANCELLED
        try:
            return await self._puppet()
        finally:
            await self.gate.end_if_alive()
            lock.release(path, pid)

    async def _puppet(self) -> Ending:
        began = time.monotonic()
        self.gate.open()
        over = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(over), name="puppet.log")
            ending = await self._end()
            over.set()
        self.took_s = time.monotonic() - began
        return ending

    async def _end(self) -> Ending:
        """Wait for Puppet's end, and bring it about when time is up or a cancel comes."""
        async with asyncio.TaskGroup() as tasks:
            exited = tasks.create_task(self.gate.child.wait(), name="puppet.exit")
            called = tasks.create_task(self.cancel.wait(), name="puppet.cancel")
            timeout_s = self.order.timeout_s
            await asyncio.wait({exited, called}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            ending = _ending(exited=exited.done(), called=called.done())
            called.cancel()
            if ending is not Ending.EXITED:
                await self.gate.end()
        return ending

    async def _follow(self, over: asyncio.Event) -> None:
        more = False
        while not await lock.cancelled_within(over, 0.0 if more else LOOK_S):
            more = self.tail.look()


def _ending(*, exited: bool, called: bool) -> Ending:
    if exited:
        return Ending.EXITED
    return Ending.CANCELLED if called else Ending.TIMED_OUT


async def _report(places: Places, bundle: Path) -> tuple[RunReport | None, str]:
    """Return the execution's report, or why there is none."""
    try:
        return await read_report(places.report, places.log, bundle), ""
    except ReportError as error:
        return None, error.reason
