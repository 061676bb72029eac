"""Has the wing's own code changed on disk? Then it starts again by itself, once nothing is under way.

Manifests never restart the wing, which would end the very run that they are part of. A change counts only
when two looks in a row see the same one: half an upgrade is no code to start.
"""

from collections.abc import Callable, Iterable
from pathlib import Path


def watch_files(files: Callable[[], Iterable[Path]]) -> Callable[[], bool]:
    """Return a function that says whether `files` differ from now, and have settled.

    `files` is asked for anew each time: the record of another version has another name.
    """
    started = _stamps(files())
    seen = started

    def changed() -> bool:
        nonlocal seen
        before, seen = seen, _stamps(files())
        return seen not in (started, frozenset()) and seen == before

    return changed


def own_files(program: Path, package: Path) -> tuple[Path, ...]:
    """Return what an upgrade of the running `program` replaces: its zipapp, or its installation's record.

    An installer writes the record (PEP 376) beside `package` last. A checkout has none there, so edits of its
    sources restart nothing.
    """
    if program.suffix == ".pyz":
        return (program,)
    return tuple(package.parent.glob("tarmak-*.dist-info/RECORD"))


def _stamps(files: Iterable[Path]) -> frozenset[tuple[str, int, int]]:
    stamps = set()
    for file in files:
        if file.exists():
            stat = file.stat()
            stamps.add((str(file), stat.st_mtime_ns, stat.st_size))
    return frozenset(stamps)
