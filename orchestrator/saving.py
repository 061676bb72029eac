"""`tarmak-orchestrator backup` and `restore`: a bastion that is lost must not take the fleet with it.

What makes a bastion is small: its authority and keys, its configuration, the journal, the bundles. A backup
holds all of it in one archive, consistent while the daemon runs. A restore puts it onto a host that is none
yet, and `init` then renews the certificates: wings find the same authority behind the same address, and go
on. What the bastion's own wing has is left out, since a wing belongs to one host and joins anew.
"""

import argparse
import io
import json
import os
import pwd
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final

from orchestrator.config import DEFAULT_PATH, ConfigError, OrchestratorConfig, load
from orchestrator.errors import ExplainedError
from orchestrator.founding import ETC
from puppet_bridge.atomic import appearing, write_whole

HEADER: Final = "tarmak-backup.json"
VERSION: Final = 1
STATE: Final = "var/lib/tarmak"
WINGS: Final = ("wing.", "join.toml", "hooks", "signing.key")
"""Of `/etc/tarmak`, what is the wing's of that host."""


class SavingError(ExplainedError):
    """A bastion can't be backed up, or not be restored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A file to keep: where it is read from, and which one it is on a bastion."""

    source: Path
    path: Path


def backup(file: Path, out: Path, *, root: Path = Path("/")) -> Iterator[str]:
    """Write the backup of the bastion whose configuration is `file`; yields what is in it, by lines."""
    config = load(file)
    with tempfile.TemporaryDirectory(prefix="tarmak-backup-") as scratch, appearing(out) as draft:
        os.fchmod(draft.out.fileno(), 0o600)
        entries = list(_entries(config, root, Path(scratch)))
        with tarfile.open(fileobj=draft.out, mode="w:gz") as archive:
            _add_header(archive, config)
            for entry in entries:
                archive.add(entry.source, str(entry.path.relative_to(root)), recursive=False)
    yield f"{out}: the bastion of {config.cluster}, {len(entries)} files, {out.stat().st_size} bytes"
    if config.journal.url:
        yield "its journal is in another database, and not in here: back that up as a database"


def restore(archive: Path, *, root: Path = Path("/")) -> Iterator[str]:
    """Put a backup onto a host that is no bastion yet; yields what was done, by lines. Raises SavingError."""
    config = root / ETC.relative_to("/") / DEFAULT_PATH.name
    if config.exists():
        raise SavingError(
            what=f"{config} is there: this host is a bastion already",
            action="stop it and move /etc/tarmak and /var/lib/tarmak away first, if that is meant",
        )
    try:
        with tarfile.open(archive, mode="r:gz") as opened:
            header = _header(opened, archive)
            members = [member for member in opened.getmembers() if member.name != HEADER]
            _check(members, archive)
            # What says that this is a bastion comes last, so that half a restore is none.
            for member in sorted(members, key=lambda one: one.name == str(DEFAULT_PATH.relative_to("/"))):
                _put(opened, member, root)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SavingError(what=f"{archive} can't be restored", why=str(error)) from error
    yield f"restored the bastion of {header['cluster']} as it was at {header['made']}: {len(members)} files"


def _entries(config: OrchestratorConfig, root: Path, scratch: Path) -> Iterator[_Entry]:
    """Yield the files of a bastion: the journal as a copy that is one state of it."""
    etc = root / ETC.relative_to("/")
    folders = [etc, config.state_dir / "bundles"]
    folders += [config.authority.directory] if config.authority else []
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder).parts[0]
            if file.is_file() and not (folder == etc and name.startswith(WINGS)):
                yield _Entry(source=file, path=file)
    journal = config.state_dir / "journal.sqlite"
    if not config.journal.url and journal.exists():
        copy = scratch / journal.name
        with closing(sqlite3.connect(journal)) as kept, closing(sqlite3.connect(copy)) as copied:
            kept.backup(copied)
        shutil.copystat(journal, copy)
        os.chown(copy, journal.stat().st_uid, journal.stat().st_gid)
        yield _Entry(source=copy, path=journal)


def _add_header(archive: tarfile.TarFile, config: OrchestratorConfig) -> None:
    made = datetime.now(UTC).isoformat(timespec="seconds")
    header = {"version": VERSION, "cluster": config.cluster, "orchestrator": config.name, "made": made}
    text = json.dumps(header).encode()
    member = tarfile.TarInfo(HEADER)
    member.size = len(text)
    archive.addfile(member, io.BytesIO(text))


def _header(archive: tarfile.TarFile, file: Path) -> dict[str, str]:
    first = archive.next()
    content = None if first is None or first.name != HEADER else archive.extractfile(first)
    if content is None:
        action = "give a file that `tarmak-orchestrator backup` wrote"
        raise SavingError(what=f"{file} is no backup of a bastion", action=action)
    header = json.load(content)
    if header["version"] != VERSION:
        action = "restore it with that one"
        raise SavingError(what=f"{file} was written by a later Tarmak", action=action)
    return {"cluster": str(header["cluster"]), "made": str(header["made"])}


def _check(members: list[tarfile.TarInfo], file: Path) -> None:
    """Refuse what no backup holds, and owners that this host lacks, before anything is done."""
    for member in members:
        parts = PurePosixPath(member.name).parts
        if not member.isreg() or ".." in parts or parts[:1] not in {("etc",), ("var",)}:
            raise SavingError(what=f"{file} holds {member.name!r}, which no backup does")
        _owner(member.uname)


def _put(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    content = archive.extractfile(member)
    if content is None:
        raise AssertionError("only files were let through")
    target, user = root / member.name, _owner(member.uname)
    for folder in reversed(target.parents):
        if not folder.exists():
            folder.mkdir(mode=0o755)
            if folder.is_relative_to(root / STATE) and folder != root / STATE:
                folder.chmod(0o700)
                os.chown(folder, user.pw_uid, user.pw_gid)
    write_whole(target, content.read(), mode=member.mode & 0o777)
    os.chown(target, user.pw_uid, user.pw_gid)


def _owner(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        action = "install Mosquitto and tarmak.sysusers first, as docs/operations/install.md says"
        raise SavingError(what=f"there is no user {name} on this host", action=action) from None


# The commands ---------------------------------------------------------------------------------------------


def describe_saving(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `backup` and `restore` to the daemon's commands."""
    words = commands.add_parser("backup", help="write all that makes this host a bastion into one archive")
    words.add_argument("--out", type=Path, required=True, metavar="FILE", help="the archive (.tar.gz)")
    words = commands.add_parser("restore", help="make this host the bastion that a backup is of")
    words.add_argument("archive", type=Path, metavar="FILE", help="what `backup` wrote")


def save(asked: argparse.Namespace) -> int:
    """Back up or restore as `asked`; returns the exit code."""
    lines = backup(asked.config, asked.out) if asked.command == "backup" else restore(asked.archive)
    try:
        for line in lines:
            sys.stdout.write(f"{line}\n")
    except (SavingError, ConfigError, OSError, sqlite3.Error) as error:
        sys.stderr.write(f"tarmak-orchestrator: {error}\n")
        return 1
    return 0
