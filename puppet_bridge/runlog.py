"""The attachment `log` of a run: every line that Puppet said, and never more than an instance can carry.

zlib-compressed JSON lines, one for each line of Puppet's: `{"execution": 1, "at": …, "level": …, "source":
…, "message": …, "file": …, "line": …}`. It is compressed as it comes, so a resident wing holds only what it
will send. Past the bound the last line says how many are missing.
"""

import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from broker.messages import LogLine
from puppet_bridge.errors import ReportError

MAX_COMPRESSED: Final = 4 * 1024 * 1024
MAX_PLAIN: Final = 64 * 1024 * 1024
ENCODER: Final = msgspec.json.Encoder()


class RunLog:
    """A run's log while it grows."""

    def __init__(self, *, max_compressed: int = MAX_COMPRESSED, max_plain: int = MAX_PLAIN) -> None:
        self._compressor = zlib.compressobj()
        self._parts: list[bytes] = []
        self._compressed = 0
        self._plain = 0
        self._max_compressed = max_compressed
        self._max_plain = max_plain
        self._missing = 0

    def add(self, execution: int, line: LogLine) -> None:
        """Take one line of execution `execution` (from 1)."""
        plain = ENCODER.encode({"execution": execution} | msgspec.structs.asdict(_Row.of(line))) + b"\n"
        full = self._compressed >= self._max_compressed or self._plain + len(plain) > self._max_plain
        if full or self._missing:
            self._missing += 1
            return
        self._plain += len(plain)
        self._keep(self._compressor.compress(plain))

    def finish(self) -> bytes:
        """Return the whole, compressed; nothing can be added after."""
        if self._missing:
            self._keep(self._compressor.compress(ENCODER.encode({"missing": self._missing}) + b"\n"))
        self._keep(self._compressor.flush())
        return b"".join(self._parts)

    def _keep(self, part: bytes) -> None:
        if part:
            self._parts.append(part)
            self._compressed += len(part)


class _Row(msgspec.Struct):
    at: str
    level: str
    source: str
    message: str
    file: str | None
    line: int | None

    @classmethod
    def of(cls, line: LogLine) -> "_Row":
        return cls(
            at=line.at.isoformat(),
            level=line.level.value,
            source=line.source,
            message=line.message,
            file=line.file,
            line=line.line,
        )


def read(content: bytes) -> Iterator[bytes]:
    """Yield the JSON lines of a log; raises ReportError for what is none, takes bounded memory."""
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(content, MAX_PLAIN + MAX_COMPRESSED)
    except zlib.error as error:
        raise ReportError(reason=f"the log is not compressed as it should be: {error}") from error
    if not unpacker.eof:
        raise ReportError(reason="the log is cut short, or longer than it may be")
    yield from plain.splitlines()
