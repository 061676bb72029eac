"""Bundles in S3, whoever runs it, with nothing asked of it but GET, HEAD, PUT and LIST.

A put asks first and says `If-None-Match: *`, so even two pushes at once change nothing that is there.
Botocore's newer checksums are off, since on-premises servers know them badly and the digest proves more.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import aioboto3  # type: ignore[import-untyped]  # has no types of its own
import aiohttp
from aiobotocore.config import AioConfig  # type: ignore[import-untyped]  # the same
from botocore.exceptions import (  # type: ignore[import-untyped]  # the same
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
)

from broker.ids import Digest
from puppet_bridge.archive import CHUNK, Limits
from puppet_bridge.bundle import BundleFile
from puppet_bridge.errors import NoSuchBundleError, StoreUnavailableError
from puppet_bridge.stores.download import Download, downloading
from puppet_bridge.stores.port import BundleStore, Progress, StoredBundle, unheard
from puppet_bridge.stores.retry import BrokenTransferError, RetryPolicy, persistently
from puppet_bridge.stores.url import S3Place, named_digest, object_name

T = TypeVar("T")

ABSENT: Final = frozenset(("404", "NoSuchKey"))
THERE_ALREADY: Final = frozenset(("412", "PreconditionFailed"))
MOVED: Final = frozenset(("412", "PreconditionFailed", "416", "InvalidRange"))
PASSING: Final = frozenset(
    ("409", "ConditionalRequestConflict", "500", "InternalError", "503", "SlowDown", "ServiceUnavailable")
)


class S3Store(BundleStore):
    """A bucket's keys under one prefix."""

    def __init__(self, place: S3Place, policy: RetryPolicy) -> None:
        self._place = place
        self._policy = policy
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Make the client; nothing is asked of the server yet."""
        config = AioConfig(
            connect_timeout=self._policy.connect_timeout_s,
            read_timeout=self._policy.silence_timeout_s,
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if self._place.endpoint_url else "auto"},
        )
        session = aioboto3.Session(region_name=self._place.region)
        try:
            self._client = await self._stack.enter_async_context(
                session.client("s3", endpoint_url=self._place.endpoint_url, config=config)
            )
        except (BotoCoreError, ValueError) as error:
            raise self._unavailable(str(error)) from error
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close what connections are left."""
        await self._stack.aclose()

    async def exists(self, digest: Digest) -> bool:
        """Ask with HEAD."""
        try:
            await self._tried(lambda: self._client.head_object(**self._named(digest)), None, digest)
        except NoSuchBundleError:
            return False
        return True

    async def get(
        self, digest: Digest, into: Path, *, limits: Limits | None = None, progress: Progress = unheard
    ) -> None:
        """Fetch with GET, and after a break with Range from where it broke."""
        with downloading(digest, into, limits, progress) as download:
            await self._tried(lambda: self._get(digest, download), download, digest)

    async def put(self, bundle: BundleFile) -> None:
        """Upload the archive in one conditional request, unless it is there already."""
        # Asked first, too: some servers take the condition for decoration.
        if await self.exists(bundle.digest):
            return
        await self._tried(lambda: self._put(bundle))

    async def list(self) -> tuple[StoredBundle, ...]:
        """Return the bundles among the keys."""
        found = await self._tried(self._list)
        return tuple(sorted(found, key=lambda bundle: bundle.stored_at, reverse=True))

    async def _get(self, digest: Digest, download: Download) -> None:
        resume = (
            {"Range": f"bytes={download.received}-", "IfMatch": download.etag} if download.received else {}
        )
        answer = await self._client.get_object(**self._named(digest), **resume)
        download.etag = answer["ETag"]
        download.total = download.received + answer["ContentLength"]
        body = answer["Body"]
        async with body:  # entering gives the transport's response, not the body
            async for chunk in body.iter_chunks(CHUNK):
                await download.write(chunk)

    async def _put(self, bundle: BundleFile) -> None:
        with await asyncio.to_thread(bundle.path.open, "rb") as archive:
            try:
                await self._client.put_object(
                    **self._named(bundle.digest),
                    Body=archive,
                    ContentLength=bundle.compressed_size,
                    ContentType="application/gzip",
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if _code(error) not in THERE_ALREADY:
                    raise

    async def _list(self) -> Sequence[StoredBundle]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._place.bucket, Prefix=self._place.prefix, Delimiter="/"
        )
        return [
            StoredBundle(digest=digest, compressed_size=key["Size"], stored_at=key["LastModified"])
            async for page in pages
            for key in page.get("Contents", ())
            if (digest := named_digest(key["Key"].removeprefix(self._place.prefix))) is not None
        ]

    def _named(self, digest: Digest) -> dict[str, Any]:
        return {"Bucket": self._place.bucket, "Key": self._place.prefix + object_name(digest)}

    async def _tried(
        self,
        attempt: Callable[[], Awaitable[T]],
        download: Download | None = None,
        digest: Digest | None = None,
    ) -> T:
        async def translated() -> T:
            async with self._translating(download, digest):
                return await attempt()

        try:
            return await persistently(self._policy, translated, download)
        except BrokenTransferError as error:
            raise self._unavailable(str(error)) from error

    @asynccontextmanager
    async def _translating(self, download: Download | None, digest: Digest | None) -> AsyncIterator[None]:
        try:
            yield
        except ClientError as error:
            if _code(error) in MOVED and download is not None and download.received:
                await download.restart()
                raise BrokenTransferError(str(error)) from error
            raise self._refused(error, digest) from error
        except (HTTPClientError, ResponseStreamingError, IncompleteReadError) as error:
            raise BrokenTransferError(str(error)) from error
        except (
            aiohttp.ClientError,
            TimeoutError,
        ) as error:  # aiobotocore lets some of its transport's through
            raise BrokenTransferError(str(error) or type(error).__name__) from error
        except BotoCoreError as error:
            raise self._unavailable(str(error)) from error

    def _refused(self, error: ClientError, digest: Digest | None) -> Exception:
        code = _code(error)
        if code in ABSENT and digest is not None:
            return NoSuchBundleError(url=self._place.url, digest=digest)
        if code in PASSING:
            return BrokenTransferError(str(error))
        return self._unavailable(str(error))

    def _unavailable(self, reason: str) -> StoreUnavailableError:
        return StoreUnavailableError(url=self._place.url, reason=reason)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
