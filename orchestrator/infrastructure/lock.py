"""One command at a time works on a cluster: what one has planned, no other may change until it is done."""

import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from orchestrator.infrastructure.errors import BusyError
from orchestrator.infrastructure.places import Home


@contextmanager
def working(home: Home, doing: str) -> Iterator[None]:
    """Hold the cluster for a block (a process that ends gives it back); BusyError says who has it."""
    with home.lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _busy(file.read()) from None
        file.truncate(0)
        file.write(json.dumps(_ourselves(doing)))
        file.flush()
        yield


def _ourselves(doing: str) -> dict[str, str]:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return {
        "doing": doing,
        "who": f"{_user()}@{socket.gethostname()}",
        "pid": str(os.getpid()),
        "since": since,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _busy(said: str) -> BusyError:
    try:
        by = json.loads(said)
        why = f"{by['who']} does `{by['doing']}` since {by['since']} (process {by['pid']})"
    except (ValueError, KeyError, TypeError):
        why = "it has just begun"
    return BusyError(
        what="another command works on this cluster", why=why, action="wait for it, or end it in order"
    )
