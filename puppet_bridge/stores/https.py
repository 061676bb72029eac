"""Bundles from the orchestrator's door, over mutual TLS and lines that break in the middle."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self, TypeVar

import aiohttp

from broker.ids import Digest
from puppet_bridge.archive import CHUNK, Limits
from puppet_bridge.errors import NoSuchBundleError, StoreUnavailableError
from puppet_bridge.stores.download import Download, downloading
from puppet_bridge.stores.port import BundleSource, Progress, TlsFiles, unheard
from puppet_bridge.stores.retry import BrokenTransferError, RetryPolicy, persistently
from puppet_bridge.stores.url import HttpsPlace

T = TypeVar("T")

PASSING: Final = frozenset(
    (
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    )
)
"""Statuses that another attempt may not meet again."""
NO_RESUMING: Final = frozenset((HTTPStatus.OK, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE))


class HttpsSource(BundleSource):
    """A door that serves `GET|HEAD <url>/<digest>`; with `tls` both sides prove who they are."""

    def __init__(self, place: HttpsPlace, tls: TlsFiles | None, policy: RetryPolicy) -> None:
        self._place = place
        self._tls = tls
        self._policy = policy
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Read the keys; raises StoreUnavailableError for files that can't be used."""
        try:
            context = await asyncio.to_thread(_context, self._tls)
        except OSError as error:  # SSLError is one
            raise self._unavailable(f"the files for TLS can't be used: {error}") from error
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._policy.connect_timeout_s, sock_read=self._policy.silence_timeout_s
        )
        # The archive's bytes are wanted as they lie, also from a server that calls their gzip an encoding.
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context),
                timeout=timeout,
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close what connections are left."""
        await self._stack.aclose()

    async def exists(self, digest: Digest) -> bool:
        """Ask with HEAD."""
        return await self._tried(lambda: self._head(digest))

    async def get(
        self, digest: Digest, into: Path, *, limits: Limits | None = None, progress: Progress = unheard
    ) -> None:
        """Fetch with GET, and after a break with Range from where it broke."""
        with downloading(digest, into, limits, progress) as download:
            await self._tried(lambda: self._get(digest, download), download)

    async def _tried(self, attempt: Callable[[], Awaitable[T]], download: Download | None = None) -> T:
        try:
            return await persistently(self._policy, attempt, download)
        except BrokenTransferError as error:
            raise self._unavailable(str(error)) from error

    async def _head(self, digest: Digest) -> bool:
        async with self._asked("HEAD", digest, {}) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return False
            self._expect(response, HTTPStatus.OK)
            return True

    async def _get(self, digest: Digest, download: Download) -> None:
        async with self._asked("GET", digest, _from(download)) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                raise NoSuchBundleError(url=self._place.url, digest=digest)
            await _match(response, download)
            self._expect(response, HTTPStatus.PARTIAL_CONTENT if download.received else HTTPStatus.OK)
            download.etag = response.headers.get("ETag")
            if response.content_length is not None:
                download.total = download.received + response.content_length
            async for chunk in response.content.iter_chunked(CHUNK):
                await download.write(chunk)

    @asynccontextmanager
    async def _asked(
        self, method: str, digest: Digest, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = f"{self._place.url}/{digest}"
        try:
            async with self._session.request(method, url, headers=headers, allow_redirects=False) as response:
                yield response
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise self._unavailable(f"TLS failed: {error}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BrokenTransferError(str(error) or type(error).__name__) from error

    def _expect(self, response: aiohttp.ClientResponse, status: HTTPStatus) -> None:
        if response.status in PASSING:
            raise BrokenTransferError(f"answers {response.status} {response.reason}")
        if response.status != status:
            raise self._unavailable(f"answers {response.status} {response.reason} instead of {status}")

    def _unavailable(self, reason: str) -> StoreUnavailableError:
        return StoreUnavailableError(url=self._place.url, reason=reason)


async def _match(response: aiohttp.ClientResponse, download: Download) -> None:
    """Start over where the answer does not go on from what has come; raises BrokenTransferError to ask."""
    if download.received and response.status in NO_RESUMING:
        await download.restart()
    resumed = download.received and response.status == HTTPStatus.PARTIAL_CONTENT
    if resumed and response.headers.get("ETag") != download.etag:
        # Some servers, aiohttp's among them, know If-Range with a date only.
        await download.restart()
        raise BrokenTransferError("the archive was packed anew meanwhile")


def _from(download: Download) -> dict[str, str]:
    if not download.received:
        return {}
    resume = {"Range": f"bytes={download.received}-"}
    return resume | ({"If-Range": download.etag} if download.etag else {})


def _context(tls: TlsFiles | None) -> ssl.SSLContext:
    if tls is None:
        return ssl.create_default_context()
    context = ssl.create_default_context(cafile=tls.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    return context
