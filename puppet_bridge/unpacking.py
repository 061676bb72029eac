"""A proven archive's files are written to disk, whole and fsynced, before anybody may see them."""

import os
from pathlib import Path
from typing import BinaryIO, Final

from puppet_bridge.archive import CHUNK, Limits, entries, gunzip
from puppet_bridge.atomic import fsync_folder
from puppet_bridge.ustar import Entry

__all__ = ["gunzip", "write_tree"]

FOLDERS: Final = ("data", "manifests", "modules")


def write_tree(plain: BinaryIO, tree: Path, limits: Limits) -> None:
    """Write what a tar holds below `tree`, which is made; raises as `entries` does."""
    for folder in FOLDERS:
        (tree / folder).mkdir(parents=True)
    for entry, content in entries(plain, limits):
        path = tree / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_file(path, entry, content)
    for folder, _, _ in os.walk(tree, topdown=False):
        Path(folder).chmod(0o755)
        fsync_folder(Path(folder))


def _write_file(path: Path, entry: Entry, content: BinaryIO) -> None:
    with path.open("xb") as out:
        left = entry.size
        while left:
            left -= out.write(content.read(min(left, CHUNK)))
        out.flush()
        os.fchmod(out.fileno(), entry.mode)
        os.utime(out.fileno(), (0, 0))
        os.fsync(out.fileno())
