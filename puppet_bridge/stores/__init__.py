"""Where bundles lie: in a directory (`file://`), behind the orchestrator's door (`https://`) or in S3 (`s3://`).

    https://orchestrator.example:8443/bundles
    file:///var/lib/tarmak/orchestrator/bundles
    s3://bucket/prefix?endpoint_url=https://s3.example:9000&region=eu-1

Opening a store loads only the library of its own kind, and importing this package loads none. S3 takes its
credentials from where every AWS tool does (environment, shared files, instance profile), and the
authorities that it trusts from `AWS_CA_BUNDLE` or the system: no URL of a store ever holds a secret.
"""

from typing import assert_never

from puppet_bridge.errors import StoreUrlError
from puppet_bridge.stores.port import BundleSource, BundleStore, Progress, StoredBundle, TlsFiles
from puppet_bridge.stores.retry import RetryPolicy
from puppet_bridge.stores.url import (
    FilePlace,
    HttpsPlace,
    S3Place,
    bundle_url,
    parse_place,
    split_bundle_url,
)

__all__ = [
    "BundleSource",
    "BundleStore",
    "Progress",
    "RetryPolicy",
    "StoredBundle",
    "TlsFiles",
    "bundle_url",
    "open_source",
    "open_store",
    "split_bundle_url",
]


def open_store(url: str, *, retry: RetryPolicy | None = None) -> BundleStore:
    """Return the store at `url`, to be entered before use; raises StoreUrlError for one that only serves."""
    policy = retry or RetryPolicy()
    match parse_place(url):
        case FilePlace() as place:
            from puppet_bridge.stores.file import FileStore  # noqa: PLC0415 - only the one that is used

            return FileStore(place)
        case S3Place() as place:
            from puppet_bridge.stores.s3 import S3Store  # noqa: PLC0415 - aioboto3 costs 60 MB

            return S3Store(place, policy)
        case HttpsPlace():
            raise StoreUrlError(url=url, reason="only serves bundles; push them through the orchestrator")
        case place:
            assert_never(place)


def open_source(url: str, *, tls: TlsFiles | None = None, retry: RetryPolicy | None = None) -> BundleSource:
    """Return what bundles can be fetched from at `url`, to be entered before use; raises StoreUrlError.

    `tls` is for https only: its authority is the mesh's own, which vouches for nobody else.
    """
    place = parse_place(url)
    if not isinstance(place, HttpsPlace):
        return open_store(url, retry=retry)
    from puppet_bridge.stores.https import HttpsSource  # noqa: PLC0415 - aiohttp costs 15 MB

    return HttpsSource(place, tls, retry or RetryPolicy())
