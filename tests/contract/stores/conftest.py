"""Every store under one contract: a directory, the door, S3 by moto, and a real S3 server where one is."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from puppet_bridge.bundle import BundleFile, build
from tests.contract.stores import places
from tests.contract.stores.places import Place

FILLED = ("file", "s3 by moto", "s3 by versitygw")


@pytest.fixture
def bundle(tmp_path: Path) -> BundleFile:
    """A bundle of some 300 kB, so that it comes in several pieces."""
    source = tmp_path / "src"
    (source / "manifests").mkdir(parents=True)
    (source / "manifests/site.pp").write_text("notify { 'x': }\n")
    (source / "noise").write_bytes(os.urandom(300_000))
    return build(source, tmp_path, puppet="no-such-puppet")


@pytest.fixture(scope="session")
def moto() -> Iterator[int]:
    """Moto's server on a free port, which is returned."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as an operator gives them, and nothing of this machine's own."""
    for name, value in places.CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=FILLED)
async def store_place(request: pytest.FixtureRequest, tmp_path: Path, moto: int) -> AsyncIterator[Place]:
    """Each place that can be filled."""
    async with _place(request.param, tmp_path, moto) as place:
        yield place


@pytest.fixture(params=(*FILLED, "https"))
async def source_place(request: pytest.FixtureRequest, tmp_path: Path, moto: int) -> AsyncIterator[Place]:
    """Each place that bundles can be fetched from."""
    async with _place(request.param, tmp_path, moto) as place:
        yield place


@pytest.fixture
async def https_place(tmp_path: Path) -> AsyncIterator[Place]:
    """The door alone."""
    async with places.https_place(tmp_path) as place:
        yield place


def _place(kind: str, folder: Path, moto: int) -> AbstractAsyncContextManager[Place]:
    match kind:
        case "file":
            return places.file_place(folder)
        case "https":
            return places.https_place(folder)
        case "s3 by moto":
            return places.s3_place(moto)
        case _:
            return places.gateway_place(folder)
