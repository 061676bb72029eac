"""The two ports to where bundles lie: what an instance fetches from, and what an orchestrator also fills.

Both are asynchronous context managers. Bundles are named by their digest and nothing ever changes, so
`put` of one that is there is no error and changes nothing, and two stores can only differ in what they have.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self

from broker.ids import Digest
from puppet_bridge.archive import Limits
from puppet_bridge.bundle import BundleFile

Progress = Callable[[int, int | None], None]
"""Is told how many compressed bytes have come, of how many (None: not known)."""


def unheard(_received: int, _total: int | None) -> None:
    """Take progress and make nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files for mutual TLS: the authority that is trusted, and who we are."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBundle:
    """What a store says of a bundle that it has; `compressed_size` is in bytes."""

    digest: Digest
    compressed_size: int
    stored_at: datetime


class BundleSource(Protocol):
    """A place to fetch bundles from."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def exists(self, digest: Digest) -> bool:
        """Say whether the bundle is there; raises StoreError where that can't be known."""

    async def get(
        self, digest: Digest, into: Path, *, limits: Limits | None = None, progress: Progress = unheard
    ) -> None:
        """Fetch the bundle's archive to the file `into`, which appears only when its digest is proven.

        Raises NoSuchBundleError, StoreUnavailableError, or BundleError for what came and isn't the bundle.
        """


class BundleStore(BundleSource, Protocol):
    """A place to keep bundles in, too."""

    async def put(self, bundle: BundleFile) -> None:
        """Store the bundle durably, unless it is there already; raises StoreError."""

    async def list(self) -> tuple[StoredBundle, ...]:
        """Return every bundle of the store, newest first; foreign files in it are passed over."""
