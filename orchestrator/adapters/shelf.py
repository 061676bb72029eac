"""Bundles on their shelf: a store of `puppet_bridge`, and a copy beside the daemon for its own door."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Final

from broker.ids import Digest
from orchestrator.domain.model import Bundle
from orchestrator.ports import BundleShelfError, Clock
from puppet_bridge.bundle import BundleFile, verify
from puppet_bridge.errors import BundleError, StoreError
from puppet_bridge.stores import BundleStore

BAD: Final = 422
UNAVAILABLE: Final = 503


class StoreShelf:
    """Keeps what it has proven in `store`; `cache` holds what the door has served."""

    def __init__(self, store: BundleStore, cache: Path, clock: Clock) -> None:
        self._store = store
        self._cache = cache
        self._clock = clock

    async def keep(self, draft: Path) -> Bundle:
        """Verify and keep a packed bundle, and return its record; raises BundleShelfError."""
        try:
            found = await asyncio.to_thread(verify, draft)
            await self._store.put(found)
        except BundleError as error:
            action = "build it again: tarmak bundle build SRC; then push that"
            raise BundleShelfError(reason=str(error), status=BAD, action=action) from error
        except StoreError as error:
            action = "see that the store is reachable and has room, then push again"
            raise BundleShelfError(reason=str(error), status=UNAVAILABLE, action=action) from error
        return _record(found, self._clock.now())

    async def packed(self, digest: Digest) -> Path:
        """Return a local file with the packed bundle."""
        path = self._cache / f"{digest.replace(':', '-')}.tar.gz"
        if not path.exists():
            await self._store.get(digest, path)
        return path


def _record(found: BundleFile, at: datetime) -> Bundle:
    return Bundle(
        digest=found.digest,
        size=found.size,
        packed=found.compressed_size,
        name=found.manifest.name or None,
        version=found.manifest.version or None,
        roles=tuple(found.manifest.roles),
        pushed_at=at,
        pushed_by="",
    )
