"""Who is in the fleet: `worker=3,etcd=1` becomes worker-1 to worker-3 and etcd-1."""

from dataclasses import dataclass
from typing import Final

from broker import ids
from broker.errors import InvalidIdError
from broker.ids import InstanceId, Role
from orchestrator.dev.errors import DevError

MOST: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An instance to be, and what it is for."""

    id: InstanceId
    role: Role


def members(text: str) -> tuple[Member, ...]:
    """Return the instances that `text` asks for, each as ROLE-1 to ROLE-n; DevError if it can't be meant."""
    counts = dict(_count(part) for part in text.split(","))
    found = tuple(
        Member(id=ids.instance_id(f"{role}-{number}"), role=role)
        for role, count in counts.items()
        for number in range(1, count + 1)
    )
    if not 0 < len(found) <= MOST:
        raise DevError(what=f"{len(found)} instances are asked for", action=f"ask for 1 to {MOST}")
    return found


def _count(part: str) -> tuple[Role, int]:
    name, equals, number = part.strip().partition("=")
    if not (equals and number.isascii() and number.isdigit()):
        raise DevError(what=f"{part!r} says no number of instances", action="write it as worker=3,etcd=1")
    try:
        return ids.role(name), int(number)
    except InvalidIdError as error:
        raise DevError(what=str(error)) from error
