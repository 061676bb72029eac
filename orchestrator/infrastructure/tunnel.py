"""The orchestrator's socket, brought to where the operator sits: over SSH, for as long as a command lasts.

The socket is the bastion's own, and whoever is let in there may command. So no port is opened for it. What
runs there ends with what is read from here: however this process ends, nothing of it stays behind.
"""

import os
import select
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from orchestrator.infrastructure.errors import ReachError
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.ssh_files import LONGEST_SOCKET

SOCKET: Final = "/run/tarmak/orchestrator.sock"
READY_S: Final = 30.0
AGAIN_S: Final = 1.0
END_S: Final = 5.0
WORDS: Final = "echo ready; exec cat"
OPTIONS: Final = (
    "ControlMaster=no",
    "ControlPath=none",
    "ExitOnForwardFailure=yes",
    "StreamLocalBindUnlink=yes",
    "StreamLocalBindMask=0177",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=2",
)


@contextmanager
def forwarded(config: Path, bastion: Host, *, socket: str = SOCKET) -> Iterator[str]:
    """Bring the bastion's socket here for a block, and return its URL; ReachError if that can't be done.

    A connection that is lost meanwhile is made again, for as long as it takes.
    """
    with tempfile.TemporaryDirectory(prefix="tk", dir=_short()) as folder:
        here = Path(folder) / "s"
        tunnel = _Tunnel(config, bastion, here, socket)
        tunnel.open()
        try:
            yield f"unix://{here}"
        finally:
            tunnel.close()


def _short() -> str | None:
    """Return a folder for temporary files in which a socket's path is short enough."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) + len("/tk12345678/s") <= LONGEST_SOCKET else "/tmp"  # noqa: S108 - the folder in it is ours alone


class _Tunnel:
    def __init__(self, config: Path, bastion: Host, here: Path, there: str) -> None:
        options = [word for option in OPTIONS for word in ("-o", option)]
        self._command = ("ssh", "-F", str(config), "-T", *options, "-L", f"{here}:{there}", bastion.name)
        self._bastion = bastion
        self._closing = threading.Event()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the tunnel
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="cli.tunnel", daemon=True)

    def open(self) -> None:
        """Return once it stands."""
        self._process = self._started()
        if not _is_ready(self._process):
            _end(self._process)
            said = self._last_words()
            self._said.close()
            what = f"the orchestrator's socket can't be brought here from {self._bastion.name}"
            action = "see `tarmak cluster ssh`; or name a socket with --url"
            raise ReachError(what=what, why=said, action=action)
        self._keeper.start()

    def close(self) -> None:
        """End it, and whatever it has started."""
        self._closing.set()
        _end(self._process)
        self._keeper.join()
        _end(self._process)  # the keeper may have begun another one just then
        self._said.close()

    def _keep(self) -> None:
        while self._process is not None:
            self._process.wait()
            if self._closing.wait(AGAIN_S):
                return
            _end(self._process)
            self._process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        try:
            # In a session of its own: a terminal's Ctrl-C is for us, who may have something to say over it.
            return subprocess.Popen(
                (*self._command, WORDS),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            action = "install the package openssh-client"
            raise ReachError(what="there is no `ssh` on this machine", action=action) from error

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return "; ".join(line for line in lines[-2:] if line) or f"no answer within {READY_S:.0f} s"


def _end(process: "subprocess.Popen[bytes] | None") -> None:
    """See that a process has ended, and let go of it."""
    if process is None:
        return
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _is_ready(process: "subprocess.Popen[bytes]") -> bool:
    """Tell whether the other side has begun; False if it ended, or takes too long."""
    if process.stdout is None:
        raise AssertionError("it was asked for")
    readable, _, _ = select.select([process.stdout], [], [], READY_S)
    return bool(readable) and process.stdout.readline().strip() == b"ready"
