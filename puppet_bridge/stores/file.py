"""Bundles in a directory, such as the orchestrator's own: enough for a site without S3."""

import asyncio
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from broker.ids import Digest
from puppet_bridge.archive import CHUNK, Limits
from puppet_bridge.atomic import appearing
from puppet_bridge.bundle import BundleFile
from puppet_bridge.errors import NoSuchBundleError, StoreUnavailableError
from puppet_bridge.stores.download import downloading
from puppet_bridge.stores.port import BundleStore, Progress, StoredBundle, unheard
from puppet_bridge.stores.url import FilePlace, named_digest, object_name


class FileStore(BundleStore):
    """A directory of archives; it is made when the first is put."""

    def __init__(self, place: FilePlace) -> None:
        self._place = place

    async def __aenter__(self) -> Self:
        """Nothing to open."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Nothing to close."""

    async def exists(self, digest: Digest) -> bool:
        """Say whether the archive is there."""
        return await asyncio.to_thread(self._path(digest).is_file)

    async def get(
        self, digest: Digest, into: Path, *, limits: Limits | None = None, progress: Progress = unheard
    ) -> None:
        """Copy the archive, proving it on the way."""
        try:
            with (
                self._path(digest).open("rb") as archive,
                downloading(digest, into, limits, progress) as download,
            ):
                download.total = os.fstat(archive.fileno()).st_size
                while chunk := await asyncio.to_thread(archive.read, CHUNK):
                    await download.write(chunk)
        except FileNotFoundError as error:
            raise NoSuchBundleError(url=self._place.url, digest=digest) from error
        except OSError as error:
            raise self._unavailable(error) from error

    async def put(self, bundle: BundleFile) -> None:
        """Copy the archive in, unless it is there."""
        try:
            await asyncio.to_thread(self._put, bundle)
        except OSError as error:
            raise self._unavailable(error) from error

    async def list(self) -> tuple[StoredBundle, ...]:
        """Return the archives of the directory; none where there is no directory yet."""
        try:
            return await asyncio.to_thread(self._list)
        except OSError as error:
            raise self._unavailable(error) from error

    def _path(self, digest: Digest) -> Path:
        return self._place.directory / object_name(digest)

    def _put(self, bundle: BundleFile) -> None:
        path = self._path(bundle.digest)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with bundle.path.open("rb") as archive, appearing(path) as draft:
            draft.replace = False
            shutil.copyfileobj(archive, draft.out)

    def _list(self) -> tuple[StoredBundle, ...]:
        if not self._place.directory.is_dir():
            return ()
        found = [
            StoredBundle(
                digest=digest,
                compressed_size=path.stat().st_size,
                stored_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
            )
            for path in self._place.directory.iterdir()
            if (digest := named_digest(path.name)) is not None
        ]
        return tuple(sorted(found, key=lambda bundle: bundle.stored_at, reverse=True))

    def _unavailable(self, error: OSError) -> StoreUnavailableError:
        return StoreUnavailableError(url=self._place.url, reason=str(error))
