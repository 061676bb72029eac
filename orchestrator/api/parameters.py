"""Requests, read strictly: what a route does not know is an error that names the nearest known.

A misspelt `?rolle=etcd` that is ignored would select the whole fleet. So each route lists what it takes,
the same list makes the OpenAPI document, and nothing else gets through.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from multidict import MultiMapping

from broker import ids
from broker.errors import InvalidIdError
from broker.ids import InstanceId, Role
from orchestrator.api.problems import refusal
from orchestrator.domain.views import Selector
from orchestrator.nearest import nearest

T = TypeVar("T")

TEXT: Final[Mapping[str, Any]] = {"type": "string"}
INTEGER: Final[Mapping[str, Any]] = {"type": "integer", "minimum": 0}
INSTANT: Final[Mapping[str, Any]] = {"type": "string", "format": "date-time"}
Aware = Annotated[datetime, msgspec.Meta(tz=True)]
FLAG: Final[Mapping[str, Any]] = {"type": "string", "enum": ["0", "1"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One query parameter: `repeated` may be given several times, each with one value."""

    name: str
    summary: str
    schema: Mapping[str, Any] = field(default_factory=lambda: TEXT)
    repeated: bool = False


ROLE: Final = Parameter(name="role", summary="Only of this role; repeat for more.", repeated=True)
INSTANCE: Final = Parameter(name="instance", summary="Only this instance; repeat for more.", repeated=True)
LABEL: Final = Parameter(name="label", summary="Only with this label, as `name=value`.", repeated=True)
SELECTOR: Final = (ROLE, INSTANCE, LABEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorBody:
    """Which instances: every given condition must hold; nothing given is an error, never all of them."""

    roles: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    all: bool = False


class Query:
    """The query parameters of one request, of which every name is known."""

    def __init__(self, given: MultiMapping[str], allowed: Sequence[Parameter]) -> None:
        known = {parameter.name: parameter for parameter in allowed}
        for name in given:
            if name not in known:
                raise refusal(f"Unknown query parameter {name!r}", action=_hint(name, known))
            if not known[name].repeated and len(given.getall(name)) > 1:
                raise refusal(f"{name!r} is given more than once", action="Give it once.")
        self._given = given

    def texts(self, name: str) -> tuple[str, ...]:
        """Return every value of a parameter that may be repeated."""
        return tuple(self._given.getall(name, ()))

    def text(self, name: str) -> str | None:
        """Return the value, or None if it is not given."""
        return self._given.get(name)

    def integer(self, name: str, default: int, *, least: int = 0, most: int = 2**63 - 1) -> int:
        """Return a whole number between `least` and `most`."""
        text = self._given.get(name)
        if text is None:
            return default
        value = int(text) if text.isascii() and text.isdigit() else -1
        if not least <= value <= most:
            raise refusal(f"{name}: {text!r} is not a number from {least} to {most}", action="Correct it.")
        return value

    def instant(self, name: str) -> datetime | None:
        """Return a moment with its zone, as RFC 3339 writes it."""
        text = self._given.get(name)
        if text is None:
            return None
        try:
            return msgspec.convert(text, Aware)
        except msgspec.ValidationError as error:
            action = "Write it as 2026-01-31T12:00:00Z."
            raise refusal(f"{name}: {text!r} is not a moment: {error}", action=action) from error

    def flag(self, name: str) -> bool:
        """Return whether a parameter of 0 or 1 is 1; not given is 0."""
        text = self._given.get(name, "0")
        if text not in {"0", "1"}:
            raise refusal(f"{name}: {text!r} is neither 0 nor 1", action="Give 0 or 1.")
        return text == "1"

    def selector(self) -> Selector | None:
        """Return what `role`, `instance` and `label` select, None if none of them is given."""
        labels = dict(_label(text) for text in self.texts("label"))
        roles, instances = self.texts("role"), self.texts("instance")
        if not (labels or roles or instances):
            return None
        return Selector(roles=as_roles(roles), instances=as_instances(instances), labels=labels)


def selector_of(body: SelectorBody) -> Selector:
    """Return the selector that a body means; one that selects nothing, or all and some, is refused."""
    some = bool(body.roles or body.instances or body.labels)
    if some == body.all:
        detail = "The selector asks for all and for some" if some else "The selector is empty"
        raise refusal(
            detail,
            kind="empty-selection" if not some else "bad-request",
            action='Give roles, instances or labels, or {"all": true} for every instance.',
        )
    return Selector(
        roles=as_roles(body.roles),
        instances=as_instances(body.instances),
        labels=body.labels,
        everything=body.all,
    )


def as_roles(texts: Sequence[str]) -> tuple[Role, ...]:
    """Return roles, or refuse what can't be one."""
    try:
        return tuple(ids.role(text) for text in texts)
    except InvalidIdError as error:
        raise refusal(str(error), action="Correct the role's name.") from error


def as_instances(texts: Sequence[str]) -> tuple[InstanceId, ...]:
    """Return instances' ids, or refuse what can't be one."""
    try:
        return tuple(ids.instance_id(text) for text in texts)
    except InvalidIdError as error:
        raise refusal(str(error), action="Correct the instance's id.") from error


def body_of(content: bytes, form: type[T]) -> T:
    """Return the JSON object `content` as `form` (a dataclass); unknown keys are errors, at any depth."""
    try:
        raw = msgspec.json.decode(content)
        _refuse_unknown(raw, form, path="$")
        return msgspec.convert(raw, form)
    except msgspec.DecodeError as error:
        raise refusal(f"The body is no valid JSON for this: {error}", action="Correct the body.") from error


def _refuse_unknown(raw: object, form: Any, *, path: str) -> None:
    if not isinstance(raw, dict):
        raise refusal(f"{path}: expected an object", action="Send a JSON object.")
    known = {each.name: each.type for each in fields(form)}
    for key, value in raw.items():
        if key not in known:
            raise refusal(f"Unknown key {path}.{key}", action=_hint(key, known))
        if known[key] is SelectorBody:
            _refuse_unknown(value, SelectorBody, path=f"{path}.{key}")


def _hint(name: str, known: Mapping[str, object]) -> str:
    phrase = nearest(name, known)
    return phrase[0].upper() + phrase[1:]


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise refusal(f"label: {text!r} is not NAME=VALUE", action="Write a label as zone=a.")
    return name, value
