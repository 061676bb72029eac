"""How a journal's rows are written and read: what a wing remembers, as columns."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

import msgspec

from broker.codec import decode, encode
from broker.ids import MessageId, RunId
from broker.messages import Command, Fact, FinalAnswer, Observed
from wing.entries import Answered, Entry, Underway, Waiting
from wing.events import Process
from wing.facts import FactRef

VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE boots (number INTEGER PRIMARY KEY, boot TEXT NOT NULL UNIQUE);
CREATE TABLE kept (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE bans (run TEXT PRIMARY KEY, by TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE entries (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    phase TEXT NOT NULL, command BLOB, rest BLOB NOT NULL
);
CREATE TABLE facts (
    position INTEGER PRIMARY KEY, boot TEXT NOT NULL, seq INTEGER NOT NULL, payload BLOB NOT NULL,
    key TEXT NOT NULL, signature BLOB NOT NULL, answers TEXT,
    lasting INTEGER NOT NULL, acked INTEGER NOT NULL DEFAULT 0,
    UNIQUE (boot, seq)
);
CREATE INDEX facts_by_command ON facts (answers) WHERE answers IS NOT NULL;
"""
"""`entries` and `facts` are read in order of `position`, which is that of their first writing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRow:
    """An entry as columns; `command` is the command's own encoding, None once it is answered."""

    id: MessageId
    phase: str
    command: bytes | None
    rest: bytes


AnswerAt = Callable[[FactRef], bytes]
"""Returns the payload of a fact that answers a remembered command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Underway:
    process: Process | None
    cancelled_by: MessageId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """`run` is a run's or an order's id; it got its name when there were no orders."""

    run: str | None
    not_after: datetime
    answer: FactRef
    acked: bool


def entry_row(entry: Entry) -> EntryRow:
    """Return `entry` as a row."""
    match entry:
        case Waiting():
            return EntryRow(id=entry.id, phase="waiting", command=encode(entry.command), rest=b"{}")
        case Underway():
            rest = _Underway(process=entry.process, cancelled_by=entry.cancelled_by)
            return EntryRow(
                id=entry.id,
                phase="underway",
                command=encode(entry.command),
                rest=msgspec.json.encode(rest),
            )
        case Answered():
            answered = _Answered(
                run=entry.work, not_after=entry.not_after, answer=entry.answer, acked=entry.acked
            )
            return EntryRow(id=entry.id, phase="answered", command=None, rest=msgspec.json.encode(answered))
        case _:
            assert_never(entry)


def row_entry(row: EntryRow, answer_at: AnswerAt) -> Entry:
    """Return the entry that `row` holds; raises ValueError for a row that this version never wrote."""
    if row.phase == "answered":
        return _answered(row, answer_at)
    command = decode(row.command or b"")
    if not isinstance(command, Command):
        raise TypeError(f"entry {row.id}: {type(command).__name__} is no command")
    if row.phase == "waiting":
        return Waiting(command=command)
    rest = msgspec.json.decode(row.rest, type=_Underway)
    return Underway(command=command, process=rest.process, cancelled_by=rest.cancelled_by)


def _answered(row: EntryRow, answer_at: AnswerAt) -> Answered:
    rest = msgspec.json.decode(row.rest, type=_Answered)
    fact = decode(answer_at(rest.answer))
    if not isinstance(fact, Fact) or not isinstance(fact.body, FinalAnswer):
        raise TypeError(f"entry {row.id}: fact {rest.answer.seq} of boot {rest.answer.boot} is no answer")
    return Answered(
        work=None if rest.run is None else RunId(rest.run),
        not_after=rest.not_after,
        answer=rest.answer,
        said=fact.body,
        acked=rest.acked,
    )


def observed_value(observed: Observed) -> bytes:
    """Return `observed` as a value to keep."""
    return msgspec.json.encode(observed)


def value_observed(value: bytes) -> Observed:
    """Return the observed that `value` keeps."""
    return msgspec.json.decode(value, type=Observed)
