"""Locks on directories: they need no file that would stay behind, and end with whoever holds them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold `directory` alone, made if it is not there. Its holder may remove it."""
    handle = _hold(directory)
    try:
        yield
    finally:
        os.close(handle)


def _hold(directory: Path) -> int:
    while True:
        with suppress(FileNotFoundError):
            directory.mkdir(parents=True, exist_ok=True)
            handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_still(directory, handle):
                return handle
            os.close(handle)


def _is_still(directory: Path, handle: int) -> bool:
    """Whether what was waited for was not removed, and perhaps made anew, by its last holder."""
    try:
        return os.path.samestat(directory.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
