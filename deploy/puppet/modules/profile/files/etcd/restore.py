#!/usr/bin/python3
"""Makes this host's etcd member new from a snapshot, and keeps its old data aside.

    /usr/local/lib/etcd/restore SNAPSHOT [MARK]

A restore is one of the whole cluster: the same file has to be restored on every member, within a minute or
so, since each waits for the others. Members that were restored from it know each other by its hash and never
speak to one that was not. Those of an earlier restore of it have that hash too: MARK, a new word that is the
same on every member, keeps them apart. Until etcd stops nothing is touched: a snapshot that is damaged
changes nothing.
"""

import shutil
import sys
from pathlib import Path

from member import SNAPSHOT_S, EtcdError, Settings, Snapshot, now, offline, run, settle, verify

STOP_S = 120


def main(words: list[str]) -> int:
    """Restore this member; returns the exit code."""
    if len(words) not in {1, 2}:
        print("usage: restore SNAPSHOT [MARK] (the same on every member of the cluster)", file=sys.stderr)
        return 2
    try:
        restore(Settings.load(), Path(words[0]), mark="".join(words[1:]))
    except (EtcdError, OSError) as error:
        print(f"not restored: {error}", file=sys.stderr)
        return 1
    return 0


def restore(settings: Settings, path: Path, *, mark: str = "") -> None:
    """Put data made from the snapshot at `path` in the place of the member's own."""
    data = Path(settings.data)
    fresh = data.with_name(f"{data.name}.restored")
    snapshot = verify(path)
    say(settings, f"restores {path}: {snapshot}")
    try:
        make(settings, path, fresh, token=token(settings, snapshot, mark))
    except EtcdError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    run("systemctl", "stop", "etcd.service", limit_s=STOP_S)
    try:
        kept = set_aside(data)
        fresh.rename(data)
        settle(data.parent)
    finally:
        run("systemctl", "start", "etcd.service", limit_s=STOP_S)
    say(settings, f"has its data from the snapshot; {kept}")
    others = ", ".join(sorted(settings.members.keys() - {settings.name}))
    say(settings, f"waits for {others}" if others else "is the only member")


def token(settings: Settings, snapshot: Snapshot, mark: str) -> str:
    """Return what tells the members of this restore from those of any other."""
    return "-".join((settings.token, f"{snapshot.hash:08x}", *([mark] if mark else [])))


def make(settings: Settings, path: Path, fresh: Path, *, token: str) -> None:
    """Make the data of this member from the snapshot, beside the old."""
    shutil.rmtree(fresh, ignore_errors=True)
    peers = ",".join(f"{name}={url}" for name, url in sorted(settings.members.items()))
    run(
        offline(),
        "snapshot",
        "restore",
        str(path),
        f"--name={settings.name}",
        f"--data-dir={fresh}",
        f"--initial-cluster={peers}",
        f"--initial-cluster-token={token}",
        f"--initial-advertise-peer-urls={settings.members[settings.name]}",
        limit_s=SNAPSHOT_S,
    )
    for each in (fresh, *fresh.rglob("*")):
        shutil.chown(each, "etcd", "etcd")


def set_aside(data: Path) -> str:
    """Move the old data out of the way; returns where they are."""
    if not data.exists():
        return "there was none before"
    kept = data.with_name(f"{data.name}.before-{now():%Y%m%dT%H%M%SZ}")
    data.rename(kept)
    return f"what it had is kept as {kept}"


def say(settings: Settings, words: str) -> None:
    """Tell whoever called, at once, what was done."""
    print(f"{settings.name} {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
