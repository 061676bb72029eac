#!/usr/bin/python3
"""Becomes this host's etcd, as who it is in its cluster: systemd starts it instead of etcd itself.

    /usr/local/lib/etcd/start

A member that has its data is who it was. One without is new with the others; or its machine was made anew,
and then the others still wait for the one that it was, which it can't be any more. So if they are a cluster
that has seen it serve, it has them forget that member and expect a new one, as which it starts.
"""

import os
import sys
from pathlib import Path

from member import EtcdError, Member, Peer, Settings

ETCD = "/usr/bin/etcd"
STATE = "ETCD_INITIAL_CLUSTER_STATE"


def main() -> None:
    """Become etcd, or end with the reason why not."""
    try:
        settings = Settings.load()
        if not (Path(settings.data) / "member").exists() and rejoins(settings):
            os.environ[STATE] = "existing"
    except EtcdError as error:
        sys.exit(f"not started: {error}")
    os.execv(ETCD, [ETCD])  # noqa: S606 - no shell is between systemd and etcd


def rejoins(settings: Settings) -> bool:
    """Return whether this member, which has no data, belongs to a cluster that exists without it.

    The others are asked one after the other; if none of them takes part in a cluster, this is a first start.
    """
    for name, url in sorted(settings.members.items()):
        if name == settings.name:
            continue
        there = Member(settings, endpoint=client_url(url))
        try:
            there.health()
            listed = there.members()
        except EtcdError:
            continue
        return expected(there, settings, listed)
    return False


def expected(there: Member, settings: Settings, listed: tuple[Peer, ...]) -> bool:
    """Have the cluster expect this member as a new one, if it knows it as one that had data; say whether."""
    url = settings.members[settings.name]
    own = next((each for each in listed if each.name == settings.name or url in each.peer_urls), None)
    if own is None:
        say(settings, "is added to the cluster")
        there.add(settings.name, url)
    elif own.urls:  # it has served: what it had is lost
        say(settings, f"has lost its data: the member {own.id:x} is removed, and it is added anew")
        there.remove(own)
        there.add(settings.name, url)
    elif own.name:  # named, and never served: it makes the cluster with the others
        return False
    return True


def client_url(peer: str) -> str:
    """Return where clients reach the member that peers reach at `peer`."""
    return f"{peer.rpartition(':')[0]}:2379"


def say(settings: Settings, what: str) -> None:
    """Say something to whoever reads the journal."""
    print(f"{settings.name} {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
