"""A private Mosquitto as a child process, for a mesh on one machine and for tests.

A broker of the distribution runs as its own user, on a fixed port, with files in /etc; none of that
is there for a developer without root, and two of them can't run side by side. So this one starts where
it is told to: a directory of its own, a free port, TLS and ACL as everywhere, run as whoever started it
(started by root Mosquitto would become the user `mosquitto` and fail on its own files: `user root`).

It never outlives its parent: `setpriv --pdeathsig` makes the kernel end it, even after a SIGKILL. The
kernel minds the parent's *thread*: start it from the thread that lives as long as the program, which is
the one that runs the event loop. (A `preexec_fn` would do the same, but is unsafe beside other threads.)
"""

import asyncio
import contextlib
import logging
import os
import random
import shutil
import signal
import socket
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Self

from broker.acl import ListenerConfig, render_config
from broker.errors import BrokerStartError

log = logging.getLogger(__name__)

# Below the kernel's ephemeral range: a client that tries again and again to reach a stopped broker on an
# ephemeral port of this machine would one day be given that very port, and be connected to itself.
PORTS: Final = range(20000, 32000)
PORT_ATTEMPTS: Final = 20
FOLDERS: Final = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
RUNNING: Final = b" running"
IN_USE: Final = "Address already in use"
STOP_ATTEMPTS: Final = 10
STOP_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MosquittoFiles:
    """What the broker is given: the authority it trusts, its own certificate and key, and the ACL's text."""

    ca: Path
    certificate: Path
    key: Path
    acl: str = field(repr=False)


class PrivateMosquitto:
    """A broker of one's own in `directory`, as an asynchronous context manager; leaving stops it.

    Without `port` a free one is taken, and kept over restarts. `log` is the file with all that it says.
    """

    def __init__(
        self, directory: Path, *, files: MosquittoFiles, host: str = "127.0.0.1", port: int | None = None
    ) -> None:
        self.host = host
        self.log = directory / "mosquitto.log"
        self._directory = directory
        self.files = files
        self._port = port
        self._process: Process | None = None
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def port(self) -> int:
        """The port that it listens on; RuntimeError before it has one."""
        if self._port is None:
            raise RuntimeError("the broker has not been started yet")
        return self._port

    @property
    def pid(self) -> int | None:
        """Its process, or None while it does not run."""
        return None if self._process is None else self._process.pid

    async def __aenter__(self) -> Self:
        self._tasks = await asyncio.TaskGroup().__aenter__()
        try:
            await self.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()
        if self._tasks is not None:
            tasks, self._tasks = self._tasks, None
            await tasks.__aexit__(None, None, None)

    async def start(self) -> None:
        """Start it and return once it listens; BrokerStartError carries what it said instead."""
        for port in self._candidates():
            said = await self._started(port)
            if said is None:
                self._port = port
                return
            if self._port is not None or IN_USE not in said:
                raise BrokerStartError(reason=f"mosquitto did not start on port {port}", output=said)
        raise BrokerStartError(reason=f"no free port among {PORTS} in {PORT_ATTEMPTS} attempts")

    async def stop(self) -> None:
        """Stop it in order; it keeps what it knew."""
        await self._end(kill=False)

    async def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        await self._end(kill=True)

    async def restart(self, *, forget: bool = False) -> None:
        """Stop it if it runs and start it on the same port; with `forget` all that it kept is deleted."""
        await self.stop()
        if forget:
            shutil.rmtree(self._state)
        await self.start()

    @property
    def _state(self) -> Path:
        return self._directory / "state"

    def _candidates(self) -> Iterator[int]:
        if self._port is not None:
            yield self._port
            return
        for _ in range(PORT_ATTEMPTS):
            port = random.choice(PORTS)  # noqa: S311 - a port is no secret
            if _is_free(self.host, port):
                yield port

    async def _started(self, port: int) -> str | None:
        # None once it listens, else its words: another program may have taken the port since we looked.
        if self._tasks is None:
            raise RuntimeError("start it as a context manager first")
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            *_command(self._configured(port)), stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        ready: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._process = process
        self._tasks.create_task(self._listen(process, ready), name="mosquitto.log")
        return await ready

    async def _listen(self, process: Process, ready: asyncio.Future[str | None]) -> None:
        said: list[bytes] = []
        with self.log.open("ab") as file:
            async for line in _lines(process):
                file.write(line)
                file.flush()
                if ready.done():
                    continue
                said.append(line)
                if line.rstrip().endswith(RUNNING):
                    ready.set_result(None)
        code = await process.wait()
        log.info("broker ended", extra={"pid": process.pid, "code": code})
        if not ready.done():
            ready.set_result(b"".join(said).decode(errors="replace") or f"exit code {code}")

    async def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        # Mosquitto 2.0 forgets a SIGTERM that comes between its word "running" and its first loop.
        for _ in range(0 if kill else STOP_ATTEMPTS):
            _signal(process, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await process.wait()
                return
        _signal(process, signal.SIGKILL)
        await process.wait()

    def _configured(self, port: int) -> Path:
        acl = self._directory / "acl"
        acl.write_text(self.files.acl)
        acl.chmod(0o600)  # Mosquitto warns of an ACL that others can read
        config = ListenerConfig(
            host=self.host,
            port=port,
            ca=PurePosixPath(self.files.ca.absolute()),
            certificate=PurePosixPath(self.files.certificate.absolute()),
            key=PurePosixPath(self.files.key.absolute()),
            acl=PurePosixPath(acl.absolute()),
            persistence=PurePosixPath(self._state.absolute()),
            user="root" if os.geteuid() == 0 else None,
        )
        path = self._directory / "mosquitto.conf"
        path.write_text(render_config(config))
        return path


def _command(config: Path) -> list[str]:
    return [_found("setpriv"), "--pdeathsig", "SIGKILL", "--", _found("mosquitto"), "-c", str(config)]


def _found(program: str) -> str:
    path = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *FOLDERS)))
    if path is None:
        raise BrokerStartError(reason=f"{program} is neither on PATH nor in {', '.join(FOLDERS)}: install it")
    return path


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


async def _lines(process: Process) -> AsyncIterator[bytes]:
    if process.stdout is None:
        raise RuntimeError("the broker was started without a pipe for its words")
    while line := await process.stdout.readline():
        yield line
