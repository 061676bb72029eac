"""Which files of a site's directory make up its bundle, and what is refused there.

Everything is packed but `.git`, wherever it is, file or folder. Nothing else is left out silently: what
looks like an editor's leftover is packed and named in a warning. Links are followed, so that the archive
holds regular files only and the digest doesn't depend on how a checkout made them; one that leads out of
the bundle, to nothing, or back to a folder that it lies in is refused by name.
"""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from puppet_bridge.errors import LayoutError
from puppet_bridge.ustar import LEFT_OUT, name_fault

ENTRY_POINT: Final = "manifests/site.pp"
LEFTOVER: Final = re.compile(r".*~|\.#.*|#.*#|.*\.(swp|swo|orig|rej|bak)|\.DS_Store")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to pack: `name` is its name in the bundle, `path` where its content lies."""

    name: str
    path: Path
    executable: bool


def sources(root: Path) -> tuple[Source, ...]:
    """Return the files of the bundle at `root`, sorted by the bytes of their names; raises LayoutError."""
    if not root.is_dir():
        raise LayoutError(entry=str(root), reason="no directory; give the one with manifests/site.pp")
    real = root.resolve(strict=True)
    found = sorted(_Walk(real).folder(real, "", (real,)), key=lambda source: source.name.encode())
    if ENTRY_POINT not in {source.name for source in found}:
        raise LayoutError(entry=ENTRY_POINT, reason="missing; every bundle starts there")
    return tuple(found)


def leftovers(found: tuple[Source, ...]) -> tuple[str, ...]:
    """Return the names that look like an editor's or a merge's leftovers."""
    return tuple(s.name for s in found if LEFTOVER.fullmatch(s.name.rpartition("/")[2]))


@dataclass(frozen=True, slots=True)
class _Walk:
    """One walk through a bundle; `root` has no links in it."""

    root: Path

    def folder(self, folder: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[Source]:
        """Yield the files below `folder`; `above` are the real folders on the way to it."""
        for path in folder.iterdir():
            if path.name != LEFT_OUT:
                yield from self._entry(path, prefix + path.name, above)

    def _entry(self, path: Path, name: str, above: tuple[Path, ...]) -> Iterator[Source]:
        _refuse_name(name)
        real = self._followed(path, name)
        mode = real.stat().st_mode
        if stat.S_ISREG(mode):
            yield Source(name=name, path=real, executable=bool(mode & stat.S_IXUSR))
        elif not stat.S_ISDIR(mode):
            raise LayoutError(entry=name, reason="neither a file nor a folder; remove it")
        elif real in above:
            raise LayoutError(entry=name, reason="a link that leads back to a folder that it lies in")
        else:
            yield from self.folder(real, name + "/", (*above, real))

    def _followed(self, path: Path, name: str) -> Path:
        if not path.is_symlink():
            return path
        target = path.readlink()
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # Python before 3.13 raises RuntimeError for a loop
            raise LayoutError(entry=name, reason=f"a link that leads nowhere, to {target}") from error
        if not real.is_relative_to(self.root) or LEFT_OUT in real.relative_to(self.root).parts:
            raise LayoutError(entry=name, reason=f"a link that leads out of the bundle, to {target}")
        return real


def _refuse_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise LayoutError(entry=ascii(name), reason="a name that is not UTF-8; rename it") from error
    if fault := name_fault(name):
        raise LayoutError(entry=ascii(name), reason=f"{fault}; rename it")
