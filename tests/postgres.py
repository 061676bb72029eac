"""A private PostgreSQL for tests: real, started in a moment, gone without a trace.

TARMAK_TEST_POSTGRES names the folder of its programs (`./dev test` sets it); where it is unset, tests are
skipped by name. The server listens on a Unix socket only, in a folder of its own; nothing of it is fsynced.
"""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

VARIABLE: Final = "TARMAK_TEST_POSTGRES"
USER: Final = "tarmak"
START_S: Final = 60.0
SETTINGS: Final = (
    "fsync=off",
    "full_page_writes=off",
    "listen_addresses=",
    "max_connections=80",
    "logging_collector=off",
)


class Postgres:
    """A server below `folder`; it can be stopped and started again over the same data."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.folder = folder
        self._programs = programs
        self._owner = _owner()
        self._child: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = [f"--{setting}" for setting in (*SETTINGS, f"unix_socket_directories={self.folder}")]
        with (self.folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", *options],
                stdout=log,
                stderr=log,
                user=self._owner,
                cwd=self.folder,
            )
        deadline = time.monotonic() + START_S
        while not self.answers():
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text(encoding="utf-8"))
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as a crash does: at once, and whatever is connected with it."""
        if self._child is not None:
            self._child.send_signal(signal.SIGQUIT)
            self._child.wait()
            self._child = None

    def answers(self) -> bool:
        """Tell whether it takes connections."""
        return self._run("pg_isready", "-q", "-d", "postgres").returncode == 0

    def url(self, database: str = "postgres") -> str:
        """Return a database's URL, as `journal.url` has it."""
        return f"postgresql+asyncpg://{USER}@/{database}?host={self.folder}"

    def fresh(self) -> str:
        """Make an empty database, and return its URL."""
        name = f"fresh_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement, and return what it answers."""
        done = self._run("psql", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def make(self) -> None:
        """Make its data folder."""
        if self._owner is not None:
            os.chown(self.folder, self._owner, -1)
        words = ("-D", self.folder / "data", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        done = subprocess.run(
            [self._programs / "initdb", *words, "--locale=C.UTF-8"],
            user=self._owner,
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [self._programs / program, "-h", self.folder, "-U", USER, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL of one's own; skips the test where there is none to be run."""
    programs = os.environ.get(VARIABLE, "")
    if not (Path(programs) / "initdb").exists():
        pytest.skip(f"no PostgreSQL: {VARIABLE} names no folder with its programs")
    folder = Path(tempfile.mkdtemp(prefix="tarmak-postgres-"))  # short: the path of a socket has to be
    server = Postgres(Path(programs), folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> int | None:
    """Return who the server runs as, None for the caller: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return names.get("postgres", names.get("nobody"))
