"""Gives back a state that a Terraform did not: only if nobody has it any more.

Terraform's local state is locked by the kernel on behalf of a process, and so is free once that one is gone,
however it went. What may be left is the file that says who had it. A lock that is held has a holder that
lives; it is named, because ending it in order is the one way that loses nothing.
"""

import fcntl
import json
import os
import struct
from typing import Final

from orchestrator.infrastructure.errors import InfrastructureError
from orchestrator.infrastructure.places import Home

FLOCK: Final = "hhqqi4x"
"""struct flock on 64-bit Linux: type, whence, start, length (0: to the end), process."""


def unlock(home: Home, lock: str) -> str:
    """Give the locked state back, and return what was done; InfrastructureError if somebody has it."""
    found = _lock_id(home)
    holder = holder_of(home)
    if holder is not None:
        raise InfrastructureError(
            what=f"the state is held by process {holder}, which runs",
            why=_command(holder),
            action=f"end it with `kill -INT {holder}`: it records what it has made, and gives the state back",
        )
    if found is None:
        return "nothing is locked"
    if found != lock:
        what = f"the lock on this state is {found}, not {lock}"
        raise InfrastructureError(what=what, action=f"if that one is meant: tarmak cluster unlock {found}")
    home.lock_info.unlink(missing_ok=True)
    return f"lock {lock} is gone; its holder had ended without giving it back"


def holder_of(home: Home) -> int | None:
    """Return the process that has the state locked, None if none has."""
    try:
        with home.state.open("rb+") as file:
            asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return None
    return None if kind == fcntl.F_UNLCK else int(pid)


def _lock_id(home: Home) -> str | None:
    try:
        return str(json.loads(home.lock_info.read_text(encoding="utf-8"))["ID"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return "unreadable"


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - not a path of anybody's
            return " ".join(file.read().replace(b"\0", b" ").decode(errors="replace").split())
    except OSError:
        return ""
