"""The facts of one boot arrive late, twice, in another order or not at all, and must count exactly once.

A stream is where one boot's facts stand: `handled` is the number up to which nothing is missing. A fact that
comes behind a gap is held until the gap is closed, or known as gone for good. `head` is the hash of the last
handled fact's payload, against which the next one's `prev` is checked; None where it can't be known.
"""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from broker.ids import Boot
from broker.messages import CHAIN_START, Fact

MOST_HELD: Final = 2_000
WINDOW: Final = 500
EVERY_FACT: Final = (1, sys.maxsize)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A fact whose signature was found good, and the exact bytes that were signed."""

    fact: Fact
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of an arrival: `ready` facts are due now, in order; `broken` counts chain mismatches."""

    ready: tuple[Arrived, ...] = ()
    held: bool = False
    broken: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Where the facts of `boot` stand; `announced` is the highest number that is known to exist."""

    boot: Boot
    handled: int = 0
    head: bytes | None = CHAIN_START
    announced: int = 0
    gone: tuple[tuple[int, int], ...] = ()
    held: Mapping[int, Arrived] = field(default_factory=dict)

    def take(self, arrived: Arrived) -> tuple["Stream", Taken]:
        """Return the stream with a fact taken in, and which facts are due because of it."""
        seq = arrived.fact.seq
        if seq <= self.handled or seq in self.held:
            return self, Taken()
        announced = max(self.announced, seq)
        if seq > self.handled + 1 and len(self.held) >= MOST_HELD:
            return replace(self, announced=announced), Taken()
        stream = replace(self, announced=announced, held={**self.held, seq: arrived})
        return stream.advanced(new=seq)

    def without(self, first: int, last: int) -> tuple["Stream", Taken]:
        """Return the stream with facts `first` to `last` known as gone for good, and what is due then."""
        if last <= self.handled:
            return self, Taken()
        gone = tuple(sorted({*self.gone, (first, last)}))
        return replace(self, gone=gone, announced=max(self.announced, last)).advanced(new=None)

    def announce(self, last: int) -> "Stream":
        """Return the stream with the knowledge that facts up to `last` exist."""
        return self if last <= self.announced else replace(self, announced=last)

    def missing(self, kept: Sequence[tuple[int, int]] = (EVERY_FACT,)) -> tuple[int, int] | None:
        """Return the first stretch of facts to ask for among those that are `kept` by the wing.

        It is at most a window long; None if nothing is missing that could come.
        """
        for first, last in self._gaps():
            for low, high in kept:
                begin, end = max(first, low), min(last, high)
                if begin <= end:
                    return begin, min(end, begin + WINDOW - 1)
        return None

    def _gaps(self) -> Iterator[tuple[int, int]]:
        begin = self.handled + 1
        if begin > self.announced:
            return
        for low, high in sorted([*((seq, seq) for seq in self.held), *self.gone]):
            if low > begin:
                yield begin, low - 1
            begin = max(begin, high + 1)
        if begin <= self.announced:
            yield begin, self.announced

    def advanced(self, *, new: int | None) -> tuple["Stream", Taken]:
        """Return the stream as far as nothing is missing; `new` is the number that has just come."""
        handled, head, broken = self.handled, self.head, 0
        held = dict(self.held)
        ready: list[Arrived] = []
        while True:
            skipped = next((high for low, high in self.gone if low <= handled + 1 <= high), None)
            if skipped is not None:
                handled, head = skipped, None
            elif (arrived := held.pop(handled + 1, None)) is not None:
                broken += head is not None and arrived.fact.prev != head
                handled, head = handled + 1, hashlib.sha256(arrived.payload).digest()
                ready.append(arrived)
            else:
                break
        held = {seq: arrived for seq, arrived in held.items() if seq > handled}
        gone = tuple(span for span in self.gone if span[1] > handled)
        stream = replace(self, handled=handled, head=head, held=held, gone=gone)
        return stream, Taken(ready=tuple(ready), held=new in held, broken=broken)
