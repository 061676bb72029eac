"""`tarmak-orchestrator`: where the parts of the orchestrator are put together, and nowhere else.

Things are opened in the order in which they are needed (lock, journal, mesh, doors) and closed the other way
round, whatever ends the process in order.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog
from sdnotify import SystemdNotifier  # type: ignore[import-untyped] # it has no types; three calls are made

from broker.ids import Digest
from broker.mqtt import MqttMesh, MqttSettings
from broker.uuid7 import id_source
from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.lock import JournalInUseError, SideLock
from orchestrator.adapters.papers import BridgePapers
from orchestrator.adapters.shelf import StoreShelf
from orchestrator.adapters.sql.archive import SqlArchive
from orchestrator.adapters.sql.journal import SqlJournal
from orchestrator.api.bundle_door import DoorConfig, open_door
from orchestrator.api.route import Faces
from orchestrator.api.server import SocketConfig, SocketInUseError, serve
from orchestrator.config import (
    DEFAULT_PATH,
    ConfigError,
    OrchestratorConfig,
    load,
    load_key,
    load_roster,
)
from orchestrator.domain.model import Enrolment
from orchestrator.ports import Journal, JournalError
from orchestrator.service.assembly import Service, assemble
from puppet_bridge.stores import open_store
from puppet_bridge.stores.url import bundle_url

WATCHDOG_S: Final = 20.0
RETENTION_S: Final = 3600.0
USAGE: Final = 2

log = structlog.get_logger(__name__)


class _StopAskedError(Exception):
    """SIGTERM or SIGINT came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A file of configuration, and what it says."""

    file: Path
    config: OrchestratorConfig


def main() -> int:
    """Run the daemon; returns its exit code."""
    words = argparse.ArgumentParser(prog="tarmak-orchestrator", description="The orchestrator of a cluster.")
    words.add_argument("--config", type=Path, default=DEFAULT_PATH, help="default: %(default)s")
    words.add_argument("--check", action="store_true", help="check the configuration and end")
    asked = words.parse_args()
    _log()
    try:
        opened = _Opened(file=asked.config, config=load(asked.config))
        load_key(opened.file, opened.config)
        load_roster(opened.config.roster, SystemClock().now())
        if not asked.check:
            asyncio.run(run(opened))
    except ConfigError as error:
        sys.stderr.write(f"tarmak-orchestrator: {error}\n")
        return USAGE
    except (JournalInUseError, JournalError, SocketInUseError) as error:
        sys.stderr.write(f"tarmak-orchestrator: {error}\n")
        return 1
    return 0


async def run(opened: _Opened) -> None:
    """Serve until told to stop."""
    try:
        await _run(opened)
    except* _StopAskedError:
        log.info("stopped")
    except* (JournalError, ConfigError) as errors:
        raise errors.exceptions[0] from None


async def _run(opened: _Opened) -> None:
    config, clock = opened.config, SystemClock()
    config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    drafts = config.state_dir / "drafts"
    drafts.mkdir(exist_ok=True)
    for leftover in drafts.glob("push-*"):
        leftover.unlink()
    async with AsyncExitStack() as stack:
        stack.enter_context(SideLock(config.state_dir / "leader.lock", config.name))
        journal = await stack.enter_async_context(SqlJournal(config.journal_url, config.cluster))
        store = await stack.enter_async_context(open_store(config.store_url))
        mesh = await stack.enter_async_context(MqttMesh(_mqtt(config), client_id=config.name))
        leadership = await journal.lead(holder=config.name, at=clock.now())
        if leadership is None:
            action = "stop the other one, or wait until its lease has run out"
            raise JournalError(journal=config.cluster, reason="another orchestrator leads", action=action)
        archive = SqlArchive(journal.readers, config.cluster)
        service = await assemble(
            cluster=config.cluster,
            journal=journal,
            archive=archive,
            rollouts=archive,
            log=archive,
            mesh=mesh,
            key=load_key(opened.file, config),
            clock=clock,
            new_id=id_source(clock.now, os.urandom),
            reader=BridgePapers(),
            shelf=StoreShelf(store, drafts, clock),
            drafts=drafts,
            url_of=_urls(config),
            endpoint=f"{config.broker.host}:{config.broker.port}",
            version=version("tarmak"),
            roster=load_roster(config.roster, clock.now()),
        )
        log.info("leading", epoch=leadership.epoch, cluster=config.cluster, name=config.name)
        await _serve(opened, service, journal, stack)


async def _serve(opened: _Opened, service: Service, journal: Journal, stack: AsyncExitStack) -> None:
    config = opened.config
    notifier = SystemdNotifier()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(service.run(), name="orchestrator.service")
        tasks.create_task(_signals(lambda: _enrol(opened, service)), name="orchestrator.signals")
        tasks.create_task(_watchdog(service, notifier), name="orchestrator.watchdog")
        tasks.create_task(_retain(journal, config.retention.days), name="orchestrator.retention")
        await stack.enter_async_context(open_door(service.bundles, _door(config)))
        faces = Faces(
            fleet=service.fleet,
            runs=service.runs,
            bundles=service.bundles,
            tail=service.tail,
            rollouts=service.rollouts,
            drains=service.drains,
        )
        socket = SocketConfig(path=config.api.socket, groups=config.api.groups)
        async with serve(faces, socket):
            notifier.notify("READY=1")
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                notifier.notify("STOPPING=1")


async def _signals(reread: Callable[[], None]) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, reread)
    await stopping.wait()
    raise _StopAskedError


def _enrol(opened: _Opened, service: Service) -> None:
    """Read the roster again; a bad one is told, and the one that was read before stays in force."""
    try:
        roster: tuple[Enrolment, ...] = load_roster(opened.config.roster, SystemClock().now())
    except ConfigError as error:
        log.warning("roster not read", reason=str(error))
        return
    service.enrol_soon(roster)
    log.info("roster read", instances=len(roster))


async def _watchdog(service: Service, notifier: SystemdNotifier) -> None:
    """Tell systemd that the core still goes round; if it does not, the telling stops."""
    while True:
        await service.core.call(lambda _state, _work: None)
        notifier.notify("WATCHDOG=1")
        await asyncio.sleep(WATCHDOG_S)


async def _retain(journal: Journal, days: int) -> None:
    while True:
        await journal.forget(SystemClock().now() - timedelta(days=days))
        await asyncio.sleep(RETENTION_S)


def _mqtt(config: OrchestratorConfig) -> MqttSettings:
    return MqttSettings(
        host=config.broker.host,
        port=config.broker.port,
        ca=config.broker.ca,
        certificate=config.broker.certificate,
        key=config.broker.key,
    )


def _door(config: OrchestratorConfig) -> DoorConfig:
    host, _, port = config.bundles.listen.rpartition(":")
    return DoorConfig(
        host=host,
        port=int(port),
        ca=config.bundles.ca,
        certificate=config.bundles.certificate,
        key=config.bundles.key,
    )


def _urls(config: OrchestratorConfig) -> Callable[[Digest], str]:
    base = config.bundles.url.rstrip("/")
    if base.startswith("https://"):
        return lambda digest: f"{base}/bundles/{digest}"
    return lambda digest: bundle_url(base, digest)


def _log() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


if __name__ == "__main__":
    sys.exit(main())
