"""Whether two instances would change alike, and whether a run is the one that an operator approved.

Two workers change the same file in the same way, and yet the texts differ: by each one's root directory,
its own id, a temporary file's name, a checksum. Normalised, they are the same change; hashed, a change can
be approved and checked again later on the host. Pure.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import msgspec

from broker.ids import InstanceId
from puppet_bridge.report import Change

ROOT: Final = "${root}"
INSTANCE: Final = "${instance}"
CHECKSUM: Final = re.compile(r"\{(md5|sha1|sha224|sha256|sha384|sha512)(lite)?\}[0-9a-f]+")
TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?( ?(Z|UTC|[+-]\d{2}:?\d{2}))?")
TIME_PROPERTIES: Final = frozenset({"mtime", "ctime"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is one instance's own: its id, and the directory that it manages (`/` on a real host)."""

    instance: InstanceId
    root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Instances that would change alike, and how."""

    instances: tuple[InstanceId, ...]
    changes: tuple[Change, ...]


def normalise(change: Change, scope: Scope) -> Change:
    """Return `change` as it reads on every instance that changes alike.

    Where the manifest stands (file and line) is kept for readers; `diff_hash` leaves it out.
    """
    return replace(
        change,
        resource=_common(change.resource, scope),
        before=_value(change.property, change.before, scope),
        after=_value(change.property, change.after, scope),
        diff=None if change.diff is None else _diff(change.diff, scope),
        path=_common(change.path, scope),
    )


def diff_hash(changes: Iterable[Change], scope: Scope) -> str:
    """Return the SHA-256, in hexadecimal, over the normalised changes whatever their order."""
    return hashlib.sha256(b"".join(sorted(keys(changes, scope)))).hexdigest()


def keys(changes: Iterable[Change], scope: Scope) -> frozenset[bytes]:
    """Return the hash of each normalised change by itself: what one set holds of another."""
    return frozenset(_key(normalise(change, scope)) for change in changes)


def grouped(fleet: Mapping[Scope, Iterable[Change]]) -> tuple[Group, ...]:
    """Return the instances by their changes: largest group first, then by the first instance's id."""
    found: dict[frozenset[bytes], tuple[list[InstanceId], tuple[Change, ...]]] = {}
    for scope in sorted(fleet, key=lambda scope: scope.instance):
        changes = tuple(normalise(change, scope) for change in fleet[scope])
        members, _ = found.setdefault(frozenset(map(_key, changes)), ([], changes))
        members.append(scope.instance)
    groups = (Group(instances=tuple(members), changes=changes) for members, changes in found.values())
    return tuple(sorted(groups, key=lambda group: (-len(group.instances), group.instances)))


def _key(change: Change) -> bytes:
    said = (change.resource, change.property, change.before, change.after, change.diff)
    return hashlib.sha256(msgspec.json.encode(said)).digest()


def _value(name: str | None, text: str | None, scope: Scope) -> str | None:
    if text is None:
        return None
    if name in TIME_PROPERTIES:
        return ""
    return TIME.sub("", CHECKSUM.sub("", _common(text, scope)))


def _diff(text: str, scope: Scope) -> str:
    """Return the hunks only: the lines that name the two files hold a temporary name and times."""
    lines = text.split("\n")
    start = next((index for index, line in enumerate(lines) if line.startswith("@@")), 0)
    kept = [*(line for line in lines[:start] if not line.startswith(("---", "+++"))), *lines[start:]]
    return TIME.sub("", CHECKSUM.sub("", _common("\n".join(kept), scope)))


def _common(text: str, scope: Scope) -> str:
    root, instance = _patterns(scope)
    rooted = text if root is None else root.sub(lambda found: ROOT + (found[1] or ""), text)
    return instance.sub(INSTANCE, rooted)


@lru_cache(maxsize=64)
def _patterns(scope: Scope) -> tuple[re.Pattern[str] | None, re.Pattern[str]]:
    """Return what finds the root (none if it is `/`: nothing is below it more than elsewhere) and the id.

    An id is a whole word when no letter, digit, underscore or dash touches it: `worker-1` is not in
    `worker-10` nor in `my-worker-1`.
    """
    root = scope.root.rstrip("/")
    instance = re.compile(rf"(?<![A-Za-z0-9_-]){re.escape(scope.instance)}(?![A-Za-z0-9_-])")
    return (re.compile(rf"{re.escape(root)}(/|(?![A-Za-z0-9._-]))") if root else None), instance
