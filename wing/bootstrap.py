"""`wing converge`: one run without any mesh, so that the first host of a mesh can be made with the same code.

It is the run that a command would start, under the same lock and with the same proof: exit 0 means converged.
Without a configuration file the instance is what the command line says.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

from broker import ids
from broker.errors import MeshError
from broker.ids import ClusterName, RunId
from broker.messages import Converge, LogLine, RunOutcome, RunResult, Verdict
from broker.uuid7 import uuid7
from puppet_bridge.bundle import DEFAULT_LIMITS, unpack, verify
from puppet_bridge.command import PuppetSettings
from puppet_bridge.execution import Identity
from puppet_bridge.fetch import BundleFetcher
from puppet_bridge.stores.url import split_bundle_url
from wing.config import DEFAULT_PATH, load
from wing.events import Completed, Done, End, Fetched, Process, Stopped, Unable
from wing.puppet import PuppetWork, host_boot


def converge(asked: argparse.Namespace) -> int:
    """Converge this host on the bundle that `asked` names; returns the exit code."""
    try:
        work = _work(asked)
        order = _order(asked, work.fetcher.cache_dir)
    except (MeshError, OSError) as error:
        print(f"wing: {error}", file=sys.stderr)  # noqa: T201 - to the person who asked
        return 2
    return _told(asyncio.run(_run(work, order)), noop=asked.noop)


async def _run(work: PuppetWork, order: Converge) -> End:
    cancel = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, cancel.set)
    return await work.converge(order, Terminal(), cancel)


class Terminal:
    """Prints what happens in a run as it happens."""

    async def process_started(self, process: Process) -> None:
        """Let it begin: nobody but the person at the terminal keeps a record of it."""

    def waits(self, reason: str) -> None:
        """Print whom the run waits for."""
        _say(f"waiting: {reason}")

    def said(self, line: LogLine) -> None:
        """Print a line of Puppet's log."""
        place = f" ({line.file}:{line.line})" if line.file else ""
        _say(f"{line.level.value}: {line.source}: {line.message}{place}")

    def progressed(self, execution: int, done: int, total: int, resource: str) -> None:
        """Print which resource it is at, on a terminal, where it doesn't bury the log."""
        if sys.stdout.isatty():
            _say(f"apply {execution}: {done} of {total}: {resource}")


def _work(asked: argparse.Namespace) -> PuppetWork:
    if asked.config != DEFAULT_PATH or asked.config.exists():
        return PuppetWork.configured(load(asked.config))
    name = asked.instance or socket.gethostname().partition(".")[0].lower()
    return PuppetWork(
        fetcher=BundleFetcher(cache_dir=asked.state_dir / "bundles"),
        settings=PuppetSettings(state=asked.state_dir / "puppet"),
        instance=Identity(
            instance=ids.instance_id(name),
            role=ids.role(asked.role),
            pool="",
            cluster=ClusterName("local"),
            root=str(asked.root),
        ),
        host_boot=host_boot(),
    )


def _order(asked: argparse.Namespace, cache: Path) -> Converge:
    """Return the run that is asked for; a bundle that is a file here is unpacked into `cache` at once."""
    given = None if asked.digest is None else ids.digest(asked.digest)
    local = Path(asked.bundle)
    size = DEFAULT_LIMITS.size
    if local.is_file():
        found = verify(local, digest=given)
        unpack(local, cache, found.digest)
        digest, size, url = found.digest, found.size, local.absolute().as_uri()
    else:
        url = asked.bundle
        digest = given or split_bundle_url(url)[1]
    run = RunId(uuid7(datetime.now(UTC), os.urandom(8)))
    return Converge(run=run, digest=digest, size=size, url=url, noop=asked.noop)


def _told(end: End, *, noop: bool) -> int:
    match end:
        case Completed(result=result):
            _say(_summary(result))
            good = result.outcome in {RunOutcome.UNCHANGED, RunOutcome.CHANGED}
            return 0 if (good if noop else result.verdict is Verdict.CONVERGED) else 1
        case Stopped():
            _say("interrupted")
            return 130
        case Unable(reason=reason):
            _say(f"failed: {reason}")
            return 1
        case Fetched() | Done():
            raise AssertionError("a run does not end like a prefetch or an order")
        case _:
            assert_never(end)


def _summary(result: RunResult) -> str:
    verdict = "noop" if result.verdict is None else result.verdict.value
    counts = f"{result.changed} changed, {result.failed} failed, {result.skipped} skipped of {result.total}"
    reason = f": {result.reason}" if result.reason else ""
    return f"{verdict} on {result.digest} ({counts}){reason}"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what was asked for
