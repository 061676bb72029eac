#!/usr/bin/python3
"""Makes this host's etcd member ready for a change: it can be spared, is saved, and leads no more.

    /usr/local/lib/etcd/before-change

It is what a wing of the role etcd drains with ([drain] command). It says what it did; any exit code but 0
means that the member is not ready, and nothing should be changed.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from member import (
    ASK_S,
    EtcdError,
    Member,
    Peer,
    Settings,
    Status,
    now,
    snapshot_name,
    successor,
    surplus,
    until,
)


def main() -> int:
    """Take the snapshot, give the leadership away; returns the exit code."""
    os.umask(0o077)
    try:
        member = Member(Settings.load())
        # After a read through the quorum this member's own state holds every write that was acknowledged.
        member.health()
        status = member.status()
        others = member.others(status.id)
        well = spared(member, others)
        keep_snapshot(member, status)
        give_leadership_away(member, status, well)
    except (EtcdError, OSError) as error:
        print(f"not ready for a change: {error}", file=sys.stderr)
        return 1
    return 0


def keep_snapshot(member: Member, status: Status) -> None:
    """Keep a snapshot of this member, and no more of them than the site says."""
    settings = member.settings
    folder = Path(settings.snapshots)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / snapshot_name(now(), status.version)
    say(member, f"kept {path}: {member.save(path)}")
    for name in surplus((path.name for path in folder.iterdir()), settings.keep):
        (folder / name).unlink()
        say(member, f"removed {name}, older than the newest {settings.keep}")


def give_leadership_away(member: Member, status: Status, well: Sequence[tuple[Peer, Status]]) -> None:
    """Have one of the others that are `well` lead, if this member does; raises EtcdError if none can."""
    if status.leader != status.id:
        return say(member, "does not lead")
    if not well:
        return say(member, "is the only member: there is nobody to lead instead")
    heir = successor(well)
    member.move_leader(heir)
    deadline = time.monotonic() + ASK_S
    while (leader := member.status().leader) in {status.id, 0}:
        if not until(deadline, pause_s=0.2):
            raise EtcdError(f"{member.settings.name} still leads after {heir.name} was asked to")
    names = {peer.id: peer.name for peer, _ in well}
    return say(member, f"led; {names.get(leader, f'{leader:x}')} leads now")


def spared(member: Member, others: Sequence[Peer]) -> list[tuple[Peer, Status]]:
    """Return which of the `others` vote and are well; raises EtcdError if they are no quorum alone."""
    voters = [peer for peer in others if not peer.learner]
    found = [(peer, seen) for peer in voters if (seen := look(member, peer))]
    needed = (len(voters) + 1) // 2 + 1
    if voters and len(found) < needed:
        names = ", ".join(peer.name for peer, _ in found) or "none"
        name = member.settings.name
        raise EtcdError(f"{name} can't be spared: of the others {needed} have to be well, and are: {names}")
    return found


def look(member: Member, peer: Peer) -> Status | None:
    """Return what `peer` says of itself, None if it is not well."""
    for url in peer.urls:
        try:
            member.health(url)
            return member.status(url)
        except EtcdError as error:
            say(member, f"finds {peer.name} unwell: {error}")
    return None


def say(member: Member, words: str) -> None:
    """Tell whoever called, at once, what was done."""
    print(f"{member.settings.name} {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
