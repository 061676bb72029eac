"""The wings' door: bundles, whole or from where they broke off, to certificates of the mesh only."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from orchestrator.adapters.local_ca import CertificateFiles, LocalCa
from orchestrator.api.bundle_door import DoorConfig, open_door
from tests.unit.orchestrator.faces import V1, V2, Memory, a_bundle

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def authority(tmp_path: Path) -> LocalCa:
    return LocalCa.create(tmp_path / "ca")


@pytest.fixture
async def door(tmp_path: Path, authority: LocalCa) -> AsyncIterator[str]:
    memory = Memory(tmp_path)
    memory.bundles.views.append(a_bundle(V1))
    (await memory.bundles.packed(V1)).write_bytes(CONTENT)
    own = authority.issue_server("door", hosts=["127.0.0.1"]).write(tmp_path)
    config = DoorConfig(
        host="127.0.0.1", port=0, ca=authority.certificate, certificate=own.certificate, key=own.key
    )
    async with open_door(memory.bundles, config) as port:
        yield f"https://127.0.0.1:{port}"


def trusting(authority: LocalCa, shown: CertificateFiles | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    return context


@pytest.fixture
async def wing(tmp_path: Path, authority: LocalCa) -> AsyncIterator[aiohttp.ClientSession]:
    shown = authority.issue_client("worker-1").write(tmp_path)
    connector = aiohttp.TCPConnector(ssl=trusting(authority, shown))
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield session


async def test_a_wing_gets_a_bundle_by_its_digest(wing: aiohttp.ClientSession, door: str) -> None:
    """What is behind a digest is the packed file, byte by byte, and never changes."""
    async with wing.get(f"{door}/bundles/{V1}") as response:
        assert response.status == 200
        assert response.content_type == "application/gzip"
        assert "Content-Encoding" not in response.headers
        assert "immutable" in response.headers["Cache-Control"]
        assert await response.read() == CONTENT


async def test_a_broken_transfer_goes_on(wing: aiohttp.ClientSession, door: str) -> None:
    """A range is served as one; one that lies beyond the end is refused."""
    async with wing.get(f"{door}/bundles/{V1}", headers={"Range": "bytes=1000-"}) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}"
        assert await response.read() == CONTENT[1000:]
    async with wing.get(f"{door}/bundles/{V1}", headers={"Range": "bytes=99999999-"}) as response:
        assert response.status == 416


async def test_a_look_costs_no_transfer(wing: aiohttp.ClientSession, door: str) -> None:
    """HEAD tells the size only."""
    async with wing.head(f"{door}/bundles/{V1}") as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(CONTENT)))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/bundles/{V2}", 404),
        ("GET", "/bundles/..%2F..%2Fetc%2Fpasswd", 400),
        ("GET", "/v1/instances", 404),
        ("PUT", f"/bundles/{V1}", 405),
    ],
)
async def test_nothing_else_is_behind_the_door(
    wing: aiohttp.ClientSession, door: str, method: str, path: str, status: int
) -> None:
    """Unknown digests, what is no digest and the operators' API are problems here."""
    async with wing.request(method, f"{door}{path}") as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("who", ["nobody", "a server", "another mesh"])
async def test_only_certificates_of_the_mesh_come_in(
    authority: LocalCa, door: str, tmp_path: Path, who: str
) -> None:
    """Without a client certificate of the mesh's authority there is no connection at all."""
    shown = {
        "nobody": lambda: None,
        "a server": lambda: authority.issue_server("other", hosts=["127.0.0.1"]).write(tmp_path),
        "another mesh": lambda: LocalCa.create(tmp_path / "other").issue_client("worker-1").write(tmp_path),
    }[who]()
    connector = aiohttp.TCPConnector(ssl=trusting(authority, shown))
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await session.get(f"{door}/bundles/{V1}")
