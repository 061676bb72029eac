"""Which snapshots of etcd there are, on hosts and here, and which one a name means.

Three members save one at the same second under the same name, and an operator puts files of any name beside
them: a snapshot is known by its instance and its name, and what hosts list is parted by NUL.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from orchestrator.infrastructure.errors import InfrastructureError, ReachError
from orchestrator.nearest import nearest

FORM: Final = r"%s\0%T@\0%p\0"
"""How a host lists a snapshot, for find's -printf: its size, when it was written, and its path."""
FIELDS: Final = 3
NAME: Final = re.compile(r"(?:etcd-)?(\d{8}T\d{6}Z)(?:-v(.+?))?(?:\.db)?")
"""As they are named by cron, before changes, and by `take`: when it was taken, and of which version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot of `instance`: `path` is where it is there, `file` where it is here, None if it isn't."""

    name: str
    instance: str
    taken: datetime
    version: str | None
    size: int
    path: str | None = None
    file: str | None = None

    @property
    def title(self) -> str:
        """What it is called by, among those of all instances."""
        return f"{self.instance}/{self.name}"


def described(
    *, instance: str, name: str, size: int, written_s: float, path: str | None = None, file: str | None = None
) -> Snapshot:
    """Return a snapshot with what its name says; one that says nothing was taken when it was written."""
    found = NAME.fullmatch(name)
    return Snapshot(
        name=name,
        instance=instance,
        taken=taken(name, written_s),
        version=found[2] if found else None,
        size=size,
        path=path,
        file=file,
    )


def taken(name: str, written_s: float) -> datetime:
    """Return when a snapshot of that name was taken; `written_s` is when its file was, since the epoch."""
    found = NAME.fullmatch(name)
    if found:
        with suppress(ValueError):  # digits, and no date: somebody's own name
            return datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return datetime.fromtimestamp(written_s, UTC)


def listed(instance: str, said: str) -> tuple[Snapshot, ...]:
    """Return the snapshots that a host listed by FORM; ReachError for what is no such list."""
    *fields, rest = said.split("\0")
    try:
        if rest or len(fields) % FIELDS:
            raise ValueError(rest)  # noqa: TRY301 - as for what is in the fields
        return tuple(_listed(instance, *fields[at : at + FIELDS]) for at in range(0, len(fields), FIELDS))
    except (ValueError, OverflowError, OSError) as error:
        what = f"what {instance} says of its snapshots can't be read"
        raise ReachError(what=what, why=f"it ends with {said[-80:]!r}") from error


def together(there: Iterable[Snapshot], here: Iterable[Snapshot]) -> tuple[Snapshot, ...]:
    """Return all snapshots, newest first. What is here in another size than there is not that one."""
    found = {one.title: one for one in here}
    for one in there:
        same = found.get(one.title)
        kept = same.file if same is not None and same.size == one.size else None
        found[one.title] = replace(one, file=kept)
    by_name = sorted(found.values(), key=lambda one: (one.instance, one.name))
    return tuple(sorted(by_name, key=lambda one: one.taken, reverse=True))


def chosen(name: str, snapshots: Sequence[Snapshot]) -> Snapshot:
    """Return the snapshot that `name` or `instance/name` means; InfrastructureError unless it is one."""
    found = [one for one in snapshots if name in {one.name, one.title}]
    if len(found) == 1:
        return found[0]
    if not found:
        why = nearest(name, [known for one in snapshots for known in (one.name, one.title)])
        raise InfrastructureError(
            what=f"there is no snapshot {name}", why=why, action="see `tarmak cluster snapshot list`"
        )
    titles = ", ".join(one.title for one in found)
    raise InfrastructureError(
        what=f"{name} is the name of {len(found)} snapshots", action=f"say which: {titles}"
    )


def _listed(instance: str, size: str, written: str, path: str) -> Snapshot:
    name = path.rpartition("/")[2]
    if not name or name.startswith("."):  # it becomes the name of a file here
        raise ValueError(path)
    return described(instance=instance, name=name, size=int(size), written_s=float(written), path=path)
