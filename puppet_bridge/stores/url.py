"""What a bundle's URL means, said once: a store's place, and the name of a bundle in it.

A place is parsed into what it is, so no adapter looks at a URL again. What a URL can't mean is refused,
and a user, a password or (but for S3's two) a query is: a URL travels in commands, which carry no secret.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

from broker import ids
from broker.errors import InvalidIdError
from broker.ids import Digest
from puppet_bridge.errors import StoreUrlError

SUFFIX: Final = ".tar.gz"
S3_OPTIONS: Final = ("endpoint_url", "region")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlace:
    """A directory of this machine."""

    url: str
    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsPlace:
    """A door that serves `<url>/<digest>`."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """A bucket and what the keys in it start with (empty, or ending in a slash)."""

    url: str
    bucket: str
    prefix: str
    endpoint_url: str | None
    region: str | None


Place = FilePlace | HttpsPlace | S3Place


def parse_place(url: str) -> Place:
    """Return the place of the store at `url`; raises StoreUrlError."""
    parts = _split(url)
    match parts.scheme:
        case "file":
            return _file(url, parts)
        case "https":
            return _https(url, parts)
        case "s3":
            return _s3(url, parts)
        case _:
            raise StoreUrlError(url=url, reason="not a store: give file://, https:// or s3://")


def object_name(digest: Digest) -> str:
    """Return the name of a bundle's archive in a directory or a bucket."""
    return ids.digest(digest).replace(":", "-") + SUFFIX


def named_digest(name: str) -> Digest | None:
    """Return the digest of the bundle that `object_name` names so, or None for a foreign name."""
    stem = name.removesuffix(SUFFIX)
    try:
        digest = ids.digest(stem.replace("-", ":", 1))
    except InvalidIdError:
        return None
    return digest if name == object_name(digest) else None


def bundle_url(store_url: str, digest: Digest) -> str:
    """Return the URL of a bundle in the store at `store_url`; raises StoreUrlError."""
    place = parse_place(store_url)
    name = digest if isinstance(place, HttpsPlace) else object_name(digest)
    parts = urlsplit(store_url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def split_bundle_url(url: str) -> tuple[str, Digest]:
    """Return the store's URL and the digest that a bundle's URL is made of; raises StoreUrlError."""
    parts = _split(url)
    path, _, name = parts.path.rpartition("/")
    digest = _door_digest(name) if parts.scheme == "https" else named_digest(name)
    if digest is None:
        raise StoreUrlError(url=url, reason="does not end in a bundle's name")
    return urlunsplit(parts._replace(path=path or "/")), digest


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        secret = parts.username or parts.password
    except ValueError as error:
        raise StoreUrlError(url=url, reason=str(error)) from error
    if secret is not None or parts.fragment:
        # Not shown: what stands before the @ is a secret.
        raise StoreUrlError(url=f"{parts.scheme}://…", reason="no user, password or fragment here")
    return parts


def _door_digest(name: str) -> Digest | None:
    try:
        return ids.digest(unquote(name))
    except InvalidIdError:
        return None


def _file(url: str, parts: SplitResult) -> FilePlace:
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/") or parts.query:
        raise StoreUrlError(url=url, reason="give an absolute path, such as file:///srv/bundles")
    return FilePlace(url=url, directory=Path(unquote(parts.path)))


def _https(url: str, parts: SplitResult) -> HttpsPlace:
    if not parts.hostname or parts.query:
        raise StoreUrlError(url=url, reason="give a host and no query, such as https://host:8443/bundles")
    return HttpsPlace(url=url.rstrip("/"))


def _s3(url: str, parts: SplitResult) -> S3Place:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = ", ".join(sorted(options.keys() - set(S3_OPTIONS)))
    if unknown:
        raise StoreUrlError(url=parts._replace(query="…").geturl(), reason=f"unknown options: {unknown}")
    if not parts.netloc:
        raise StoreUrlError(url=url, reason="give a bucket, such as s3://bucket/prefix")
    prefix = unquote(parts.path).strip("/")
    return S3Place(
        url=url,
        bucket=parts.netloc,
        prefix=f"{prefix}/" if prefix else "",
        endpoint_url=options.get("endpoint_url"),
        region=options.get("region"),
    )
