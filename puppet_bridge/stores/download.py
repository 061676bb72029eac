"""A bundle on its way in is proven while it streams, whatever carries it and however often that breaks."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from broker.ids import Digest
from puppet_bridge.archive import DigestWriter, Gunzip, Limits
from puppet_bridge.atomic import appearing
from puppet_bridge.errors import DigestError, LimitError
from puppet_bridge.stores.port import Progress

# deflate grows what it can't compress by less than this, so nothing honest is ever longer.
OVERHEAD: Final = 1 << 16


class Download:
    """The part of an archive that has come: `received` compressed bytes, digested as far as they go.

    `etag` names the representation that they are part of, so that no other one is put behind them.
    """

    def __init__(self, out: BinaryIO, digest: Digest, limits: Limits, progress: Progress) -> None:
        self._out = out
        self._digest = digest
        self._limits = limits
        self._progress = progress
        self.received = 0
        self.total: int | None = None
        self.etag: str | None = None
        self._restart_digest()

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes; raises LimitError or RefusedError as soon as they can't be the bundle."""
        await asyncio.to_thread(self._take, chunk)
        self._progress(self.received, self.total)

    async def restart(self) -> None:
        """Forget what has come: the other side can't go on where it broke."""
        await asyncio.to_thread(self._out.truncate, 0)
        self._out.seek(0)
        self.received = 0
        self.etag = None
        self._restart_digest()

    def close(self) -> None:
        """Say that it is whole; raises RefusedError when it is cut short, or DigestError."""
        self._stream.close()
        if self._writer.digest != self._digest:
            raise DigestError(expected=self._digest, actual=self._writer.digest)

    def _take(self, chunk: bytes) -> None:
        self.received += len(chunk)
        limit = self._limits.size + self._limits.size // 1000 + OVERHEAD
        if self.received > limit:
            raise LimitError(entry="(the archive)", limit=limit, unit="bytes, compressed")
        self._stream.feed(chunk)
        self._out.write(chunk)

    def _restart_digest(self) -> None:
        self._writer = DigestWriter(lambda _: None, self._limits.size)
        self._stream = Gunzip(self._writer)


@contextmanager
def downloading(digest: Digest, into: Path, limits: Limits | None, progress: Progress) -> Iterator[Download]:
    """Give a Download; `into` appears when the block ends well and what has come is the bundle."""
    with appearing(into) as draft:
        download = Download(draft.out, digest, limits or Limits(), progress)
        yield download
        download.close()
