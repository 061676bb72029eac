"""Calls of Kubernetes' API that only read: lists in pages, and watches.

The client that makes them has no timeouts of its own, so each call here has one. Its models are not used:
they refuse objects whose required fields somebody left out. The kubeconfig is read whenever a client is
opened, since what it holds is rotated.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import yaml
from aiohttp.http_exceptions import HttpProcessingError
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.config import ConfigException

from orchestrator.adapters.kubernetes.objects import ItemT, Page, status_of

PAGE: Final = 500
CALL_S: Final = 20.0
CONNECT_S: Final = 10.0
WATCH_S: Final = 240
"""After so long the API server ends a watch in order; it is begun again where it ended."""

SILENCE_S: Final = 150.0
"""A watch without even a bookmark, of which one comes each minute, is one whose connection is dead."""


class UnreachableError(Exception):
    """The API server can't be asked, or does not answer as it should."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ExpiredError(Exception):
    """The version that a list or a watch goes on from is no more (410): list anew."""


@asynccontextmanager
async def opened(kubeconfig: Path, silence_s: float = SILENCE_S) -> AsyncIterator["KubernetesApi"]:
    """Open a client with the credential that `kubeconfig` holds now; raises UnreachableError.

    `silence_s` bounds how long a watch may say nothing.
    """
    try:
        client = await config.new_client_from_config(str(kubeconfig), persist_config=False)
    except (ConfigException, OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UnreachableError(reason=f"kubeconfig {kubeconfig} can't be used: {error}") from error
    async with client:
        yield KubernetesApi(client, silence_s)


class KubernetesApi:
    """An API server, as far as it is read."""

    def __init__(self, client: ApiClient, silence_s: float) -> None:
        self._client = client
        self._silence_s = silence_s

    async def pages(self, path: str, into: type[Page[ItemT]]) -> AsyncGenerator[Page[ItemT], None]:
        """Yield a list page by page; raises ExpiredError if that took too long, and UnreachableError."""
        query = {"limit": str(PAGE)}
        while True:
            response = await self._ask(path, query, within=aiohttp.ClientTimeout(total=CALL_S))
            page = decoded(await _body(response), into)
            yield page
            if not page.metadata.next_page:
                return
            query["continue"] = page.metadata.next_page

    async def watch(self, path: str, version: str) -> "Watch":
        """Begin to watch from a version on; raises ExpiredError and UnreachableError."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        within = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=self._silence_s)
        return Watch(await self._ask(path, query, within=within))

    async def _ask(self, path: str, query: Mapping[str, str], *, within: aiohttp.ClientTimeout) -> Any:
        """Return a response whose status is good and whose body is still to be read."""
        try:
            response: Any = await self._client.call_api(
                path,
                "GET",
                query_params=list(query.items()),
                header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=within,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(reason=f"the API server can't be reached: {_words(error)}") from error
        if response.status == HTTPStatus.OK:
            return response
        said = status_of(await _body(response))
        if response.status == HTTPStatus.GONE:
            raise ExpiredError
        reason = said.message or f"the API server answers {response.status}"
        raise UnreachableError(reason=reason)


class Watch:
    """A watch under way."""

    def __init__(self, response: Any) -> None:
        self._response = response

    async def line(self) -> bytes | None:
        """Return the next event, None when the watch is over, whatever has ended it; raises ExpiredError."""
        try:
            line: bytes = await self._response.content.readline()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        except (ValueError, HttpProcessingError) as error:  # a line that is longer than the client bears
            raise ExpiredError from error
        return line or None

    def close(self) -> None:
        """End the watch."""
        self._response.close()


async def _body(response: Any) -> bytes:
    try:
        body: bytes = await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UnreachableError(reason=f"the API server broke off: {_words(error)}") from error
    return body


def decoded(body: bytes, into: type[ItemT]) -> ItemT:
    """Return what the API server said; raises UnreachableError if it is something else."""
    try:
        return msgspec.json.decode(body, type=into)
    except msgspec.MsgspecError as error:
        raise UnreachableError(reason=f"the API server's answer can't be read: {error}") from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
