"""A site's Puppet code as one immutable thing with a name that proves it.

`build` packs a directory (`manifests/site.pp`, and as needed `hiera.yaml`, `data/`, `modules/` and
`tarmak.yaml`) into an archive whose digest is the same on every machine; `verify` and `unpack` believe
nothing but that digest. What is packed is decided in `tree`, its exact bytes in `ustar`, what must parse
in `check`, and how it is unpacked in `cache`.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from broker.ids import Digest
from puppet_bridge import manifest
from puppet_bridge.archive import Contents, Limits, entries, gunzip, pack
from puppet_bridge.atomic import appearing
from puppet_bridge.cache import BundleCache
from puppet_bridge.check import Warn, check
from puppet_bridge.manifest import BundleManifest
from puppet_bridge.tree import Source, leftovers, sources

__all__ = ["BundleFile", "BundleManifest", "Limits", "build", "file_name", "unpack", "verify"]

DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile:
    """An archive at `path`: `size` is that of its uncompressed tar, both sizes are in bytes."""

    path: Path
    digest: Digest
    size: int
    compressed_size: int
    files: int
    manifest: BundleManifest


def file_name(digest: Digest) -> str:
    """Return the name that a bundle's archive has in a directory or a store."""
    return f"{digest.replace(':', '-')}.tar.gz"


def build(
    src: Path,
    out: Path,
    *,
    warn: Warn = lambda _: None,
    limits: Limits = DEFAULT_LIMITS,
    puppet: str | None = "puppet",
) -> BundleFile:
    """Pack the bundle at `src` into the archive `out` (or, if that is a directory, in it by its digest).

    `warn` is told what is worth a look but no error. `puppet` is the program that checks manifests and
    templates (None: they are packed unchecked). Raises BundleError: LayoutError, ManifestError, CheckError
    or LimitError.
    """
    found = sources(src)
    for name in leftovers(found):
        warn(f"{name}: looks like an editor's leftover, and is packed")
    described = _described(found, warn)
    check(src, found, warn, puppet=puppet)
    return _written(found, described, out, limits)


def verify(archive: Path, *, digest: Digest | None = None, limits: Limits = DEFAULT_LIMITS) -> BundleFile:
    """Prove that `archive` is a bundle (and `digest`, if given), and say which; raises BundleError."""
    with tempfile.TemporaryFile() as plain:
        contents = gunzip(archive, plain, limits, digest)
        text = _entry_text(plain, limits)
    return _bundle_file(archive, contents, manifest.parse(text))


def unpack(archive: Path, cache_dir: Path, digest: Digest, limits: Limits = DEFAULT_LIMITS) -> Path:
    """Verify `archive`, unpack it as `<cache_dir>/<hex of digest>/` if it isn't there, and return that."""
    return BundleCache(cache_dir).unpack(archive, digest, limits)


def _described(found: tuple[Source, ...], warn: Warn) -> BundleManifest:
    paths = {source.name: source.path for source in found}
    if "hiera.yaml" not in paths and any(name.startswith("data/") for name in paths):
        warn("data/: nothing reads it, as there is no hiera.yaml")
    path = paths.get(manifest.FILE)
    return BundleManifest() if path is None else manifest.parse(path.read_text("utf-8", "replace"))


def _written(found: tuple[Source, ...], described: BundleManifest, out: Path, limits: Limits) -> BundleFile:
    with appearing(out / "bundle" if out.is_dir() else out) as draft:
        contents = pack(found, draft.out, limits)
        if out.is_dir():
            draft.target = out / file_name(contents.digest)
    return _bundle_file(draft.target, contents, described)


def _bundle_file(path: Path, contents: Contents, described: BundleManifest) -> BundleFile:
    return BundleFile(
        path=path,
        digest=contents.digest,
        size=contents.size,
        compressed_size=path.stat().st_size,
        files=contents.files,
        manifest=described,
    )


def _entry_text(plain: BinaryIO, limits: Limits) -> str:
    for entry, content in entries(plain, limits):
        if entry.name == manifest.FILE:
            return content.read(min(entry.size, manifest.MAX_SIZE + 1)).decode("utf-8", "replace")
    return ""
