"""A resident wing fetches bundles without ever loading what that takes.

aiohttp and aioboto3 would cost it tens of megabytes for good, so a child does the work (`fetch_child`)
and is gone. The two speak JSON lines over its pipes: one request down, then progress and one answer up.
The child ends when its parent does, since its standard input closes; a cancelled fetch kills it.
"""

import asyncio
import json
import os
import signal
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from broker.ids import Digest
from puppet_bridge.cache import BundleCache
from puppet_bridge.children import python_command, python_environment
from puppet_bridge.errors import FetchError

CHILD: Final = "puppet_bridge.fetch_child"
LAST_WORDS: Final = 4096

FetchProgress = Callable[[int, int | None], None]
"""Is told how many compressed bytes have come, of how many (None: not known)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTls:
    """Paths of the PEM files with which a door is entered."""

    ca: str
    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """What the child is asked: fetch the bundle at `url`, at most `size` bytes as a tar, into the cache."""

    digest: Digest
    size: int
    url: str
    cache: str
    tls: FetchTls | None

    def to_json(self) -> bytes:
        """Return the request as one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> "FetchRequest":
        """Return the request that a parent wrote."""
        fields = json.loads(line)
        tls = None if fields["tls"] is None else FetchTls(**fields["tls"])
        return cls(**{**fields, "tls": tls})


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFetcher:
    """Brings bundles into the cache at `cache_dir`."""

    cache_dir: Path
    tls: FetchTls | None = None
    command: tuple[str, ...] = field(default_factory=lambda: python_command(CHILD))

    async def fetch(
        self, digest: Digest, size: int, url: str, *, progress: FetchProgress = lambda *_: None
    ) -> Path:
        """Return the directory of the unpacked bundle, fetched if it isn't there; raises FetchError.

        `size` is the declared size of the uncompressed tar in bytes, and the bound of what is taken.
        """
        found = await asyncio.to_thread(BundleCache(self.cache_dir).find, digest)
        if found is not None:
            return found
        request = FetchRequest(digest=digest, size=size, url=url, cache=str(self.cache_dir), tls=self.tls)
        with tempfile.TemporaryFile() as complaints:
            async with self._child(complaints) as child:
                failure = await _converse(child, request, progress)
            if failure is not None:
                raise FetchError(url=url, reason=failure or _last_words(child, complaints))
        return BundleCache(self.cache_dir).place(digest)

    @asynccontextmanager
    async def _child(self, complaints: BinaryIO) -> AsyncIterator[Process]:
        child = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=complaints,
            env=python_environment(prefixes=("AWS_",)),
            start_new_session=True,
        )
        try:
            yield child
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()


async def _converse(child: Process, request: FetchRequest, progress: FetchProgress) -> str | None:
    """Return None when the child has done it, else its reason, which is empty if it died without a word."""
    pipes = child.stdin, child.stdout
    if pipes[0] is None or pipes[1] is None:
        return "the child has no pipes"
    pipes[0].write(request.to_json())
    async for line in pipes[1]:
        match json.loads(line):
            case {"received": received, "total": total}:
                progress(received, total)
            case {"failed": reason}:
                return str(reason)
            case {"done": _}:
                return None
    await child.wait()
    return ""


def _last_words(child: Process, complaints: BinaryIO) -> str:
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - LAST_WORDS))
    said = complaints.read().decode("utf-8", "replace").strip()
    return f"the child ended with {child.returncode}: {said or 'not a word'}"
