"""What only the door has: mutual TLS, statuses, and servers that resume badly."""

from pathlib import Path

import pytest

from puppet_bridge.bundle import BundleFile, verify
from puppet_bridge.errors import StoreUnavailableError
from puppet_bridge.stores import TlsFiles, open_source
from tests.contract.stores.door import Authority
from tests.contract.stores.places import QUICK, Place


async def test_passing_troubles_of_the_server_pass(
    https_place: Place, bundle: BundleFile, tmp_path: Path
) -> None:
    """A 503 and a 429 are tried again; the bundle comes."""
    await https_place.put(bundle)
    assert https_place.door is not None
    https_place.door.answers = [503, 429]
    async with open_source(https_place.url, tls=https_place.tls, retry=QUICK) as source:
        await source.get(bundle.digest, tmp_path / "into")
    assert len(https_place.door.ranges) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 302])
async def test_a_refusal_is_final(
    https_place: Place, bundle: BundleFile, tmp_path: Path, status: int
) -> None:
    """What another attempt would meet again is told at once."""
    await https_place.put(bundle)
    assert https_place.door is not None
    https_place.door.answers = [status]
    async with open_source(https_place.url, tls=https_place.tls, retry=QUICK) as source:
        with pytest.raises(StoreUnavailableError, match=str(status)):
            await source.get(bundle.digest, tmp_path / "into")
    assert len(https_place.door.ranges) == 1


async def test_a_server_without_range_is_started_over(
    https_place: Place, bundle: BundleFile, tmp_path: Path
) -> None:
    """A server that answers a Range with the whole is read from the start; the bundle is whole."""
    await https_place.put(bundle)
    assert https_place.door is not None
    assert https_place.line is not None
    https_place.door.deaf = True
    https_place.line.breaks = [100_000]
    async with open_source(https_place.url, tls=https_place.tls, retry=QUICK) as source:
        await source.get(bundle.digest, tmp_path / "into")
    assert verify(tmp_path / "into").digest == bundle.digest
    assert https_place.door.ranges[0] is None
    assert https_place.door.ranges[1] is not None


async def test_a_server_that_always_breaks_without_range_is_given_up(
    https_place: Place, bundle: BundleFile, tmp_path: Path
) -> None:
    """Bytes that came before are no progress: starting over at each break ends after bounded attempts."""
    await https_place.put(bundle)
    assert https_place.door is not None
    assert https_place.line is not None
    https_place.door.deaf = True
    https_place.line.breaks = [100_000] * 50
    async with open_source(https_place.url, tls=https_place.tls, retry=QUICK) as source:
        with pytest.raises(StoreUnavailableError):
            await source.get(bundle.digest, tmp_path / "into")
    assert len(https_place.door.ranges) <= 2 * QUICK.attempts


async def test_a_replaced_archive_is_not_put_behind_another(
    https_place: Place, bundle: BundleFile, tmp_path: Path
) -> None:
    """If the archive was packed anew meanwhile (another gzip), the transfer starts over and is whole."""
    await https_place.put(bundle)
    assert https_place.line is not None
    assert https_place.folder is not None
    https_place.line.breaks = [100_000]
    served = next(https_place.folder.iterdir())
    content = served.read_bytes()
    named = content[:3] + b"\x08" + content[4:10] + b"a name in its header\0" + content[10:]

    def repack(_received: int, _total: int | None) -> None:
        (tmp_path / "named").write_bytes(named)
        (tmp_path / "named").rename(served)

    async with open_source(https_place.url, tls=https_place.tls, retry=QUICK) as source:
        await source.get(bundle.digest, tmp_path / "into", progress=repack)
    assert verify(tmp_path / "into").digest == bundle.digest


async def test_a_stranger_is_not_let_in(https_place: Place, bundle: BundleFile, tmp_path: Path) -> None:
    """A client of another authority gets nothing, and a server of another authority is not believed."""
    await https_place.put(bundle)
    stranger = Authority(tmp_path / "other").client("stranger")
    assert https_place.tls is not None
    half = TlsFiles(ca=https_place.tls.ca, certificate=stranger.certificate, key=stranger.key)
    for tls in (stranger, half):
        async with open_source(https_place.url, tls=tls, retry=QUICK) as source:
            with pytest.raises(StoreUnavailableError):
                await source.get(bundle.digest, tmp_path / "into")
    assert https_place.door is not None
    assert https_place.door.ranges == []


async def test_keys_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """Files that are missing or no PEM are told before anything is asked."""
    files = TlsFiles(ca=tmp_path / "ca", certificate=tmp_path / "crt", key=tmp_path / "key")
    with pytest.raises(StoreUnavailableError, match="TLS"):
        await open_source("https://127.0.0.1:1/bundles", tls=files).__aenter__()
