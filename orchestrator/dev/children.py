"""Programs that are kept running: started again when they die, never outliving whoever started them.

`setpriv --pdeathsig` has the kernel end a child with its parent even after a SIGKILL; with SIGTERM, so
that a wing ends the Puppet that it has started. (The kernel minds the parent's thread: start children from
the one that runs the event loop.) Each has a session of its own, so that a Ctrl-C reaches only the parent,
which then ends them in order.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from orchestrator.dev.errors import DevError
from puppet_bridge.atomic import write_whole

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
STEADY_S: Final = 60.0
STOP_S: Final = 20.0
LAST_LINES: Final = 15


class Pids:
    """The file that says which process is which, kept current."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, int] = {}

    def put(self, name: str, pid: int | None) -> None:
        """Note `name`'s process, or that it has none."""
        self._known.pop(name, None)
        if pid is not None:
            self._known[name] = pid
        write_whole(self._file, json.dumps(self._known, indent=2).encode() + b"\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run, and where its words go."""

    name: str
    module: str
    words: tuple[str, ...]
    log: Path

    @property
    def command(self) -> tuple[str, ...]:
        """The command line: this very Python, so that all is of one version."""
        return ("setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-P", "-m", self.module, *self.words)


class Child:
    """One program as a child process."""

    def __init__(self, program: Program, *, pids: Pids, settled: asyncio.Event) -> None:
        self.program = program
        self._pids = pids
        self._settled = settled
        self._process: Process | None = None

    async def keep(self) -> None:
        """Start it, and again whenever it dies; DevError if it dies before the mesh has settled."""
        pauses = growing_pauses()
        while True:
            begun = time.monotonic()
            code = await self._lived()
            if not self._settled.is_set():
                raise DevError(
                    what=f"{self.program.name} ended ({_ending(code)}) before it was ready",
                    why="\n".join(last_lines(self.program.log)),
                    action=f"see {self.program.log}",
                )
            if time.monotonic() - begun > STEADY_S:
                pauses = growing_pauses()
            pause_s = next(pauses)
            say(f"{self.program.name} died ({_ending(code)}); starting it again in {pause_s:g} s")
            await asyncio.sleep(pause_s)

    async def stop(self) -> None:
        """End it in order, or at once if it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await process.wait()
                break
        self._pids.put(self.program.name, None)

    async def _lived(self) -> int:
        with self.program.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment(),
            )
        self._pids.put(self.program.name, self._process.pid)
        code = await self._process.wait()
        self._process = None
        self._pids.put(self.program.name, None)
        return code


def environment() -> dict[str, str]:
    """Return the children's environment: ours, and where our own modules are (also in a zipapp)."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    ours = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    # As a wing's unit starts it: without docstrings, and compiled once, each is two megabytes smaller.
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**ours, "PYTHONOPTIMIZE": "2"}


def growing_pauses() -> Iterator[float]:
    """Yield how long to wait before each next start, in seconds."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def last_lines(log: Path) -> Sequence[str]:
    """Return the end of a log."""
    return log.read_text(errors="replace").splitlines()[-LAST_LINES:]


def say(text: str, *, to: TextIO | None = None) -> None:
    """Tell whoever brought the mesh up."""
    stream = to or sys.stderr
    stream.write(f"{text}\n")
    stream.flush()


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
