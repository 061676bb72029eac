"""What a wing and the short-lived child that carries out an order say to each other, as JSON lines.

One errand down; facts and then one end up. The values are the mesh's own, in its own kinds, so nothing is
translated on the way.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from broker.ids import MessageId
from broker.messages import FACT_KINDS, Drain, Health, OrderFact, Uncordon
from wing.events import Done, Stopped, Unable

OrderEnd = Done | Stopped | Unable

_T = TypeVar("_T")

_KIND_OF: Final = {body: kind for kind, body in FACT_KINDS.items()}
_ENDS: Final[dict[str, type[OrderEnd]]] = {"done": Done, "stopped": Stopped, "unable": Unable}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an order is carried out: on which Node, with which kubeconfig and commands of the site's."""

    node: str
    kubeconfig: str | None = None
    command: tuple[str, ...] = ()
    uncordon_command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """The one order of the three that `command` is for, and where."""

    command: MessageId
    place: Place
    drain: Drain | None = None
    uncordon: Uncordon | None = None
    health: Health | None = None


class ErrandError(Exception):
    """A line between a wing and its child is not of their language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A fact of a kind, or an end."""

    fact: str | None = None
    end: str | None = None
    body: msgspec.Raw


def errand_line(errand: Errand) -> bytes:
    """Return `errand` as one line."""
    return msgspec.json.encode(errand) + b"\n"


def line_errand(line: bytes) -> Errand:
    """Return the errand in `line`; raises ErrandError."""
    return _decoded(line, Errand)


def word_line(word: OrderFact | OrderEnd) -> bytes:
    """Return a fact or an end as one line."""
    body = msgspec.Raw(msgspec.json.encode(word))
    if isinstance(word, OrderEnd):
        name = next(name for name, kind in _ENDS.items() if kind is type(word))
        return msgspec.json.encode(_Line(end=name, body=body)) + b"\n"
    return msgspec.json.encode(_Line(fact=_KIND_OF[type(word)], body=body)) + b"\n"


def line_word(line: bytes) -> OrderFact | OrderEnd:
    """Return the fact or end in `line`; raises ErrandError."""
    said = _decoded(line, _Line)
    if said.end is not None:
        return _decoded(bytes(said.body), _ENDS[said.end])
    kind = FACT_KINDS.get(said.fact or "")
    if kind is None or not issubclass(kind, OrderFact):
        raise ErrandError(f"{line[:200]!r} is neither a fact of an order nor an end")
    return _decoded(bytes(said.body), kind)


def _decoded(line: bytes, into: type[_T]) -> _T:
    try:
        return msgspec.json.decode(line, type=into)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ErrandError(f"{line[:200]!r}: {error}") from error
