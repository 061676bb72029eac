"""Hosts with programs that stand for those of the site's role etcd, each behind a real sshd of its own.

Each has a folder: its programs and backups are in there, and every command runs in it, so that both are
named by paths relative to it. `content` is what the next snapshot holds; a file named `broken`, `refuse` or
`unwell` has a program fail.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.etcd_members import Members, Places
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.reach import Ssh
from tests.integration.sshd import sshd

NAMES: Final = ("etcd-1", "etcd-2", "etcd-3")
PLACES: Final = Places(programs="programs", backups="backups")
PROGRAMS: Final = {
    "snapshot": """
test ! -e broken || { echo "no snapshot was saved: etcd is away" >&2; exit 1; }
cp content "$1"
echo "revision 7, 5 keys"
""",
    # The first two meet: whoever restores one after the other never gets there.
    "restore": """
case "$PWD" in
*-1) timeout 20 cat ../meeting ;;
*-2) timeout 20 sh -c 'echo > ../meeting' ;;
esac || exit 1
test ! -e refuse || { echo "not restored: no room" >&2; exit 1; }
cp "$1" restored
echo "$2" > mark
echo "restores $1"
""",
    "healthy": """
echo "$1" > patience
test ! -e unwell || { echo "not healthy after $1 s: alone" >&2; exit 1; }
""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdHosts:
    """The hosts, the ssh_config that knows them all, the key that opens them, and their folders by name."""

    hosts: tuple[Host, ...]
    config: Path
    identity: Path
    known: dict[str, str]
    folders: dict[str, Path]

    @property
    def members(self) -> Members:
        return Members(ssh=Ssh(self.config), hosts=self.hosts, places=PLACES)

    def hide(self, name: str) -> None:
        """Have a host not be reached any more."""
        port = next(host.port for host in self.hosts if host.name == name)
        self.config.write_text(self.config.read_text().replace(f"Port {port}\n", "Port 1\n"))

    def put(self, name: str, path: str, content: bytes) -> Path:
        """Put a file among a host's backups."""
        file = self.folders[name] / "backups" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def touch(self, name: str, file: str) -> None:
        (self.folders[name] / file).touch()

    def restored(self) -> dict[str, bytes]:
        """Return what was restored, by the name of the host."""
        found = {name: folder / "restored" for name, folder in self.folders.items()}
        return {name: file.read_bytes() for name, file in found.items() if file.exists()}


def whole(text: str) -> bytes:
    """Return what is a whole snapshot for etcd: pages, and their SHA-256."""
    pages = text.encode().ljust(1024, b".")
    return pages + hashlib.sha256(pages).digest()


@contextlib.contextmanager
def etcd_hosts(place: Path) -> Iterator[EtcdHosts]:
    """Run three of them below `place` for as long as the block lasts."""
    hosts, texts, known, folders = [], [], dict[str, str](), dict[str, Path]()
    (place / "bin").mkdir(parents=True)
    _program(place / "bin" / "etcd", "echo etcd Version: 3.4.23\necho Git SHA: x\n")
    with contextlib.ExitStack() as running:
        for name in NAMES:
            (place / "sshd" / name).mkdir(parents=True)
            folders[name] = _furnished(place / "hosts" / name)
            one = running.enter_context(
                sshd(place / "sshd" / name, name=name, cwd=folders[name], path=place / "bin")
            )
            identity = place / "sshd" / NAMES[0] / "id"
            shutil.copy(identity.with_suffix(".pub"), place / "sshd" / name / "authorized_keys")
            hosts.append(one.host)
            texts.append(one.config.read_text().replace(f"{place}/sshd/{name}/id\n", f"{identity}\n"))
            known[name] = one.known.read_text().partition(" ")[2].strip()
        os.mkfifo(place / "hosts" / "meeting")
        (place / "ssh_config").write_text("\n".join(texts))
        yield EtcdHosts(
            hosts=tuple(hosts), config=place / "ssh_config", identity=identity, known=known, folders=folders
        )


def _furnished(folder: Path) -> Path:
    (folder / "programs").mkdir(parents=True)
    for name, text in PROGRAMS.items():
        _program(folder / "programs" / name, text)
    (folder / "content").write_bytes(whole(folder.name))
    return folder


def _program(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}")
    file.chmod(0o755)
