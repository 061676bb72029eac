"""A bundle's digest must be the same on every machine, and an archive must hold nothing that surprises.

Both follow from one strict form. A bundle's tar is POSIX ustar with regular files only, sorted by the
bytes of their names, owner and time 0, mode 644 or 755, ended by two zero blocks. Directories are no
entries, since git keeps no empty one: they follow from the names. The same function that writes a header
decides whether one that was read is canonical: whatever is accepted is exactly what a build would have
written. Pure: headers are values, nothing here reads a file.
"""

import tarfile
from dataclasses import dataclass
from typing import Final

from puppet_bridge.errors import RefusedError

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
LEFT_OUT: Final = ".git"
PLAIN: Final = 0o644
EXECUTABLE: Final = 0o755
SPECIAL_BITS: Final = 0o7000
EXTENDED: Final = frozenset((b"x", b"g", b"X", b"L", b"K", b"S"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a bundle: `name` is relative with `/` between its parts, `size` is in bytes."""

    name: str
    size: int
    executable: bool

    @property
    def mode(self) -> int:
        """The permission bits in the archive."""
        return EXECUTABLE if self.executable else PLAIN


def header(entry: Entry) -> bytes:
    """Return the entry's canonical header block; raises ValueError for a name that ustar can't hold."""
    member = tarfile.TarInfo(entry.name)
    member.size = entry.size
    member.mode = entry.mode
    return member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")


def padding(size: int) -> int:
    """Return how many zero bytes follow a content of `size` bytes, so that it ends with a block."""
    return -size % BLOCK


def name_fault(name: str) -> str | None:
    """Say what is wrong with an entry's name, or return None for a good one."""
    parts = name.split("/")
    if name.startswith("/"):
        return "an absolute path"
    if ".." in parts:
        return "a path that leads out of the bundle"
    if "" in parts or "." in parts:
        return "a path that is not in its shortest form"
    if not name.isprintable():
        return "a name with a character that can't be printed"
    if LEFT_OUT in parts:
        return f"{LEFT_OUT} is never part of a bundle"
    return None


class EntryReader:
    """Reads header after header and refuses what no build would have written, naming the entry."""

    def __init__(self) -> None:
        self._last = b""
        self._files: set[str] = set()

    def read(self, block: bytes) -> Entry:
        """Return the entry that a header block describes; raises RefusedError."""
        member = _parse(block)
        _refuse_kind(member)
        entry = Entry(name=member.name, size=member.size, executable=member.mode == EXECUTABLE)
        self._refuse_place(entry)
        if _canonical(entry) != block:
            raise RefusedError(entry=entry.name, reason="its header is not canonical (owner, time or form)")
        return entry

    def _refuse_place(self, entry: Entry) -> None:
        name = entry.name.encode()
        if name == self._last:
            raise RefusedError(entry=entry.name, reason="a duplicate")
        if name < self._last:
            raise RefusedError(entry=entry.name, reason="out of order")
        parts = entry.name.split("/")
        for count in range(1, len(parts)):
            if "/".join(parts[:count]) in self._files:
                raise RefusedError(entry=entry.name, reason="lies in a folder that is also a file")
        self._last = name
        self._files.add(entry.name)


def _parse(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        name = block[:100].rstrip(b"\0").decode("utf-8", "backslashreplace")
        raise RefusedError(entry=name, reason=f"its header can't be read: {error}") from error


def _canonical(entry: Entry) -> bytes:
    try:
        return header(entry)
    except ValueError as error:
        raise RefusedError(entry=entry.name, reason=str(error)) from error


def _refuse_kind(member: tarfile.TarInfo) -> None:
    if fault := name_fault(member.name):
        raise RefusedError(entry=member.name, reason=fault)
    if fault := _kind_fault(member):
        raise RefusedError(entry=member.name, reason=fault)
    if special := member.mode & SPECIAL_BITS:
        raise RefusedError(entry=member.name, reason=f"set-user, set-group or sticky bits ({special:04o})")
    if member.mode not in {PLAIN, EXECUTABLE}:
        raise RefusedError(entry=member.name, reason=f"mode {member.mode:04o} is neither 0644 nor 0755")
    if member.size < 0:
        raise RefusedError(entry=member.name, reason="a negative size")


def _kind_fault(member: tarfile.TarInfo) -> str | None:
    if member.issym() or member.islnk():
        return _link_fault(member)
    if member.isdev():
        return "a pipe" if member.isfifo() else "a device"
    if member.isdir():
        return "a directory entry; a bundle's folders follow from its files"
    if member.type in EXTENDED:
        return "an extended header, which could hide another name"
    if not member.isreg():
        return f"an entry of unknown type {member.type!r}"
    return None


def _link_fault(member: tarfile.TarInfo) -> str:
    depth = member.name.count("/") if member.issym() else 0
    for part in member.linkname.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0 or member.linkname.startswith("/"):
            return f"a link that leads out of the bundle, to {member.linkname!r}"
    return f"a link, to {member.linkname!r}; a bundle holds regular files only"
