"""Two daemons on one journal would both believe to lead, so the second one must not even start.

The lock is a `flock` on a side file, which the kernel gives back when its holder dies, however it dies. The
file says who holds it, for the one that is refused.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class JournalInUseError(Exception):
    """Another process leads with this journal; `holder` is what it wrote about itself."""

    def __init__(self, *, path: Path, holder: str) -> None:
        self.path = path
        self.holder = holder
        super().__init__(f"{path}: held by {holder or 'another process'}; stop it first")


class SideLock:
    """Held from entering to leaving."""

    def __init__(self, path: Path, holder: str) -> None:
        self._path = path
        self._holder = holder
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 4096).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise JournalInUseError(path=self._path, holder=holder) from error
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{self._holder}, pid {os.getpid()}\n".encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
