"""What keeping a bundle promises: it is there for good, and nothing ever changes it."""

import asyncio
from pathlib import Path

import pytest

from puppet_bridge.bundle import BundleFile, build, verify
from puppet_bridge.errors import StoreUnavailableError, StoreUrlError
from puppet_bridge.stores import open_store
from tests.contract.stores.places import QUICK, Place


def another(folder: Path, text: str) -> BundleFile:
    """Build a small bundle that differs by `text`."""
    source = folder / text
    (source / "manifests").mkdir(parents=True)
    (source / "manifests/site.pp").write_text(f"notify {{ '{text}': }}\n")
    return build(source, folder, puppet="no-such-puppet")


async def test_an_empty_store_has_nothing(store_place: Place, bundle: BundleFile) -> None:
    """A store that nothing was put into lists nothing."""
    async with open_store(store_place.url, retry=QUICK) as store:
        assert await store.list() == ()
        assert not await store.exists(bundle.digest)


async def test_what_is_put_is_listed(store_place: Place, bundle: BundleFile, tmp_path: Path) -> None:
    """Every bundle that was put is listed with its size."""
    small = another(tmp_path, "small")
    async with open_store(store_place.url, retry=QUICK) as store:
        await store.put(bundle)
        await store.put(small)
        listed = await store.list()
    assert {(entry.digest, entry.compressed_size) for entry in listed} == {
        (bundle.digest, bundle.compressed_size),
        (small.digest, small.compressed_size),
    }
    assert all(entry.stored_at.tzinfo is not None for entry in listed)


async def test_putting_again_changes_nothing(store_place: Place, bundle: BundleFile, tmp_path: Path) -> None:
    """A second put under a digest that is there is no error, and the first one's bytes stay."""
    impostor = tmp_path / "impostor"
    impostor.write_bytes(b"not the bundle")
    false = BundleFile(
        path=impostor, digest=bundle.digest, size=1, compressed_size=14, files=1, manifest=bundle.manifest
    )
    async with open_store(store_place.url, retry=QUICK) as store:
        await store.put(bundle)
        await store.put(false)
        await store.get(bundle.digest, tmp_path / "into")
        assert len(await store.list()) == 1
    assert verify(tmp_path / "into").digest == bundle.digest


async def test_putting_at_once_stores_one(store_place: Place, bundle: BundleFile, tmp_path: Path) -> None:
    """Several pushes of one bundle at once all succeed, and it is there once."""
    async with open_store(store_place.url, retry=QUICK) as store, asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(store.put(bundle), name=f"put {number}")
    async with open_store(store_place.url, retry=QUICK) as store:
        assert [entry.digest for entry in await store.list()] == [bundle.digest]
        await store.get(bundle.digest, tmp_path / "into")


async def test_a_store_that_is_away_is_named(bundle: BundleFile, tmp_path: Path) -> None:
    """A store that can't be reached is named, after bounded attempts."""
    (tmp_path / "blocked").write_text("a file where a directory should be")
    for url in (
        f"file://{tmp_path}/blocked/bundles",
        "s3://bucket/prefix?endpoint_url=http://127.0.0.1:1&region=us-east-1",
    ):
        async with open_store(url, retry=QUICK) as store:
            with pytest.raises(StoreUnavailableError) as caught:
                await store.put(bundle)
        assert caught.value.url == url


async def test_a_bucket_that_is_missing_is_no_missing_bundle(
    moto: int, bundle: BundleFile, tmp_path: Path
) -> None:
    """A wrong bucket is told as such, not as a bundle that nobody has pushed."""
    url = f"s3://no-such-bucket?endpoint_url=http://127.0.0.1:{moto}&region=us-east-1"
    async with open_store(url, retry=QUICK) as store:
        for attempt in (store.put(bundle), store.list(), store.get(bundle.digest, tmp_path / "into")):
            with pytest.raises(StoreUnavailableError, match="bucket"):
                await attempt


def test_the_door_is_no_store() -> None:
    """Bundles are pushed through the orchestrator, not through the door that serves them."""
    with pytest.raises(StoreUrlError, match="through the orchestrator"):
        open_store("https://127.0.0.1/bundles")
