"""Follows Puppet's log while it grows, and keeps of it what decides.

Puppet writes to a file, not into our pipe: a wing that dies or dawdles in the middle of a run must neither
break nor stop Puppet. The file's end is looked at five times a second.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from broker.messages import LogLine
from puppet_bridge import loglines
from puppet_bridge.execution import Order, Watcher

LOOK_S: Final = 0.2
CHUNK: Final = 256 * 1024
MAX_LINE: Final = 4 * 1024 * 1024
MAX_ERRORS: Final = 20


class Tail:
    """The log at `path`, from its start on."""

    def __init__(self, path: Path, order: Order, watcher: Watcher) -> None:
        self._path = path
        self._order = order
        self._watcher = watcher
        self._offset = 0
        self._rest = b""
        self.errors: list[LogLine] = []
        self.skips = 0
        self.at_resource = ""

    def look(self) -> bool:
        """Take what was written since the last look, at most 256 KiB; return whether there may be more."""
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                found = log.read(CHUNK)
        except FileNotFoundError:
            return False
        self._offset += len(found)
        *lines, self._rest = (self._rest + found).split(b"\n")
        if len(self._rest) > MAX_LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._take(line)
        return len(found) == CHUNK

    def finish(self) -> None:
        """Take all that is left, a last line without an end as well."""
        while self.look():
            continue
        if self._rest:
            self._take(self._rest)

    def _take(self, text: bytes) -> None:
        line = loglines.parse_line(text, bundle=self._order.bundle, at=datetime.now(UTC))
        self._watcher.said(line)
        step = loglines.evaluating(line)
        if step is not None:
            self.at_resource = step.resource
            self._watcher.progressed(self._order.number, step.done, step.total, step.resource)
        self.skips += loglines.is_dependency_skip(line)
        if loglines.is_error(line) and len(self.errors) < MAX_ERRORS:
            self.errors.append(line)
