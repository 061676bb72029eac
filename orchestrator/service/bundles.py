"""Bundles are taken in whole or not at all, and known by their digest from then on: the `Bundles` face."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from broker.ids import Digest
from orchestrator.domain.model import Bundle
from orchestrator.domain.show import bundle_view
from orchestrator.domain.views import BundleView
from orchestrator.nearest import nearest
from orchestrator.operations import RefusedError
from orchestrator.ports import BundleShelf, BundleShelfError
from orchestrator.service.core import Core
from orchestrator.service.state import ClusterState, Work

MOST_BYTES: Final = 512 * 1024**2


class BundlesService:
    """Keeps bundles on the shelf, and their records in the core."""

    def __init__(self, core: Core, shelf: BundleShelf, drafts: Path) -> None:
        self._core = core
        self._shelf = shelf
        self._drafts = drafts

    async def bundles(self) -> Sequence[BundleView]:
        """Return the known bundles, newest first."""
        known = self._core.state.bundles.values()
        return [bundle_view(item) for item in sorted(known, key=lambda item: item.pushed_at, reverse=True)]

    async def bundle(self, digest: Digest) -> BundleView:
        """Return one bundle, or raise a RefusedError of kind `unknown-bundle`."""
        return bundle_view(self._known(digest))

    async def packed(self, digest: Digest) -> Path:
        """Return the packed file of a bundle (gzip), or raise a RefusedError of kind `unknown-bundle`."""
        self._known(digest)
        return await self._shelf.packed(digest)

    async def receive(self, chunks: AsyncIterator[bytes], *, pushed_by: str) -> BundleView:
        """Take a packed bundle, verify it whole, keep it by its digest; the same one twice is the same."""
        with NamedTemporaryFile(dir=self._drafts, prefix="push-") as draft:
            size = 0
            async for chunk in chunks:
                size += len(chunk)
                if size > MOST_BYTES:
                    raise _too_large()
                await asyncio.to_thread(draft.write, chunk)
            draft.flush()
            try:
                bundle = await self._shelf.keep(Path(draft.name))
            except BundleShelfError as error:
                raise RefusedError(
                    kind="bad-bundle",
                    status=error.status,
                    title="the bundle was not taken",
                    detail=error.reason,
                    action=error.action,
                ) from error
        return await self._record(bundle, pushed_by)

    async def _record(self, bundle: Bundle, pushed_by: str) -> BundleView:
        def act(state: ClusterState, work: Work) -> BundleView:
            return bundle_view(state.receive(work, bundle, by=pushed_by, at=self._core.clock.now()))

        return await self._core.call(act)

    def _known(self, digest: Digest) -> Bundle:
        known = self._core.state.bundles
        if digest not in known:
            raise RefusedError(
                kind="unknown-bundle",
                status=404,
                title=f"no bundle {digest}",
                detail=nearest(digest, known),
                action="see `tarmak bundle list`, or push it: tarmak bundle push SRC",
            )
        return known[digest]


def _too_large() -> RefusedError:
    return RefusedError(
        kind="bundle-too-large",
        status=413,
        title="the bundle was not taken",
        detail=f"it is larger than {MOST_BYTES // 1024**2} MiB packed",
        action="leave out what is no Puppet code (large files belong in packages), and push it again",
    )
