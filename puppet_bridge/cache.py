"""An unpacked bundle must be whole or not be there, whoever unpacks it, and whatever dies meanwhile.

A bundle lies in `<cache>/<64 hexadecimal digits>/`. It is unpacked beside its place, fsynced and renamed
there, under a lock that serialises unpackers and pruners of all processes. Beside it `<hex>.json`, written
first, says what it holds; every file has the modification time 0. So damage (a file that is missing,
added, changed in size or simply written to) shows by a walk without reading any content, and a damaged
bundle is unpacked again. Whoever uses one holds it: a shared lock on its marker, which ends with the
process, keeps the pruner away.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from broker import ids
from broker.ids import Digest
from puppet_bridge.atomic import fsync_folder

if TYPE_CHECKING:
    from puppet_bridge.archive import Limits

UNFINISHED: Final = ".unfinished-"


class BundleCache:
    """The unpacked bundles of one directory, by digest; safe to use from several processes at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def place(self, digest: Digest) -> Path:
        """Return where the bundle lies, or would lie."""
        return self._directory / ids.digest(digest).removeprefix("sha256:")

    def find(self, digest: Digest) -> Path | None:
        """Return the unpacked bundle's directory if it is there and whole; it then counts as newly used."""
        place, marker = self.place(digest), self._marker(digest)
        try:
            expected = json.loads(marker.read_bytes())
            if (expected["digest"], expected["listing"]) != (digest, _listing(place)):
                return None
            os.utime(marker)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return place

    def unpack(self, archive: Path, digest: Digest, limits: "Limits") -> Path:
        """Verify `archive` against `digest`, unpack it if it isn't there yet, and return its directory.

        Raises BundleError before anything has appeared.
        """
        ids.digest(digest)
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if found := self.find(digest):
                return found
            self._sweep()
            return self._unpack(archive, digest, limits)

    @contextmanager
    def hold(self, digest: Digest) -> Iterator[Path | None]:
        """Keep the bundle from being pruned in this block; yields its directory, or None if there is none."""
        try:
            marker = self._marker(digest).open("rb")
        except FileNotFoundError:
            yield None
            return
        with marker:
            fcntl.flock(marker, fcntl.LOCK_SH)
            yield self.find(digest)

    def prune(self, keep: int, in_use: Collection[Digest] = ()) -> tuple[Digest, ...]:
        """Remove all but the `keep` most recently used, and return those; never one held or `in_use`."""
        if not self._directory.is_dir():
            return ()
        with self._locked():
            self._sweep()
            markers = sorted(self._directory.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            doomed = [Digest(f"sha256:{path.stem}") for path in markers[: max(len(markers) - keep, 0)]]
            return tuple(digest for digest in doomed if digest not in in_use and self._remove(digest))

    @contextmanager
    def aside(self) -> Iterator[Path]:
        """Give a directory on the cache's disk for what is on its way in; it is gone afterwards."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._locked():
            own = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self._directory))
            held = os.open(own, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield own
        finally:
            shutil.rmtree(own)
            os.close(held)

    def _marker(self, digest: Digest) -> Path:
        return self.place(digest).with_suffix(".json")

    def _remove(self, digest: Digest) -> bool:
        with self._marker(digest).open("rb") as marker:
            try:
                fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._retire(digest)
            self._marker(digest).unlink()
        return True

    def _retire(self, digest: Digest) -> None:
        # Renamed first, so that a half removed bundle never stands at a bundle's place.
        if self.place(digest).exists():
            grave = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self._directory))
            self.place(digest).rename(grave / "bundle")
            shutil.rmtree(grave)

    def _unpack(self, archive: Path, digest: Digest, limits: "Limits") -> Path:
        from puppet_bridge import unpacking  # noqa: PLC0415 - no resident wing unpacks

        with tempfile.TemporaryFile(dir=self._directory) as plain:
            unpacking.gunzip(archive, plain, limits, digest)
            own = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self._directory))
            unpacking.write_tree(plain, own / "bundle", limits)
        self._write_marker(digest, own / "bundle")
        self._retire(digest)
        (own / "bundle").rename(self.place(digest))
        own.rmdir()
        fsync_folder(self._directory)
        return self.place(digest)

    def _write_marker(self, digest: Digest, tree: Path) -> None:
        declared = declared_host_modules(tree)
        text = json.dumps({"digest": digest, "listing": _listing(tree), "host_modules": declared})
        # In place where it exists: a reader that holds it must go on holding the same file.
        with self._marker(digest).open("w") as marker:
            marker.write(text)
            marker.flush()
            os.fsync(marker.fileno())

    def _sweep(self) -> None:
        for left in self._directory.glob(f"{UNFINISHED}*"):
            held = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
            except BlockingIOError:
                continue  # someone is still at it
            finally:
                os.close(held)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._directory / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def declared_host_modules(bundle: Path) -> tuple[str, ...]:
    """Return the modules that an unpacked bundle wants of its host; raises ManifestError.

    What is in a cache says so in its marker, so that a resident wing never loads a YAML parser for it.
    """
    try:
        return tuple(json.loads(bundle.with_suffix(".json").read_bytes())["host_modules"])
    except (FileNotFoundError, KeyError):
        from puppet_bridge import manifest  # noqa: PLC0415 - it brings the YAML parser

        file = bundle / manifest.FILE
        return manifest.parse(file.read_text()).host_modules if file.exists() else ()


def _listing(tree: Path) -> str:
    """Return a hash over what a tree's files look like from outside: name, size, mode and time."""
    lines = []
    for folder, _, names in os.walk(tree, onerror=_raise):
        for name in names:
            path = Path(folder, name)
            seen = path.lstat()
            lines.append(f"{path.relative_to(tree)}\0{seen.st_size}\0{seen.st_mode:o}\0{seen.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _raise(error: OSError) -> None:
    raise error
