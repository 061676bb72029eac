"""Takes snapshots of etcd, and brings them here: what is only on the hosts is lost together with them.

Here they are in the cluster's directory, a folder for each instance, and stay when the cluster ends. One is
here whole or not at all: as the host has it, and with the checksum that etcd itself has put at its end.
"""

import asyncio
import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.errors import InfrastructureError, ReachError
from orchestrator.infrastructure.etcd_members import LACKING, Members
from orchestrator.infrastructure.etcd_snapshots import (
    FORM,
    Snapshot,
    chosen,
    described,
    listed,
    taken,
    together,
)
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.reach import Tell

LIST: Final = f"""set -e
test -x "$1/snapshot" || exit {LACKING}
found() {{
    test ! -d "$1" || find "$1" -ignore_readdir_race -maxdepth 1 -type f -name "$2" ! -name ".*" -printf "$3"
}}
found "$2/etcd" "*.db" "$3"
found "$2" "etcd-????????T??????Z" "$3"
"""
TAKE: Final = f"""set -e
test -x "$1/snapshot" || exit {LACKING}
umask 077
mkdir -p "$2/etcd"
version=$(etcd --version 2>/dev/null | sed -n "1s/.* //p")
file="$2/etcd/$(date -u +%Y%m%dT%H%M%SZ)${{version:+-v$version}}.db"
"$1/snapshot" "$file" >&2
find "$file" -printf "$3"
"""
PAGE: Final = 512
BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All snapshots that were found, newest first, and why others may be missing from them."""

    snapshots: tuple[Snapshot, ...]
    troubles: tuple[ReachError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What etcd is to be taken back to: a snapshot of a member's, or any file here."""

    title: str
    taken: datetime
    size: int
    origin: Snapshot | Path


class Snapshots:
    """The snapshots of one cluster's etcd; those that are here are below `folder`."""

    def __init__(self, members: Members, folder: Path, tell: Tell) -> None:
        self._members = members
        self._folder = folder
        self._tell = tell

    async def survey(self) -> Survey:
        """Return the snapshots of every member and those that are here; never raises for a member."""
        there: list[Snapshot] = []

        async def look(host: Host) -> None:
            there.extend(await self._listed(host))

        failed = await self._members.each(look)
        found = together(there, kept(self._folder))
        return Survey(snapshots=found, troubles=tuple(failed.values()))

    async def take(self, instance: str | None) -> Snapshot:
        """Take one now, of `instance` or else of the first member that can; ReachError if there is none."""
        hosts = self._members.hosts if instance is None else (self._members.host(instance),)
        refusals: list[ReachError] = []
        for host in hosts:
            try:
                return await self._taken(host)
            except ReachError as error:
                refusals.append(error)
                if len(hosts) > 1:
                    self._tell(str(error))
        if len(refusals) == 1:
            raise refusals[0]
        raise ReachError(what="no member could take a snapshot", why="each of them said why")

    async def fetch(self, snapshot: Snapshot) -> Path:
        """Have the snapshot here, and return where; what is here already is not brought again."""
        if snapshot.file is not None:
            return Path(snapshot.file)
        if snapshot.path is None:
            raise AssertionError("a snapshot is there, here, or both")
        file = self._folder / snapshot.instance / snapshot.name
        host = self._members.host(snapshot.instance)
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._members.ssh.fetch(host, snapshot.path, file)
            await asyncio.to_thread(check_whole, file, remove=True)
            os.utime(file, (snapshot.taken.timestamp(),) * 2)
        except OSError as error:
            raise InfrastructureError(what=f"{file} can't be written", why=error.strerror or "") from error
        self._tell(f"{snapshot.title} is here")
        return file

    async def source(self, name: str) -> Source:
        """Return which snapshot `name` means, or else which file; raises InfrastructureError.

        A snapshot's name comes before a file's; `./` before a name says that the file is meant.
        """
        survey = await self.survey()
        for trouble in survey.troubles:
            raise trouble
        known = any(name in {one.name, one.title} for one in survey.snapshots)
        if not known and (file := _file(name)):
            return file
        one = chosen(name, survey.snapshots)
        return Source(title=one.title, taken=one.taken, size=one.size, origin=one)

    async def brought(self, source: Source) -> Path:
        """Return the source as a file that is here, and whole; raises InfrastructureError."""
        file = source.origin if isinstance(source.origin, Path) else await self.fetch(source.origin)
        await asyncio.to_thread(check_whole, file)
        return file

    async def _listed(self, host: Host) -> tuple[Snapshot, ...]:
        places = self._members.places
        ran = await self._members.script(host, LIST, places.programs, places.backups, FORM)
        if ran.code:
            raise ReachError(what=f"{host.name} can't list its snapshots", why=ran.last_words())
        return listed(host.name, ran.out)

    async def _taken(self, host: Host) -> Snapshot:
        places = self._members.places
        ran = await self._members.script(host, TAKE, places.programs, places.backups, FORM)
        if ran.code:
            raise ReachError(what=f"{host.name} took no snapshot", why=ran.last_words())
        (snapshot,) = listed(host.name, ran.out)
        self._tell(f"{snapshot.title} is taken: {ran.last_words()}")
        return snapshot


def kept(folder: Path) -> tuple[Snapshot, ...]:
    """Return the snapshots that are here, in folders named after their instances."""
    files = (file for file in sorted(folder.glob("*/*")) if file.is_file() and not file.name.startswith("."))
    return tuple(_kept(file) for file in files)


def check_whole(file: Path, *, remove: bool = False) -> None:
    """Return if a file is a whole snapshot of etcd, else raise InfrastructureError, and may `remove` it."""
    try:
        whole = is_whole(file)
    except OSError as error:
        raise InfrastructureError(what=f"{file} can't be read", why=error.strerror or "") from error
    if whole:
        return
    if remove:
        file.unlink()
    raise InfrastructureError(
        what=f"{file} is no whole snapshot",
        why="the checksum at its end is not that of the rest",
        action="use another one: `tarmak cluster snapshot list`",
    )


def is_whole(file: Path) -> bool:
    """Return whether a file is what `etcdctl snapshot save` writes: a database in pages, then its SHA-256."""
    left, found = file.stat().st_size - hashlib.sha256().digest_size, hashlib.sha256()
    if left < PAGE or left % PAGE:
        return False
    with file.open("rb") as content:
        while left and (block := content.read(min(left, BLOCK))):
            found.update(block)
            left -= len(block)
        return content.read() == found.digest()


def _file(name: str) -> Source | None:
    file = Path(name)
    if not file.is_file():
        return None
    state = file.stat()
    return Source(title=name, taken=taken(file.name, state.st_mtime), size=state.st_size, origin=file)


def _kept(file: Path) -> Snapshot:
    state = file.stat()
    return described(
        instance=file.parent.name,
        name=file.name,
        size=state.st_size,
        written_s=state.st_mtime,
        file=str(file),
    )
