"""A journal that lives only as long as its process, for tests and simulations of a wing's whole life.

It keeps what the one on disk keeps, under the same contract suite. `unwritable` makes it fail as a full disk
would; opening another boot on it is a wing's restart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from broker.client import Signature
from broker.ids import Boot, Epoch, MessageId
from broker.messages import Observed
from wing.effects import (
    DropFacts,
    ForgetBan,
    ForgetEntry,
    Record,
    RecordAck,
    RecordBan,
    RecordEntry,
    RecordEpoch,
    RecordFact,
    RecordObserved,
)
from wing.entries import Entry, WorkId
from wing.facts import FactRef, spans
from wing.ports import NEWEST, Bound, JournalUnwritableError, Room, StoredFact, surplus
from wing.state import NO_EPOCH, Ban, Remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    fact: StoredFact
    answers: MessageId | None
    lasting: bool
    acked: bool = False


class MemoryJournal:
    """A wing's journal in dicts; `entropy` gives the random part of each boot."""

    def __init__(
        self,
        *,
        sign: Callable[[bytes], Signature],
        entropy: Callable[[int], bytes],
        bound: Bound | None = None,
    ) -> None:
        self.unwritable: str | None = None
        self._sign = sign
        self._entropy = entropy
        self._bound = bound or Bound()
        self._boots: list[Boot] = []
        self._epoch: Epoch = NO_EPOCH
        self._observed: Observed | None = None
        self._entries: dict[MessageId, Entry] = {}
        self._bans: dict[WorkId, Ban] = {}
        self._facts: dict[FactRef, _Kept] = {}

    def open_boot(self) -> Remembered:
        """Count a new boot and return what is remembered."""
        self._check()
        self._boots.append(Boot(f"{len(self._boots) + 1}-{self._entropy(4).hex()}"))
        return Remembered(
            boot=self._boots[-1],
            epoch=self._epoch,
            entries=tuple(self._entries.values()),
            bans=dict(self._bans),
            observed=self._observed,
            backlog=spans(ref for ref, kept in self._facts.items() if not kept.acked),
        )

    def write(self, records: Sequence[Record]) -> None:
        """Record all or nothing; raises JournalUnwritableError for nothing."""
        if not records:
            return
        self._check()
        for record in records:
            self._write(record)

    def facts(self, boot: Boot, first: int, limit: int) -> Sequence[StoredFact]:
        """Return the kept facts of `boot` from `first` on, by number, at most `limit`."""
        found = [kept.fact for ref, kept in self._facts.items() if ref.boot == boot and ref.seq >= first]
        return tuple(found[:limit])

    def answers(self, command: MessageId) -> Sequence[StoredFact]:
        """Return what was answered to `command` so far, oldest first."""
        return tuple(kept.fact for kept in self._facts.values() if kept.answers == command)

    def room(self) -> Room:
        """Return whether anything has to go; the newest facts and every answer stay."""
        octets = sum(len(kept.fact.payload) for kept in self._facts.values())
        older = list(self._facts.items())[:-NEWEST]
        droppable = ((ref, len(kept.fact.payload)) for ref, kept in older if not kept.lasting)
        return surplus(self._bound, facts=len(self._facts), octets=octets, droppable=droppable)

    def close(self) -> None:
        """Do nothing: there is no file."""

    def _check(self) -> None:
        if self.unwritable is not None:
            raise JournalUnwritableError(path="(memory)", reason=self.unwritable)

    def _write(self, record: Record) -> None:
        match record:
            case RecordFact(fact=fact):
                stored = StoredFact(ref=fact.ref, payload=fact.payload, signature=self._sign(fact.payload))
                self._facts[fact.ref] = _Kept(fact=stored, answers=fact.answers, lasting=fact.lasting)
            case RecordAck(boot=boot, seq=seq):
                self._ack(boot, seq)
            case DropFacts(span=span):
                for ref, kept in tuple(self._facts.items()):
                    if ref.boot == span.boot and span.first <= ref.seq <= span.last and not kept.lasting:
                        del self._facts[ref]
            case _:
                self._write_rest(record)

    def _write_rest(
        self, record: RecordEntry | ForgetEntry | RecordEpoch | RecordObserved | RecordBan | ForgetBan
    ) -> None:
        match record:
            case RecordEntry(entry=entry):
                self._entries[entry.id] = entry
            case ForgetEntry(command=command):
                self._forget(command)
            case RecordEpoch(epoch=epoch):
                self._epoch = epoch
            case RecordObserved(observed=observed):
                self._observed = observed
            case RecordBan(work=work, by=by, at=at):
                self._bans[work] = Ban(by=by, at=at)
            case ForgetBan(work=work):
                self._bans.pop(work, None)
            case _:
                assert_never(record)

    def _ack(self, boot: Boot, seq: int) -> None:
        for ref, kept in tuple(self._facts.items()):
            if ref.boot != boot or ref.seq > seq:
                continue
            if kept.answers is None:
                del self._facts[ref]
            else:
                self._facts[ref] = replace(kept, acked=True)

    def _forget(self, command: MessageId) -> None:
        self._entries.pop(command, None)
        for ref, kept in tuple(self._facts.items()):
            if kept.answers != command:
                continue
            if kept.acked:
                del self._facts[ref]
            else:
                self._facts[ref] = replace(kept, answers=None)
