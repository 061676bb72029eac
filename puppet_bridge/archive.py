"""A bundle's bytes on their way: packed, digested while they stream, and unpacked only when proven.

An archive is the canonical tar (see `ustar`), carried gzipped. Its digest is the SHA-256 of the tar, so
gzip's own variety never matters; but then nothing is proven before it is decompressed. Hence every reader
here has a bound, and a gzip bomb gets no further than the size that was declared.
"""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from broker.ids import Digest
from puppet_bridge.errors import DigestError, LayoutError, LimitError, RefusedError
from puppet_bridge.tree import Source
from puppet_bridge.ustar import BLOCK, END, Entry, EntryReader, header, padding

CHUNK: Final = 1 << 18
GZIP: Final = 16 + zlib.MAX_WBITS
WHOLE: Final = "(the archive)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a bundle may be at most: `size` bytes as an uncompressed tar, and `files` files."""

    size: int = 1 << 30
    files: int = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a bundle's tar turned out to be; `size` is in bytes."""

    digest: Digest
    size: int
    files: int


class DigestWriter:
    """Passes bytes on and keeps their digest and count; refuses more than `limit` bytes."""

    def __init__(self, write: Callable[[bytes], object], limit: int) -> None:
        self._write = write
        self._limit = limit
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> Digest:
        """The digest of what was written so far."""
        return Digest("sha256:" + self._hash.hexdigest())

    def write(self, content: bytes) -> None:
        """Write `content` on; raises LimitError before a byte too many is written."""
        self.size += len(content)
        if self.size > self._limit:
            raise LimitError(entry=WHOLE, limit=self._limit, unit="bytes")
        self._hash.update(content)
        self._write(content)


class Gunzip:
    """Decompresses a stream piece by piece, never more than a chunk in memory at a time."""

    def __init__(self, writer: DigestWriter) -> None:
        self._writer = writer
        self._engine = zlib.decompressobj(GZIP)

    def feed(self, compressed: bytes) -> None:
        """Decompress `compressed` on to the writer; raises RefusedError for what is no gzip."""
        if compressed and self._engine.eof:
            raise RefusedError(entry=WHOLE, reason="bytes after the end of its gzip stream")
        while compressed:
            try:
                self._writer.write(self._engine.decompress(compressed, CHUNK))
            except zlib.error as error:
                raise RefusedError(entry=WHOLE, reason=f"not a gzip stream: {error}") from error
            if self._engine.unused_data:
                raise RefusedError(entry=WHOLE, reason="bytes after the end of its gzip stream")
            compressed = self._engine.unconsumed_tail

    def close(self) -> None:
        """Say that nothing follows; raises RefusedError when the stream is cut short."""
        if not self._engine.eof:
            raise RefusedError(entry=WHOLE, reason="its gzip stream is cut short")


def pack(found: Iterable[Source], out: BinaryIO, limits: Limits) -> Contents:
    """Write the canonical tar of `found`, gzipped, to `out`; raises LayoutError or LimitError."""
    engine = zlib.compressobj(6, zlib.DEFLATED, GZIP)
    writer = DigestWriter(lambda content: out.write(engine.compress(content)), limits.size)
    files = 0
    for source in found:
        files += 1
        if files > limits.files:
            raise LimitError(entry=source.name, limit=limits.files, unit="files")
        _pack_one(source, writer)
    writer.write(END)
    out.write(engine.flush())
    return Contents(digest=writer.digest, size=writer.size, files=files)


def _pack_one(source: Source, writer: DigestWriter) -> None:
    with source.path.open("rb") as content:
        size = os.fstat(content.fileno()).st_size
        entry = Entry(name=source.name, size=size, executable=source.executable)
        try:
            writer.write(header(entry))
        except ValueError as error:
            reason = f"{error}: a part has at most 100 bytes, the whole about 255"
            raise LayoutError(entry=source.name, reason=reason) from error
        left = size
        while chunk := content.read(CHUNK):
            left -= len(chunk)
            writer.write(chunk)
        if left:
            raise LayoutError(entry=source.name, reason="changed while it was read; build again")
        writer.write(bytes(padding(size)))


def gunzip(archive: Path, plain: BinaryIO, limits: Limits, expected: Digest | None = None) -> Contents:
    """Decompress `archive` to `plain`, and check every header on the way.

    Raises LimitError, RefusedError, or DigestError where `expected` is given and another one came out.
    Nothing in `plain` may be used before this has returned.
    """
    writer = DigestWriter(plain.write, limits.size)
    stream = Gunzip(writer)
    with archive.open("rb") as compressed:
        while chunk := compressed.read(CHUNK):
            stream.feed(chunk)
    stream.close()
    if expected is not None and writer.digest != expected:
        raise DigestError(expected=expected, actual=writer.digest)
    plain.seek(0)
    files = sum(1 for _ in entries(plain, limits))
    return Contents(digest=writer.digest, size=writer.size, files=files)


def entries(plain: BinaryIO, limits: Limits) -> Iterator[tuple[Entry, BinaryIO]]:
    """Yield each entry of a tar with the stream standing at its content, which may be read or skipped.

    Raises RefusedError for whatever a build would not have written, up to the last zero byte.
    """
    reader = EntryReader()
    end = plain.seek(0, os.SEEK_END)
    position = files = 0
    while position < end - len(END):
        plain.seek(position)
        entry = reader.read(plain.read(BLOCK))
        files += 1
        if files > limits.files:
            raise LimitError(entry=entry.name, limit=limits.files, unit="files")
        position += BLOCK + entry.size + padding(entry.size)
        _refuse_tail(plain, entry, position, end)
        yield entry, plain
    plain.seek(position)
    if plain.read() != END:
        raise RefusedError(entry=WHOLE, reason="does not end with exactly two zero blocks")


def _refuse_tail(plain: BinaryIO, entry: Entry, position: int, end: int) -> None:
    if position > end - len(END):
        raise RefusedError(entry=entry.name, reason="is longer than the archive")
    content = plain.tell()
    plain.seek(position - padding(entry.size))
    if plain.read(padding(entry.size)).strip(b"\0"):
        raise RefusedError(entry=entry.name, reason="is followed by hidden bytes")
    plain.seek(content)
