"""What this host's etcd member is asked and told, by the programs beside this file.

Everything goes through etcdctl with the member's own certificate, and every call has its limit of time: a
member that hangs is one that is not healthy. Which member that is, and where its files lie, is written by
Puppet (/etc/etcd/member.json).
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

SETTINGS: Final = Path("/etc/etcd/member.json")
ASK_S: Final = 5
SNAPSHOT_S: Final = 300
SUFFIX: Final = ".db"
PAGE: Final = 512
BLOCK: Final = 1 << 20


class EtcdError(Exception):
    """The member, or a program that speaks for it, did not do what it was asked to; says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the member is, and what is its: `members` are peers' URLs by name, `keep` counts snapshots."""

    name: str
    endpoint: str
    members: dict[str, str]
    token: str
    data: str
    snapshots: str
    keep: int
    ca: str
    certificate: str
    key: str

    @classmethod
    def load(cls, path: Path = SETTINGS) -> Self:
        """Read the settings; raises EtcdError if the site has not been applied to this host."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise EtcdError(f"{path} can't be read ({error}): converge this host first") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a member says of itself."""

    id: int
    version: str
    leader: int
    applied: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A member of the cluster: one that was added and never began has no name; `urls` has who served."""

    id: int
    name: str
    urls: tuple[str, ...]
    learner: bool
    peer_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a snapshot holds, by its own account; `hash` is over its content."""

    hash: int
    revision: int
    keys: int
    size: int

    def __str__(self) -> str:
        """Return it as the one line that a person reads."""
        return f"revision {self.revision}, {self.keys} keys, {self.size} bytes, hash {self.hash:08x}"


@dataclass(frozen=True, slots=True)
class Member:
    """The member of this host, or the one at `endpoint`, reached through etcdctl."""

    settings: Settings
    endpoint: str = ""

    def health(self, endpoint: str = "") -> None:
        """Return if the member at `endpoint` (this one) takes part: it reads through the quorum in time."""
        self._ask("endpoint", "health", endpoint=endpoint)

    def status(self, endpoint: str = "") -> Status:
        """Return what the member at `endpoint` (this one) says of itself."""
        said = json.loads(self._ask("endpoint", "status", "--write-out=json", endpoint=endpoint))[0]["Status"]
        return Status(
            id=said["header"]["member_id"],
            version=said["version"],
            leader=said.get("leader", 0),
            applied=said.get("raftAppliedIndex", 0),
        )

    def others(self, own: int) -> tuple[Peer, ...]:
        """Return the members besides the one with the id `own`."""
        return tuple(peer for peer in self.members() if peer.id != own)

    def members(self) -> tuple[Peer, ...]:
        """Return all members that the cluster has, or expects."""
        listed = json.loads(self._ask("member", "list", "--write-out=json"))["members"]
        return tuple(
            Peer(
                id=each["ID"],
                name=each.get("name", ""),
                urls=tuple(each.get("clientURLs", ())),
                learner=each.get("isLearner", False),
                peer_urls=tuple(each.get("peerURLs", ())),
            )
            for each in listed
        )

    def remove(self, peer: Peer) -> None:
        """Have the cluster forget a member."""
        self._ask("member", "remove", f"{peer.id:x}")

    def add(self, name: str, url: str) -> None:
        """Have the cluster expect a member that peers reach at `url`."""
        self._ask("member", "add", name, f"--peer-urls={url}")

    def move_leader(self, to: Peer) -> None:
        """Have this member, which leads, hand the leadership to `to`."""
        self._ask("move-leader", f"{to.id:x}", limit_s=3 * ASK_S)

    def save(self, path: Path) -> Snapshot:
        """Save a snapshot as `path`, which then is there whole and verified, or not at all."""
        partial = path.with_name(f".{path.name}.partial")
        try:
            self._ask("snapshot", "save", str(partial), limit_s=SNAPSHOT_S)
            snapshot = verify(partial)
            settle(partial)
            partial.rename(path)
        finally:
            for left in path.parent.glob(f"{partial.name}*"):
                left.unlink()
        settle(path.parent)
        return snapshot

    def _ask(self, *words: str, endpoint: str = "", limit_s: int = ASK_S) -> str:
        settings = self.settings
        return run(
            "etcdctl",
            f"--endpoints={endpoint or self.endpoint or settings.endpoint}",
            f"--cacert={settings.ca}",
            f"--cert={settings.certificate}",
            f"--key={settings.key}",
            f"--dial-timeout={ASK_S}s",
            f"--command-timeout={limit_s}s",
            *words,
            limit_s=limit_s + ASK_S,
        )


def verify(path: Path) -> Snapshot:
    """Return what the snapshot at `path` holds; raises EtcdError if it is none, or is damaged.

    Neither etcdctl nor etcdutl look at the checksum that ends a snapshot before they restore it.
    """
    if not is_whole(path):
        raise EtcdError(f"{path} is no whole snapshot: the checksum at its end is not that of the rest")
    said = json.loads(run(offline(), "snapshot", "status", "--write-out=json", str(path), limit_s=SNAPSHOT_S))
    return Snapshot(
        hash=said["hash"], revision=said["revision"], keys=said["totalKey"], size=said["totalSize"]
    )


def is_whole(path: Path) -> bool:
    """Return whether `path` is a database, in pages, and then its SHA-256; raises OSError."""
    size = path.stat().st_size - sha256().digest_size
    if size < PAGE or size % PAGE:
        return False
    found = sha256()
    with path.open("rb") as file:
        while size:
            block = file.read(min(size, BLOCK))
            found.update(block)
            size -= len(block)
        return file.read() == found.digest()


def offline() -> str:
    """Return the program for files of etcd: etcdutl from 3.5 on, etcdctl before."""
    return "etcdutl" if shutil.which("etcdutl") else "etcdctl"


def installed_version() -> str:
    """Return the version of etcd that a restart would run."""
    return run("etcd", "--version").partition("\n")[0].rpartition(" ")[2]


def run(*words: str, limit_s: int = ASK_S) -> str:
    """Return what a program printed; raises EtcdError with its last words if it failed."""
    # What the caller has in its environment for etcdctl is somebody else's member.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=limit_s, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise EtcdError(f"{spoken(words)} took more than {limit_s} s") from error
    except OSError as error:
        raise EtcdError(f"{words[0]} can't be run: {error.strerror}") from error
    if done.returncode:
        raise EtcdError(f"{spoken(words)}: {last_words(done.stderr or done.stdout)}")
    return done.stdout


def spoken(words: Sequence[str]) -> str:
    """Return a command as a person would name it, without its options."""
    return " ".join(word for word in words if not word.startswith("--"))


def last_words(said: str) -> str:
    """Return what a program ended with: the message alone, if it logs JSON; not the stack, if it panicked."""
    lines = said.strip().splitlines() or ["it said nothing"]
    line = next((line for line in lines if line.startswith("panic:")), lines[-1])
    try:
        log = json.loads(line)
        return f"{log['msg']}: {log['error']}" if "error" in log else str(log["msg"])
    except (ValueError, KeyError, TypeError):
        return line


def settle(path: Path) -> None:
    """Have the disk keep `path`, a file or a directory, over a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def snapshot_name(at: datetime, version: str) -> str:
    """Return the name of a snapshot, which says when it was taken and of which version."""
    return f"{at:%Y%m%dT%H%M%SZ}-v{version}{SUFFIX}"


def surplus(names: Iterable[str], keep: int) -> list[str]:
    """Return which of the snapshots `names` are older than the newest `keep`."""
    return sorted(name for name in names if name.endswith(SUFFIX) and not name.startswith("."))[:-keep]


def successor(well: Iterable[tuple[Peer, Status]]) -> Peer:
    """Return who shall lead: of the members that are `well`, at least one, the one that is furthest."""
    return max(well, key=lambda each: (each[1].applied, each[0].name))[0]


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def until(deadline: float, pause_s: float = 1.0) -> bool:
    """Return whether there is time left for another look, after a pause; `deadline` is monotonic."""
    if time.monotonic() + pause_s >= deadline:
        return False
    time.sleep(pause_s)
    return True
