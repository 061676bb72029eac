"""A resident wing carries out orders without ever loading what that takes.

kubernetes_asyncio and aiohttp would cost it many megabytes for good, so a child does the work (`drain_child`,
`health_child`) and is gone. It is recorded like Puppet's processes before it may begin, so that the next boot
ends what a killed wing left; what is asked to end gets SIGTERM with all that it started, and KILL in the end.
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from asyncio.subprocess import PIPE
from asyncio.subprocess import Process as Child
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final, assert_never

from broker.messages import Drain, Drainer, DrainFinished, DrainStarted, Health, Uncordon
from puppet_bridge.children import python_command, python_environment
from puppet_bridge.execution import ProcessIdentity
from puppet_bridge.processes import end_tree, identify
from wing.config import DrainConfig
from wing.effects import RunOrder
from wing.errand import Errand, ErrandError, OrderEnd, Place, errand_line, line_word
from wing.events import Done, Process, Stopped, Unable
from wing.ports import JournalUnwritableError, OrderWatcher

LAST_WORDS: Final = 4096
EXIT_S: Final = 5.0
LONGEST_LINE: Final = 4 * 1024 * 1024
DRAIN: Final = "drain"
UNCORDON: Final = "uncordon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Errands:
    """Carries orders out on this host, each by a child of its own."""

    place: Place
    host_boot: str
    hooks: Path | None = None
    drain_child: tuple[str, ...] = field(default_factory=lambda: python_command("wing.drain_child"))
    health_child: tuple[str, ...] = field(default_factory=lambda: python_command("wing.health_child"))

    @classmethod
    def configured(cls, config: DrainConfig, host_boot: str) -> "Errands":
        """Return the errands of the wing whose `[drain]` is `config`."""
        kubeconfig = None if config.kubeconfig is None else str(config.kubeconfig)
        place = Place(
            node=config.node,
            kubeconfig=kubeconfig,
            command=config.command,
            uncordon_command=config.uncordon_command,
        )
        return cls(place=place, host_boot=host_boot, hooks=config.hooks)

    async def carry_out(self, asked: RunOrder, watcher: OrderWatcher, cancel: asyncio.Event) -> OrderEnd:
        """Carry an order out and return how it ended; once `cancel` is set, end all of it."""
        # Looked at anew each time: the run before may have brought them.
        now = replace(self, place=_with_hooks(self.place, self.hooks))
        return await now._carried_out(asked, watcher, cancel)  # noqa: SLF001 - its own

    async def _carried_out(self, asked: RunOrder, watcher: OrderWatcher, cancel: asyncio.Event) -> OrderEnd:
        match asked.order:
            case Drain() as drain:
                return await self._drained(asked, drain, watcher, cancel)
            case Uncordon() as uncordon:
                if self.place.kubeconfig is None and not self.place.uncordon_command:
                    return Done()
                errand = Errand(command=asked.command, place=self.place, uncordon=uncordon)
                return await self._sent(self.drain_child, errand, watcher, cancel)
            case Health() as health:
                errand = Errand(command=asked.command, place=self.place, health=health)
                return await self._sent(self.health_child, errand, watcher, cancel)
            case _:
                assert_never(asked.order)

    async def _drained(
        self, asked: RunOrder, order: Drain, watcher: OrderWatcher, cancel: asyncio.Event
    ) -> OrderEnd:
        drainer = order.policy.drainer or self._default
        if drainer is Drainer.NONE:
            return _not_drained(asked, order, self.place.node, watcher)
        lacking = self._lacking(drainer)
        if lacking is not None:
            return Unable(reason=f"this wing can't drain by {drainer.value}: {lacking} is not configured")
        chosen = replace(order, policy=replace(order.policy, drainer=drainer))
        errand = Errand(command=asked.command, place=self.place, drain=chosen)
        return await self._sent(self.drain_child, errand, watcher, cancel)

    @property
    def _default(self) -> Drainer:
        if self.place.kubeconfig is not None:
            return Drainer.KUBERNETES
        return Drainer.COMMAND if self.place.command else Drainer.NONE

    def _lacking(self, drainer: Drainer) -> str | None:
        if drainer is Drainer.KUBERNETES and self.place.kubeconfig is None:
            return "drain.kubeconfig"
        return "drain.command" if drainer is Drainer.COMMAND and not self.place.command else None

    # One child ----------------------------------------------------------------------------------------

    async def _sent(
        self, command: tuple[str, ...], errand: Errand, watcher: OrderWatcher, cancel: asyncio.Event
    ) -> OrderEnd:
        with tempfile.TemporaryFile() as complaints:
            async with _child(command, complaints) as child:
                identity = identify(child.pid)
                if identity is not None:
                    try:
                        await watcher.process_started(self._recorded(identity))
                    except JournalUnwritableError as error:
                        return Unable(reason=f"not begun, since it could not be recorded: {error}")
                end = await _unless(cancel, child, identity, errand, watcher)
                await _exited(child)
            if cancel.is_set() and not isinstance(end, Done):
                return Stopped()  # what was ended by us may take that for a failure of its own
            return end or Unable(reason=_last_words(child, complaints))

    def _recorded(self, process: ProcessIdentity) -> Process:
        return Process(pid=process.pid, group=process.group, start=process.start, host_boot=self.host_boot)


def _with_hooks(place: Place, hooks: Path | None) -> Place:
    """Return the place with the host's own programs where the configuration names none."""
    if hooks is None or place.command or not os.access(hooks / DRAIN, os.X_OK):
        return place
    uncordon = (str(hooks / UNCORDON),) if os.access(hooks / UNCORDON, os.X_OK) else ()
    return replace(place, command=(str(hooks / DRAIN),), uncordon_command=uncordon)


async def _unless(
    cancel: asyncio.Event,
    child: Child,
    identity: ProcessIdentity | None,
    errand: Errand,
    watcher: OrderWatcher,
) -> OrderEnd | None:
    """Return how the child says that it ended, None if it does not; once `cancel` is set it is ended."""

    async def ending() -> None:
        await cancel.wait()
        if identity is not None:
            await end_tree(identity)

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(ending(), name="wing.order.cancel")
        end = await _converse(child, errand, watcher)
        watching.cancel()
    return end


async def _converse(child: Child, errand: Errand, watcher: OrderWatcher) -> OrderEnd | None:
    if child.stdin is None or child.stdout is None:
        return Unable(reason="the child has no pipes")
    child.stdin.write(errand_line(errand))
    async for line in child.stdout:
        try:
            word = line_word(line)
        except ErrandError as error:
            return Unable(reason=f"the child can't be understood: {error}")
        if isinstance(word, OrderEnd):
            return word
        watcher.told(word)
    await child.wait()
    return None


@asynccontextmanager
async def _child(command: tuple[str, ...], complaints: BinaryIO) -> AsyncIterator[Child]:
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=complaints,
        env=python_environment(),
        start_new_session=True,
        limit=LONGEST_LINE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


async def _exited(child: Child) -> None:
    """Wait a little for a child that has said all to be gone by itself."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(EXIT_S):
            await child.wait()


def _not_drained(asked: RunOrder, order: Drain, node: str, watcher: OrderWatcher) -> OrderEnd:
    watcher.told(
        DrainStarted(command=asked.command, order=order.order, drainer=Drainer.NONE, node=node, total=0)
    )
    watcher.told(DrainFinished(command=asked.command, order=order.order, took_ms=0, evicted=0))
    return Done()


def _last_words(child: Child, complaints: BinaryIO) -> str:
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - LAST_WORDS))
    said = complaints.read().decode("utf-8", "replace").strip()
    return f"the child ended with {child.returncode}: {said or 'not a word'}"
