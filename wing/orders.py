"""What is told in the course of an order, as a message can carry it.

A drain speaks of whatever a cluster holds: pods with long names, budgets with longer reasons, hundreds of
either. A fact that the mesh can't carry would be a fault that ends the wing, so each is cut to what a person
reads: the first pods by name, and then how many more there are.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

from broker.messages import (
    Checked,
    CordonChanged,
    DrainBlocked,
    DrainFinished,
    DrainStarted,
    OrderFact,
    PodEvicted,
)
from wing.step import clipped

MOST_NAMES: Final = 150
LONGEST_NAME: Final = 300
"""In characters of at most 4 bytes: so many names of that length are within a message of 256 KiB."""


def bounded(fact: OrderFact) -> OrderFact:
    """Return `fact` with every text and list of a length that a message can carry."""
    match fact:
        case CordonChanged():
            return replace(fact, node=_name(fact.node), reason=_sentence(fact.reason))
        case DrainStarted():
            return replace(fact, node=_name(fact.node), pods=_names(fact.pods))
        case PodEvicted():
            return replace(fact, pod=_name(fact.pod))
        case DrainBlocked():
            budget = None if fact.budget is None else _name(fact.budget)
            return replace(fact, pod=_name(fact.pod), budget=budget, reason=_sentence(fact.reason))
        case DrainFinished():
            return replace(fact, left=_names(fact.left), output=_sentence(fact.output))
        case Checked():
            return replace(fact, check=_name(fact.check), saw=_sentence(fact.saw))
        case _:
            assert_never(fact)


def _names(names: Sequence[str]) -> tuple[str, ...]:
    shown = tuple(_name(name) for name in names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return (*shown, f"and {more} more") if more > 0 else shown


def _name(name: str) -> str:
    return clipped(name, LONGEST_NAME)


def _sentence(text: str) -> str:
    return clipped(text)
