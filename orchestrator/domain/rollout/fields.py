"""What a person wrote, field by field: each read as what it has to be, each error with the field's path.

The text is YAML or JSON that was decoded already, so a value may be of any type; nothing is guessed. An
unknown key is an error that names the nearest known one, since a misspelt `max_unavailble: 1` that is
ignored would be an outage.
"""

from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Final, TypeVar

from broker import ids
from broker.ids import Role
from orchestrator.domain.rollout.strategy import Amount, StrategyError, amount
from orchestrator.durations import LONGEST_S, seconds_of, written
from orchestrator.nearest import nearest

E = TypeVar("E", bound=Enum)

MOST: Final = 1_000_000
SHOWN: Final = 60


class Fields:
    """The fields of one mapping at `path` (empty: the whole document's), of which every key is known."""

    def __init__(self, raw: object, path: str, known: Collection[str]) -> None:
        self.path = path
        self._raw = mapping(raw, path or "strategy")
        for key in self._raw:
            if key not in known:
                raise StrategyError(field=self.at(str(key)), reason=f"unknown; {nearest(str(key), known)}")

    def at(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def __getitem__(self, name: str) -> object:
        return self._raw[name]

    def inner(self, name: str, known: Collection[str]) -> "Fields":
        """Return the fields of a mapping within this one; one that is not there has none."""
        return Fields(self._raw.get(name, {}), self.at(name), known)

    def seconds(self, name: str, default: int, *, least: int = 0, most: int = LONGEST_S) -> int:
        """Return a length of time in seconds."""
        if name not in self:
            return default
        raw = self[name]
        plain = str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw
        found = seconds_of(plain.strip()) if isinstance(plain, str) else None
        if found is None:
            raise self.wrong(name, "no length of time; write it as 90, 90s, 10m or 1h")
        if not least <= found <= most:
            raise self.wrong(name, f"not from {written(least)} to {written(most)}")
        return found

    def whole(self, name: str, default: int, *, least: int = 0, most: int = MOST) -> int:
        """Return a whole number."""
        if name not in self:
            return default
        raw = self[name]
        if not isinstance(raw, int) or isinstance(raw, bool) or not least <= raw <= most:
            raise self.wrong(name, f"no whole number from {least} to {most}")
        return raw

    def flag(self, name: str, *, default: bool) -> bool:
        """Return yes or no."""
        if name not in self:
            return default
        raw = self[name]
        if not isinstance(raw, bool):
            raise self.wrong(name, "neither true nor false")
        return raw

    def text(self, name: str, default: str | None) -> str | None:
        """Return some text."""
        if name not in self:
            return default
        raw = self[name]
        if not isinstance(raw, str) or not raw:
            raise self.wrong(name, "no text")
        return raw

    def texts(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return a list of texts."""
        if name not in self:
            return default
        for path, raw in self.each(name):
            if not isinstance(raw, str):
                raise StrategyError(field=path, reason=f"{shown(raw)} is no text; write it in quotes")
        return tuple(str(raw) for _, raw in self.each(name))

    def amount(self, name: str, default: Amount) -> Amount:
        """Return a count, or a percentage."""
        if name not in self:
            return default
        raw = self[name]
        if not isinstance(raw, str | int) or isinstance(raw, bool):
            raise self.wrong(name, "neither a count from 1, such as 2, nor such as 30%")
        return amount(raw, name=self.at(name))

    def one_of(self, name: str, kind: type[E]) -> E:
        """Return what the word means; the field has to be there."""
        raw = self[name]
        words = [str(each.value) for each in kind]
        if not isinstance(raw, str) or raw not in words:
            raise self.wrong(name, f"none of {', '.join(words)}")
        return kind(raw)

    def each(self, name: str) -> Iterator[tuple[str, object]]:
        """Yield a list's items, each with its own path; a field that is not there is an empty list."""
        raw = self._raw.get(name, ())
        if not isinstance(raw, list | tuple):
            raise self.wrong(name, "no list")
        for place, item in enumerate(raw):
            yield f"{self.at(name)}[{place}]", item

    def wrong(self, name: str, what: str) -> StrategyError:
        """Return the error for a field whose value is `what`."""
        return StrategyError(field=self.at(name), reason=f"{shown(self[name])} is {what}")


def mapping(raw: object, path: str) -> Mapping[object, object]:
    """Return `raw` if it is a mapping of fields; StrategyError if not."""
    if not isinstance(raw, Mapping):
        raise StrategyError(field=path, reason=f"{shown(raw)} is no mapping of fields")
    return raw


def as_role(text: object, path: str) -> Role:
    """Return a role's name; StrategyError for what can't be one."""
    if not isinstance(text, str) or ids.LABEL.fullmatch(text) is None:
        reason = f"{shown(text)} is no role: lower-case letters, digits and hyphens"
        raise StrategyError(field=path, reason=reason)
    return Role(text)


def shown(raw: object) -> str:
    """Return a value about as it was written, cut where it is long."""
    match raw:
        case None:
            return "null"
        case bool():
            return str(raw).lower()
        case str():
            return repr(raw if len(raw) <= SHOWN else f"{raw[:SHOWN]}…")
        case int() | float():
            return str(raw)[:SHOWN]
        case _:
            return "a list" if isinstance(raw, list | tuple) else "a mapping"
