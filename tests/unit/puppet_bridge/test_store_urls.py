"""Stores' and bundles' URLs: what they mean, that they fit together, and that none carries a secret."""

from pathlib import Path

import pytest

from broker.ids import Digest
from puppet_bridge.errors import StoreUrlError
from puppet_bridge.stores.url import (
    FilePlace,
    HttpsPlace,
    S3Place,
    bundle_url,
    named_digest,
    parse_place,
    split_bundle_url,
)

HEX = "0123456789abcdef" * 4
DIGEST = Digest(f"sha256:{HEX}")
S3 = "s3://bucket/a/prefix?endpoint_url=https://s3.example:9000&region=eu-1"


def test_a_directory() -> None:
    """file:// names an absolute path, with what is escaped in it."""
    assert parse_place("file:///srv/my%20bundles") == FilePlace(
        url="file:///srv/my%20bundles", directory=Path("/srv/my bundles")
    )


def test_a_door() -> None:
    """https:// is taken as it is, but for a slash at its end."""
    assert parse_place("https://host:8443/bundles/") == HttpsPlace(url="https://host:8443/bundles")


def test_a_bucket() -> None:
    """s3:// names bucket and prefix; for a server of one's own also where it is."""
    assert parse_place(S3) == S3Place(
        url=S3, bucket="bucket", prefix="a/prefix/", endpoint_url="https://s3.example:9000", region="eu-1"
    )
    assert parse_place("s3://bucket") == S3Place(
        url="s3://bucket", bucket="bucket", prefix="", endpoint_url=None, region=None
    )


@pytest.mark.parametrize(
    ("store", "bundle"),
    [
        ("file:///srv/bundles", f"file:///srv/bundles/sha256-{HEX}.tar.gz"),
        ("https://host:8443/bundles", f"https://host:8443/bundles/sha256:{HEX}"),
        ("s3://bucket", f"s3://bucket/sha256-{HEX}.tar.gz"),
        (S3, S3.replace("prefix?", f"prefix/sha256-{HEX}.tar.gz?")),
    ],
)
def test_a_bundle_in_a_store(store: str, bundle: str) -> None:
    """A store's URL and a digest make the bundle's URL, and that gives both back."""
    assert bundle_url(store, DIGEST) == bundle
    place, digest = split_bundle_url(bundle)
    assert digest == DIGEST
    assert bundle_url(place, digest) == bundle


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("/srv/bundles", "not a store"),
        ("http://host/bundles", "not a store"),
        ("file://host/srv", "absolute path"),
        ("file:relative", "absolute path"),
        ("https:///bundles", "give a host"),
        ("https://host/b?X-Amz-Signature=secret", "no query"),
        ("s3:///prefix", "give a bucket"),
        ("s3://b?endpoint=x", "unknown options: endpoint"),
        ("https://[::1/bundles", "Invalid"),
    ],
)
def test_what_is_no_place_is_refused(url: str, reason: str) -> None:
    """A URL that means no store is an error that says why."""
    with pytest.raises(StoreUrlError, match=reason):
        parse_place(url)


@pytest.mark.parametrize(
    "url", ["https://user:hunter2@host/b", "s3://key:hunter2@bucket/p", "s3://b?aws_secret=hunter2"]
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    """A URL with a user, a password or an option that is none is refused, and the error doesn't show it."""
    with pytest.raises(StoreUrlError) as caught:
        parse_place(url)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in caught.value.url


@pytest.mark.parametrize(
    "url", ["file:///srv/x.tar.gz", "https://host/bundles/latest", "s3://b/sha256-00.tar.gz", "nonsense"]
)
def test_what_names_no_bundle_is_refused(url: str) -> None:
    """Only a digest names a bundle."""
    with pytest.raises(StoreUrlError):
        split_bundle_url(url)


def test_foreign_names_are_told_apart() -> None:
    """A name that no bundle has gives no digest, even one that almost does."""
    assert named_digest(f"sha256-{HEX}.tar.gz") == DIGEST
    for foreign in (
        f"sha256:{HEX}.tar.gz",
        f"sha256-{HEX}",
        f"sha256-{HEX.upper()}.tar.gz",
        ".unfinished",
        "",
    ):
        assert named_digest(foreign) is None
