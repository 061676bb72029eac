"""`tarmak-orchestrator`: where the parts of the orchestrator are put together, and nowhere else.

What a process has for its whole life is opened here, in the order in which it is needed (locks, journal,
store), and closed the other way round, whatever ends it in order; what only a leader has is in `term.py`.
"""

import argparse
import asyncio
import logging
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import structlog
from sdnotify import SystemdNotifier  # type: ignore[import-untyped] # it has no types; three calls are made

from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.lock import JournalInUseError, SideLock
from orchestrator.adapters.sql.dialect import database_file
from orchestrator.adapters.sql.journal import SqlJournal
from orchestrator.api.server import SocketInUseError
from orchestrator.api.standby import stand_by
from orchestrator.config import (
    DEFAULT_PATH,
    ConfigError,
    OrchestratorConfig,
    load,
    load_key,
    load_roster,
)
from orchestrator.domain.model import Enrolment
from orchestrator.doorway import doorway_of
from orchestrator.founding import describe_init, init
from orchestrator.ports import JournalError
from orchestrator.saving import describe_saving, save
from orchestrator.standby import Candidate, Seen, first_of
from orchestrator.term import WATCHDOG_S, Office, Opened
from puppet_bridge.stores import open_store

USAGE: Final = 2

log = structlog.get_logger(__name__)


class _StopAskedError(Exception):
    """SIGTERM or SIGINT came."""


def main() -> int:
    """Run the daemon; returns its exit code."""
    words = argparse.ArgumentParser(prog="tarmak-orchestrator", description="The orchestrator of a cluster.")
    words.add_argument("--config", type=Path, default=DEFAULT_PATH, help="default: %(default)s")
    words.add_argument("--check", action="store_true", help="check the configuration and end")
    commands = words.add_subparsers(dest="command", metavar="COMMAND")
    describe_init(commands)
    describe_saving(commands)
    asked = words.parse_args()
    if asked.command is not None:
        return init(asked) if asked.command == "init" else save(asked)
    _log()
    try:
        opened = Opened(file=asked.config, config=load(asked.config))
        load_key(opened.file, opened.config)
        doorway_of(opened.file, opened.config)
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


async def run(opened: Opened) -> None:
    """Lead or stand by until told to stop."""
    try:
        await _run(opened)
    except* _StopAskedError:
        log.info("stopped")
    except* (JournalError, ConfigError, SocketInUseError) as errors:
        raise first_of(errors) from None


async def _run(opened: Opened) -> None:
    config = opened.config
    config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    opened.drafts.mkdir(exist_ok=True)
    for leftover in opened.drafts.glob("push-*"):
        leftover.unlink()
    async with AsyncExitStack() as stack:
        for lock in _locks(config):
            stack.enter_context(SideLock(lock, config.name))
        journal = await stack.enter_async_context(SqlJournal(config.journal_url, config.cluster))
        store = await stack.enter_async_context(open_store(config.store_url))
        notifier, stopping = SystemdNotifier(), asyncio.Event()
        office = Office(opened, journal=journal, store=store, notifier=notifier, stopping=stopping)
        candidate = Candidate(
            name=config.name,
            lease=journal,
            clock=SystemClock(),
            term=office.serve,
            waiting=lambda seen: _waiting(opened, notifier, seen),
            chance=random.Random().random,  # noqa: S311 - spreads requests, guards nothing
        )
        async with asyncio.TaskGroup() as tasks:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _enrol, opened, office)
            tasks.create_task(_signals(stopping, notifier), name="orchestrator.signals")
            tasks.create_task(candidate.run(), name="orchestrator.candidate")


def _locks(config: OrchestratorConfig) -> list[Path]:
    """Return what no second daemon may hold: the directory, and SQLite's file wherever it is."""
    file = database_file(config.journal_url)
    if file is None or not file.parent.is_dir():  # then opening it will tell
        return [config.state_dir / "leader.lock"]
    return [config.state_dir / "leader.lock", file.with_name(f"{file.name}.lock")]


@asynccontextmanager
async def _waiting(opened: Opened, notifier: SystemdNotifier, seen: Seen) -> AsyncIterator[None]:
    """Stand by: tell systemd so, and operators whom to ask."""
    async with stand_by(opened.socket, seen), asyncio.TaskGroup() as tasks:
        alive = tasks.create_task(_alive(notifier, seen), name="orchestrator.watchdog")
        try:
            yield
        finally:
            alive.cancel()


async def _alive(notifier: SystemdNotifier, seen: Seen) -> None:
    while True:
        leader = seen()
        whom = "the journal can't be reached" if leader is None else f"{leader.holder} leads"
        notifier.notify(f"READY=1\nWATCHDOG=1\nSTATUS=standing by: {whom}")
        await asyncio.sleep(WATCHDOG_S)


async def _signals(stopping: asyncio.Event, notifier: SystemdNotifier) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await stopping.wait()
    notifier.notify("STOPPING=1")
    raise _StopAskedError


def _enrol(opened: Opened, office: Office) -> None:
    """Read the roster again; a bad one is told, and the one that was read before stays in force."""
    try:
        roster: tuple[Enrolment, ...] = load_roster(opened.config.roster, SystemClock().now())
    except ConfigError as error:
        log.warning("roster not read", reason=str(error))
        return
    if office.service is not None:  # else it is read once this one leads
        office.service.enrol_soon(roster)
    log.info("roster read", instances=len(roster))


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
