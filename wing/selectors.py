"""Label selectors as `kubectl -l` takes them, so that an operator names pods here as everywhere.

Pure. All requirements of one selector must hold (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/):
`app=web`, `app==web`, `app!=web`, `app`, `!app`, `tier in (a, b)`, `tier notin (a, b)`, joined by commas. As
in Kubernetes, `!=` and `notin` also fit what lacks the label.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_KEY: Final = r"(?P<key>[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?)"
_VALUE: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?")
_EQUAL: Final = re.compile(rf"{_KEY}\s*(?P<sign>==|=|!=)\s*(?P<value>\S*)")
_SET: Final = re.compile(rf"{_KEY}\s+(?P<sign>in|notin)\s*\((?P<values>[^()]*)\)")
_EXISTS: Final = re.compile(rf"(?P<sign>!?)\s*{_KEY}")
_COMMA: Final = re.compile(r",(?![^()]*\))")


class SelectorError(ValueError):
    """A text is no label selector."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"{text[:200]!r} is no label selector, such as app=web or tier in (a, b)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """The label `key` is one of `values` (None: whatever it is), or with `negated` anything else."""

    key: str
    values: frozenset[str] | None
    negated: bool

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether `labels` meet it."""
        holds = self.key in labels and (self.values is None or labels[self.key] in self.values)
        return holds is not self.negated


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """What has labels that meet all requirements."""

    requirements: tuple[Requirement, ...]

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether `labels` are selected."""
        return all(requirement.fits(labels) for requirement in self.requirements)


def parse(text: str) -> Selector:
    """Return the selector that `text` is; raises SelectorError, also for one that would select everything."""
    return Selector(requirements=tuple(_requirement(text, part.strip()) for part in _COMMA.split(text)))


def _requirement(text: str, part: str) -> Requirement:
    if found := _EQUAL.fullmatch(part):
        return _made(text, found["key"], [found["value"]], negated=found["sign"] == "!=")
    if found := _SET.fullmatch(part):
        values = [value.strip() for value in found["values"].split(",")]
        return _made(text, found["key"], values, negated=found["sign"] == "notin")
    if found := _EXISTS.fullmatch(part):
        return Requirement(key=found["key"], values=None, negated=bool(found["sign"]))
    raise SelectorError(text)


def _made(text: str, key: str, values: list[str], *, negated: bool) -> Requirement:
    if not all(_VALUE.fullmatch(value) for value in values):
        raise SelectorError(text)
    return Requirement(key=key, values=frozenset(values), negated=negated)
