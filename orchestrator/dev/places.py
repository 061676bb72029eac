"""Where everything of a mesh lives in its directory, which may be taken up again later.

A Unix socket's path has a limit of 107 bytes (unix(7)), and a test's directory is easily longer: the
socket then goes to a short directory of its own, which is taken away at the end.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.ids import InstanceId
from orchestrator.dev.errors import DevError

LONGEST_SOCKET: Final = 107
SOCKET: Final = "orchestrator.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The paths of a mesh in `home`."""

    home: Path
    socket: Path

    @property
    def authority(self) -> Path:
        """Where the certificate authority is."""
        return self.home / "ca"

    @property
    def broker(self) -> Path:
        """Where the broker lives."""
        return self.home / "broker"

    @property
    def orchestrator(self) -> Path:
        """Where the orchestrator's configuration and state are."""
        return self.home / "orchestrator"

    @property
    def roster(self) -> Path:
        """The file that enrols the instances."""
        return self.home / "roster.toml"

    @property
    def logs(self) -> Path:
        """What each program says."""
        return self.home / "logs"

    @property
    def env(self) -> Path:
        """The shell lines for a client, there while the mesh is ready."""
        return self.home / "env"

    @property
    def pids(self) -> Path:
        """The processes, by name."""
        return self.home / "pids.json"

    @property
    def url(self) -> str:
        """What a client is told."""
        return f"unix://{self.socket}"

    def wing(self, instance: InstanceId) -> Path:
        """Where an instance's wing has its configuration and state."""
        return self.home / "wings" / instance

    def root(self, instance: InstanceId) -> Path:
        """Where what an instance takes for its host's root is."""
        return self.home / "instances" / instance


@contextmanager
def places(directory: Path | None) -> Iterator[Places]:
    """Yield the paths in `directory` (kept), or in a new one that is taken away at the end."""
    home = Path(tempfile.mkdtemp(prefix="tarmak-dev-")) if directory is None else directory.resolve()
    short: Path | None = None
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(home):
            socket = home / SOCKET
            if len(os.fsencode(socket)) > LONGEST_SOCKET:
                short = Path(tempfile.mkdtemp(prefix="tarmak-", dir="/tmp"))
                socket = short / SOCKET
            yield Places(home=home, socket=socket)
    finally:
        for gone in (short, home if directory is None else None):
            if gone is not None:
                shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DevError(
                what=f"another mesh is up in {home}", action="end that one, or give another --dir"
            ) from error
        yield
