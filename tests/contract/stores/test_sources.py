"""What fetching a bundle promises, wherever it lies and however the line to it breaks."""

import gzip
import hashlib
from pathlib import Path

import pytest

from broker.ids import Digest
from puppet_bridge.archive import Limits
from puppet_bridge.bundle import BundleFile, verify
from puppet_bridge.errors import (
    DigestError,
    LimitError,
    NoSuchBundleError,
    RefusedError,
    StoreUnavailableError,
)
from puppet_bridge.stores import BundleSource, open_source
from tests.contract.stores.places import QUICK, Place

ABSENT = Digest("sha256:" + "0" * 64)


def entered(place: Place) -> BundleSource:
    return open_source(place.url, tls=place.tls, retry=QUICK)


def renamed(bundle: BundleFile, content: bytes, folder: Path, digest: Digest) -> BundleFile:
    """Return a bundle that claims `digest` and isn't it."""
    path = folder / "false.tar.gz"
    path.write_bytes(content)
    return BundleFile(
        path=path,
        digest=digest,
        size=bundle.size,
        compressed_size=len(content),
        files=bundle.files,
        manifest=bundle.manifest,
    )


async def test_a_bundle_comes_as_it_was_stored(
    source_place: Place, bundle: BundleFile, tmp_path: Path
) -> None:
    """What is fetched is the archive, proven, with progress that ends at its size."""
    await source_place.put(bundle)
    said: list[tuple[int, int | None]] = []
    async with entered(source_place) as source:
        assert await source.exists(bundle.digest)
        await source.get(bundle.digest, tmp_path / "into", progress=lambda *now: said.append(now))
    assert verify(tmp_path / "into").digest == bundle.digest
    assert said[-1] == (bundle.compressed_size, bundle.compressed_size)
    assert said == sorted(said)


async def test_what_is_absent_is_said_to_be(source_place: Place, bundle: BundleFile, tmp_path: Path) -> None:
    """A bundle that the store doesn't have is named with the store, and leaves no file."""
    await source_place.put(bundle)
    async with entered(source_place) as source:
        assert not await source.exists(ABSENT)
        with pytest.raises(NoSuchBundleError) as caught:
            await source.get(ABSENT, tmp_path / "into")
    assert caught.value.digest == ABSENT
    assert not (tmp_path / "into").exists()


async def test_another_bundle_under_its_name_is_refused(
    source_place: Place, bundle: BundleFile, tmp_path: Path
) -> None:
    """A store that gives a wrong, though sound, archive is not believed, and nothing appears."""
    await source_place.put(renamed(bundle, bundle.path.read_bytes(), tmp_path, ABSENT))
    async with entered(source_place) as source:
        with pytest.raises(DigestError):
            await source.get(ABSENT, tmp_path / "into")
    assert not (tmp_path / "into").exists()


async def test_an_archive_cut_short_in_the_store_is_refused(
    source_place: Place, bundle: BundleFile, tmp_path: Path
) -> None:
    """Half an archive is refused as such."""
    await source_place.put(renamed(bundle, bundle.path.read_bytes()[:-100], tmp_path, bundle.digest))
    async with entered(source_place) as source:
        with pytest.raises(RefusedError, match="cut short"):
            await source.get(bundle.digest, tmp_path / "into")
    assert not (tmp_path / "into").exists()


async def test_a_bomb_is_stopped_at_the_declared_size(
    source_place: Place, bundle: BundleFile, tmp_path: Path
) -> None:
    """An archive that grows beyond what was declared is refused while it streams."""
    plain = bytes(8 << 20)
    digest = Digest("sha256:" + hashlib.sha256(plain).hexdigest())
    await source_place.put(renamed(bundle, gzip.compress(plain), tmp_path, digest))
    async with entered(source_place) as source:
        with pytest.raises(LimitError):
            await source.get(digest, tmp_path / "into", limits=Limits(size=1 << 20))
    assert not (tmp_path / "into").exists()


async def test_a_broken_transfer_goes_on_where_it_broke(
    source_place: Place, bundle: BundleFile, tmp_path: Path
) -> None:
    """Over a line that breaks more often than there are attempts, the bundle comes, and nothing twice."""
    await source_place.put(bundle)
    line = source_place.line
    if line is None:
        pytest.skip("no line leads to a directory")
    line.breaks = [70_000] * 4
    line.carried = 0
    async with entered(source_place) as source:
        await source.get(bundle.digest, tmp_path / "into")
    assert verify(tmp_path / "into").digest == bundle.digest
    assert line.breaks == []
    assert line.carried < bundle.compressed_size * 1.2


async def test_a_dead_line_ends_with_an_error(
    source_place: Place, bundle: BundleFile, tmp_path: Path
) -> None:
    """When nothing comes any more the attempts are bounded, and the error names the store."""
    await source_place.put(bundle)
    line = source_place.line
    if line is None:
        pytest.skip("no line leads to a directory")
    line.breaks = [70_000] + [0] * 100
    async with entered(source_place) as source:
        with pytest.raises(StoreUnavailableError) as caught:
            await source.get(bundle.digest, tmp_path / "into")
    assert caught.value.url == source_place.url
    assert 100 - len(line.breaks) <= QUICK.attempts + 1
    assert not (tmp_path / "into").exists()
