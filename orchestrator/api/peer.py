"""Who is on the other end of the Unix socket, by the kernel's word, and whether they may ask.

A Unix socket needs no password: the kernel says who opened the other end (SO_PEERCRED, unix(7)). Whoever
may command the fleet is root on all of it, so besides root and the daemon's own user only members of the
groups that the configuration names are let in.
"""

import grp
import os
import pwd
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from orchestrator.operations import RefusedError

CREDENTIALS: Final = struct.Struct("3i")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A user: its number, its name as far as one is known, and the numbers of its groups."""

    uid: int
    name: str
    groups: frozenset[int]


def peer_of(request: web.Request) -> Peer:
    """Return who opened the connection that `request` came over."""
    connection: socket.socket | None = (
        None if request.transport is None else request.transport.get_extra_info("socket")
    )
    if connection is None:
        raise ConnectionResetError("the caller has gone")
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, gid = CREDENTIALS.unpack(packed)
    return _known(uid, gid)


def admit(peer: Peer, groups: Collection[str]) -> None:
    """Raise a RefusedError unless `peer` is root, the daemon's own user or in one of `groups`."""
    if peer.uid in {0, os.geteuid()} or peer.groups & _numbers(groups):
        return
    allowed = ", ".join(groups) or "none"
    raise RefusedError(
        kind="forbidden",
        status=403,
        title="You may not command this fleet",
        detail=f"{peer.name} is neither root nor in an allowed group ({allowed})",
        action="Ask for membership of such a group, or name one of yours in [api] groups.",
    )


def _known(uid: int, gid: int) -> Peer:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Peer(uid=uid, name=f"uid {uid}", groups=frozenset({gid}))
    return Peer(uid=uid, name=entry.pw_name, groups=frozenset(os.getgrouplist(entry.pw_name, gid)))


def _numbers(groups: Collection[str]) -> frozenset[int]:
    known = {entry.gr_name: entry.gr_gid for entry in grp.getgrall()}
    return frozenset(known[name] for name in groups if name in known)
