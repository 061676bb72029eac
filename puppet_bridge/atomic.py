"""A file that others look for by name must never be seen half written, not even after a power cut."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(slots=True, kw_only=True)
class Draft:
    """A file that is being written; it appears at `target`, which may be changed until then."""

    out: BinaryIO
    target: Path
    replace: bool = True


@contextmanager
def appearing(target: Path) -> Iterator[Draft]:
    """Write a file aside; it is fsynced and appears at its target when the block ends well, else it is gone.

    Without `replace` a file that is there already stays as it is.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unfinished-") as aside:
        path = Path(aside) / "file"
        with path.open("xb") as out:
            draft = Draft(out=out, target=target)
            yield draft
            out.flush()
            os.fsync(out.fileno())
        _publish(path, draft)
    fsync_folder(draft.target.parent)


def write_whole(file: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file with that mode: never seen half, nor by others before the mode is set."""
    with appearing(file) as draft:
        os.fchmod(draft.out.fileno(), mode)
        draft.out.write(content)


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(path: Path, draft: Draft) -> None:
    if draft.replace:
        path.rename(draft.target)
        return
    try:
        draft.target.hardlink_to(path)
    except FileExistsError:
        return
