"""A wing's work on its own host: bundles through a short-lived child, runs through the host's Puppet."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.ids import Digest
from broker.messages import Converge, LogLine, Prefetch
from puppet_bridge.cache import BundleCache
from puppet_bridge.command import MODULE_PATH, PuppetSettings
from puppet_bridge.converge import ConvergeReport, ConvergeRequest, converge
from puppet_bridge.diff import Scope
from puppet_bridge.errors import BridgeError
from puppet_bridge.execution import Identity, ProcessIdentity
from puppet_bridge.fetch import BundleFetcher, FetchTls
from puppet_bridge.processes import end_left_behind
from puppet_bridge.runner import LocalPuppet
from wing.config import WingConfig
from wing.events import Completed, End, Fetched, Paper, Process, Stopped, Unable
from wing.ports import JournalUnwritableError, Watcher

log = logging.getLogger("wing.puppet")

KEPT_BUNDLES: Final = 5
HOST_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def host_boot() -> str:
    """Return what names this boot of the host, in which process numbers mean something."""
    return HOST_BOOT.read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class PuppetWork:
    """`wing.ports.Work` with real bundles and the host's real Puppet, each run on its own."""

    fetcher: BundleFetcher
    settings: PuppetSettings
    instance: Identity
    host_boot: str

    @classmethod
    def configured(cls, config: WingConfig) -> "PuppetWork":
        """Return the work of the wing that `config` describes."""
        doors = config.bundles
        tls = None
        if doors.ca and doors.certificate and doors.key:
            tls = FetchTls(ca=str(doors.ca), certificate=str(doors.certificate), key=str(doors.key))
        return cls(
            fetcher=BundleFetcher(cache_dir=config.state_dir / "bundles", tls=tls),
            settings=PuppetSettings(
                state=config.state_dir / "puppet",
                executable=config.puppet.executable,
                modules=tuple(map(Path, config.puppet.module_path)) or MODULE_PATH,
                lock=config.puppet.lock,
            ),
            instance=Identity(
                instance=config.instance,
                role=config.role,
                pool=config.pool,
                cluster=config.cluster,
                labels=config.labels,
                root=str(config.root),
            ),
            host_boot=host_boot(),
        )

    async def converge(self, order: Converge, watcher: Watcher, cancel: asyncio.Event) -> End:
        """Make the host what the bundle says; once `cancel` is set, end all of it and return `Stopped`."""
        fetched = await self._fetched(order.digest, order.size, order.url, cancel)
        if not isinstance(fetched, Path):
            return fetched
        request = ConvergeRequest(
            run=order.run,
            digest=order.digest,
            bundle=fetched,
            scope=Scope(instance=self.instance.instance, root=self.instance.root),
            noop=order.noop,
            approved=order.diff,
            timeout_s=order.timeout_s,
            attempts=order.attempts,
            confirm=order.confirm,
        )
        try:
            with self._cache.hold(order.digest):
                puppet = LocalPuppet(self.settings, self.instance)
                recorder = _Recorder(watcher, self.host_boot)
                report = await converge(request, recorder, puppet=puppet, cancel=cancel)
        except JournalUnwritableError as error:
            return Unable(reason=f"not run, since it could not be recorded: {error}")
        return _end(report)

    async def prefetch(self, order: Prefetch, cancel: asyncio.Event) -> End:
        """Have the bundle unpacked here; once `cancel` is set, end the fetch and return `Stopped`."""
        fetched = await self._fetched(order.digest, order.size, order.url, cancel)
        return Fetched() if isinstance(fetched, Path) else fetched

    async def end_leftovers(self, processes: Sequence[Process]) -> Sequence[str]:
        """End what an earlier wing's runs left; return what was ended, in words.

        Of an earlier boot of the host nothing can be left, whatever has its numbers now.
        """
        ended: list[str] = []
        for process in processes:
            if process.host_boot == self.host_boot:
                ended += await end_left_behind(process.pid, process.start, process.group)
        return ended

    @property
    def _cache(self) -> BundleCache:
        return BundleCache(self.fetcher.cache_dir)

    async def _fetched(
        self, digest: Digest, size: int, url: str, cancel: asyncio.Event
    ) -> Path | Stopped | Unable:
        async def fetch() -> Path | Unable:
            try:
                return await self.fetcher.fetch(digest, size, url)
            except (BridgeError, OSError) as error:
                return Unable(reason=f"bundle not fetched: {error}")

        fetched = await _unless(cancel, fetch)
        if isinstance(fetched, Path):
            await asyncio.to_thread(self._cache.prune, KEPT_BUNDLES, (digest,))
        return Stopped() if fetched is None else fetched


class _Recorder:
    """Passes on what is seen of a run, with the boot of the host that a process belongs to."""

    def __init__(self, watcher: Watcher, host_boot: str) -> None:
        self._watcher = watcher
        self._host_boot = host_boot

    async def process_started(self, process: ProcessIdentity) -> None:
        recorded = Process(
            pid=process.pid, group=process.group, start=process.start, host_boot=self._host_boot
        )
        await self._watcher.process_started(recorded)

    def waits(self, reason: str) -> None:
        self._watcher.waits(reason)

    def said(self, line: LogLine) -> None:
        self._watcher.said(line)

    def progressed(self, execution: int, done: int, total: int, resource: str) -> None:
        self._watcher.progressed(execution, done, total, resource)


def _end(report: ConvergeReport) -> End:
    papers = (Paper(name="log", content=report.log), Paper(name="report", content=report.report))
    if report.cancelled:
        return Stopped(result=report.result, papers=papers)
    return Completed(result=report.result, papers=papers)


async def _unless(
    cancel: asyncio.Event, work: Callable[[], Coroutine[Any, Any, Path | Unable]]
) -> Path | Unable | None:
    """Return what `work` does, or None if `cancel` was set before it was done; it is at its end then too."""
    async with asyncio.TaskGroup() as tasks:
        doing = tasks.create_task(work(), name="wing.fetch")
        watching = tasks.create_task(cancel.wait(), name="wing.fetch.cancel")
        await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
        doing.cancel()
        watching.cancel()
    return None if doing.cancelled() else doing.result()
