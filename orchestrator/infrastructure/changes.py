"""A saved plan, read: what would happen to which instance, and which of them would lose their disks.

Terraform speaks of resources. Here whatever belongs to one instance (it is indexed by its name) becomes one
change of that instance, the gravest of its resources' changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from orchestrator.infrastructure.cluster import STATEFUL
from orchestrator.infrastructure.state import State, roles_in


class Action(StrEnum):
    """What happens to an instance, the gravest first."""

    DESTROY = "destroy"
    REPLACE = "replace"
    CREATE = "create"
    CHANGE = "change"
    START = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceChange:
    """What would happen to an instance, and why if Terraform says so."""

    instance: str
    role: str
    action: Action
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherChange:
    """What would happen to a resource that is no instance's, by Terraform's address."""

    resource: str
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """All that a plan would do."""

    instances: tuple[InstanceChange, ...] = ()
    others: tuple[OtherChange, ...] = ()
    outputs: bool = False

    @property
    def pending(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.instances or self.others or self.outputs)

    def ended(self) -> tuple[InstanceChange, ...]:
        """Return the changes by which a machine ends, for good or to be made anew."""
        grave = (Action.DESTROY, Action.REPLACE)
        return tuple(change for change in self.instances if change.action in grave)

    def losing(self) -> tuple[InstanceChange, ...]:
        """Return the changes by which an instance with state of its own would lose it."""
        return tuple(change for change in self.ended() if change.role in STATEFUL)


def unconfirmed(changes: Changes, named: Iterable[str]) -> tuple[InstanceChange, ...]:
    """Return those that would lose their state and are not among the names that were confirmed."""
    confirmed = set(named)
    return tuple(change for change in changes.losing() if change.instance not in confirmed)


ACTIONS: Final[Mapping[tuple[str, ...], Action]] = {
    ("create",): Action.CREATE,
    ("update",): Action.CHANGE,
    ("delete",): Action.DESTROY,
    ("delete", "create"): Action.REPLACE,
    ("create", "delete"): Action.REPLACE,
}
GRAVITY: Final = tuple(Action)
REASONS: Final[Mapping[str, str]] = {
    "replace_because_tainted": "its making failed half-way",
    "replace_by_request": "asked for",
}
START_REASONS: Final[Mapping[str, str]] = {
    "replace_because_tainted": "it did not start",
    "replace_by_request": "it does not run",
}


def read(plan: Mapping[str, Any], *, roles: Mapping[str, str], renewable: frozenset[str]) -> Changes:
    """Return what a plan in JSON would do.

    `roles` are those of the described instances; one that exists has the role that it was made with. What
    is named in `renewable` (TYPE.NAME) can be ended and made again without harm to its instance.
    """
    known = {**roles, **roles_in(State.of(plan.get("prior_state") or {}))}
    instances: dict[str, InstanceChange] = {}
    others = []
    for change in plan.get("resource_changes", ()):
        action = ACTIONS.get(tuple(change["change"]["actions"]))
        if action is None or change.get("mode") == "data":
            continue
        name = change.get("index")
        if not isinstance(name, str) or name not in known:
            others.append(OtherChange(resource=change["address"], action=action))
            continue
        if f"{change['type']}.{change['name']}" in renewable:
            action = Action.START
        found = InstanceChange(instance=name, role=known[name], action=action, reason=_reason(change, action))
        instances[name] = _graver(instances.get(name), found)
    return Changes(
        instances=tuple(sorted(instances.values(), key=_order)),
        others=tuple(others),
        outputs=any(tuple(each["actions"]) != ("no-op",) for each in plan.get("output_changes", {}).values()),
    )


def _graver(one: InstanceChange | None, other: InstanceChange) -> InstanceChange:
    if one is None or GRAVITY.index(other.action) < GRAVITY.index(one.action):
        return other
    return one


def _order(change: InstanceChange) -> tuple[str, int, str]:
    stem, _, number = change.instance.rpartition("-")
    return (stem, int(number), "") if number.isdecimal() else (change.instance, 0, "")


def _reason(change: Mapping[str, Any], action: Action) -> str:
    reasons = START_REASONS if action is Action.START else REASONS
    said = reasons.get(change.get("action_reason", ""), "")
    if said or action not in {Action.REPLACE, Action.CHANGE}:
        return said
    before, after = change["change"].get("before") or {}, change["change"].get("after") or {}
    if isinstance(before.get("input"), dict) and isinstance(after.get("input"), dict):
        before, after = before["input"], after["input"]
    return ", ".join(_differing(before, after))


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[str]:
    keys = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    return [f"{key}: {_short(before.get(key))} → {_short(after.get(key))}" for key in keys]


def _short(value: object) -> str:
    match value:
        case None:
            return "none"
        case {}:
            return ",".join(f"{key}={one}" for key, one in value.items()) or "none"
        case _:
            return str(value)
