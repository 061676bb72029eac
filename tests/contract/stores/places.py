"""The places under contract, and what a test may know of each."""

import asyncio
import contextlib
import os
import shutil
import socket
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aioboto3  # type: ignore[import-untyped]  # has no types of its own
import pytest

from puppet_bridge.bundle import BundleFile, file_name
from puppet_bridge.stores import RetryPolicy, TlsFiles, open_store
from tests.contract.stores.door import Authority, Door
from tests.contract.stores.lines import Line

QUICK: Final = RetryPolicy(attempts=3, pause_s=0, longest_pause_s=0)
"""The adapters' own bounds, without waiting between attempts."""
GATEWAY: Final = "TARMAK_TEST_S3_GATEWAY"
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "tarmak-test",
    "AWS_SECRET_ACCESS_KEY": "tarmak-test-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A store's URL and how to get in; `line` is what leads there, `door` the https server itself."""

    url: str
    folder: Path | None = None
    tls: TlsFiles | None = None
    line: Line | None = None
    door: Door | None = None

    async def put(self, bundle: BundleFile) -> None:
        """Bring `bundle` in, by the back door where the front one only serves."""
        if self.door is None:
            async with open_store(self.url, retry=QUICK) as store:
                await store.put(bundle)
        elif self.folder is not None:
            shutil.copy(bundle.path, self.folder / file_name(bundle.digest))


@contextlib.asynccontextmanager
async def file_place(folder: Path) -> AsyncIterator[Place]:
    """A directory that isn't there yet."""
    yield Place(url=f"file://{folder}/bundles", folder=folder / "bundles")


@contextlib.asynccontextmanager
async def https_place(folder: Path) -> AsyncIterator[Place]:
    """A door with mutual TLS."""
    served = folder / "served"
    served.mkdir()
    authority, door = Authority(folder / "tls"), Door(served)
    async with door.open(authority.server()) as port:
        line = Line(port)
        async with line.open() as near:
            yield Place(
                url=f"https://127.0.0.1:{near}/bundles",
                folder=served,
                tls=authority.client("worker-1"),
                line=line,
                door=door,
            )


@contextlib.asynccontextmanager
async def s3_place(port: int) -> AsyncIterator[Place]:
    """A new bucket of the S3 server on `port`."""
    bucket = f"bundles-{uuid.uuid4().hex[:12]}"
    endpoint = f"http://127.0.0.1:{port}"
    async with aioboto3.Session().client("s3", endpoint_url=endpoint, region_name="us-east-1") as client:
        await client.create_bucket(Bucket=bucket)
    line = Line(port)
    async with line.open() as near:
        query = f"endpoint_url=http://127.0.0.1:{near}&region=us-east-1"
        yield Place(url=f"s3://{bucket}/some/prefix?{query}", line=line)


@contextlib.asynccontextmanager
async def gateway_place(folder: Path) -> AsyncIterator[Place]:
    """A bucket of versitygw, a real S3 server over a directory, if the environment names its program."""
    program = os.environ.get(GATEWAY)
    if not program:
        pytest.skip(f"no real S3 server: {GATEWAY} names no versitygw")
    state = folder / "gateway"
    state.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    identity = (
        "--access",
        CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "--secret",
        CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
    process = await asyncio.create_subprocess_exec(
        program, *identity, "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(state)
    )
    try:
        await _listening(port)
        async with s3_place(port) as place:
            yield place
    finally:
        process.terminate()
        await process.wait()


async def _listening(port: int) -> None:
    while True:
        with contextlib.suppress(ConnectionError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
