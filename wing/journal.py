"""A wing's memory on disk: SQLite, one connection, every transaction fsynced before anything is told.

The calls are synchronous on purpose (docs/decisions/0051): a transaction takes a few milliseconds, and while
it runs nothing else may be decided anyway. Facts and bytes are counted in memory, so that looking whether
there is room costs nothing until the bound is reached.

A file that SQLite can't read is set aside, never deleted: the wing starts with an empty memory, hence in a
boot that no command was meant for, and says where the old file is.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Self, assert_never

from broker.client import Signature
from broker.ids import Boot, Epoch, MessageId, RunId
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
from wing.facts import FactRef, spans
from wing.ports import NEWEST, Bound, JournalUnwritableError, Room, StoredFact, surplus
from wing.rows import SCHEMA, VERSION, EntryRow, entry_row, observed_value, row_entry, value_observed
from wing.state import Ban, Remembered

log = logging.getLogger("wing.journal")

JOURNAL: Final = "journal.sqlite"
Sign = Callable[[bytes], Signature]
_UNREADABLE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SqliteJournal:
    """The journal of the wing whose file is `path`; `sign` signs each fact as it is recorded."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        sign: Sign,
        entropy: Callable[[int], bytes],
        bound: Bound,
    ) -> None:
        self._db = connection
        self._path = path
        self._sign = sign
        self._entropy = entropy
        self._bound = bound
        self._facts, self._octets = connection.execute(
            "SELECT count(*), coalesce(sum(length(payload)), 0) FROM facts"
        ).fetchone()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        sign: Sign,
        entropy: Callable[[int], bytes] = os.urandom,
        bound: Bound | None = None,
    ) -> Self:
        """Return the journal at `path`, made if it isn't there; an unreadable one is set aside.

        Raises JournalUnwritableError, such as for a disk that is full or a journal of a newer version.
        """
        try:
            connection = _connected(path)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in _UNREADABLE:
                raise JournalUnwritableError(path=str(path), reason=str(error)) from error
            _set_aside(path, error)
            connection = _connected(path)
        return cls(connection, path, sign=sign, entropy=entropy, bound=bound or Bound())

    def open_boot(self) -> Remembered:
        """Count a new boot and return what is remembered."""
        with self._transaction():
            (count,) = self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM boots").fetchone()
            boot = Boot(f"{count}-{self._entropy(4).hex()}")
            self._db.execute("INSERT INTO boots VALUES (?, ?)", (count, boot))
        return remembered(self._db, boot)

    def write(self, records: Sequence[Record]) -> None:
        """Record all or nothing, durably; raises JournalUnwritableError for nothing."""
        if not records:
            return
        facts, octets = self._facts, self._octets
        with self._transaction():
            for record in records:
                more_facts, more_octets = self._written(record)
                facts, octets = facts + more_facts, octets + more_octets
        self._facts, self._octets = facts, octets

    def facts(self, boot: Boot, first: int, limit: int) -> Sequence[StoredFact]:
        """Return the kept facts of `boot` from `first` on, by number, at most `limit`."""
        return self._stored("boot = ? AND seq >= ? ORDER BY seq LIMIT ?", (boot, first, limit))

    def answers(self, command: MessageId) -> Sequence[StoredFact]:
        """Return what was answered to `command` so far, oldest first."""
        return self._stored("answers = ? ORDER BY position", (command,))

    def room(self) -> Room:
        """Return whether anything has to go; the newest facts and every answer stay."""
        if self._facts <= self._bound.facts and self._octets <= self._bound.octets:
            return Room()
        query = (
            "SELECT boot, seq, length(payload) FROM facts WHERE lasting = 0 AND position NOT IN"
            " (SELECT position FROM facts ORDER BY position DESC LIMIT ?) ORDER BY position"
        )
        rows = self._db.execute(query, (NEWEST,))
        droppable = ((FactRef(boot=Boot(boot), seq=seq), size) for boot, seq, size in rows)
        return surplus(self._bound, facts=self._facts, octets=self._octets, droppable=droppable)

    def close(self) -> None:
        """Let go of the journal's file; what was written stays."""
        self._db.close()

    def _written(self, record: Record) -> tuple[int, int]:
        """Write one record; return how many facts and bytes of facts there are more (or less)."""
        match record:
            case RecordFact():
                return self._recorded(record)
            case RecordAck(boot=boot, seq=seq):
                self._db.execute("UPDATE facts SET acked = 1 WHERE boot = ? AND seq <= ?", (boot, seq))
                return self._deleted("boot = ? AND seq <= ? AND answers IS NULL", (boot, seq))
            case DropFacts(span=span):
                where = "boot = ? AND seq BETWEEN ? AND ? AND lasting = 0"
                return self._deleted(where, (span.boot, span.first, span.last))
            case ForgetEntry(command=command):
                self._db.execute("DELETE FROM entries WHERE id = ?", (command,))
                gone = self._deleted("answers = ? AND acked = 1", (command,))
                self._db.execute("UPDATE facts SET answers = NULL WHERE answers = ?", (command,))
                return gone
            case _:
                self._kept(record)
                return 0, 0

    def _recorded(self, record: RecordFact) -> tuple[int, int]:
        fact = record.fact
        signature = self._sign(fact.payload)
        self._db.execute(
            "INSERT INTO facts (boot, seq, payload, key, signature, answers, lasting) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(fact.ref.boot, fact.ref.seq, fact.payload),
                *(signature.key, signature.value, fact.answers, fact.lasting),
            ),
        )
        return 1, len(fact.payload)

    def _kept(self, record: RecordEntry | RecordEpoch | RecordObserved | RecordBan | ForgetBan) -> None:
        match record:
            case RecordEntry(entry=entry):
                row = entry_row(entry)
                self._db.execute(
                    "INSERT INTO entries (id, phase, command, rest) VALUES (?, ?, ?, ?) ON CONFLICT (id) "
                    "DO UPDATE SET phase = excluded.phase, command = excluded.command, rest = excluded.rest",
                    (row.id, row.phase, row.command, row.rest),
                )
            case RecordEpoch(epoch=epoch):
                self._keep("epoch", epoch)
            case RecordObserved(observed=observed):
                self._keep("observed", observed_value(observed))
            case RecordBan(work=work, by=by, at=at):
                self._db.execute("INSERT OR REPLACE INTO bans VALUES (?, ?, ?)", (work, by, at.isoformat()))
            case ForgetBan(work=work):
                self._db.execute("DELETE FROM bans WHERE run = ?", (work,))
            case _:
                assert_never(record)

    def _keep(self, name: str, value: bytes | int) -> None:
        self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, value))

    def _deleted(self, where: str, values: tuple[object, ...]) -> tuple[int, int]:
        statement = f"DELETE FROM facts WHERE {where} RETURNING length(payload)"  # noqa: S608 - ours, above
        sizes = [size for (size,) in self._db.execute(statement, values)]
        return -len(sizes), -sum(sizes)

    def _stored(self, where: str, values: tuple[object, ...]) -> Sequence[StoredFact]:
        query = f"SELECT boot, seq, payload, key, signature FROM facts WHERE {where}"  # noqa: S608 - ours
        return tuple(
            StoredFact(
                ref=FactRef(boot=Boot(boot), seq=seq),
                payload=payload,
                signature=Signature(key=key, value=value),
            )
            for boot, seq, payload, key, value in self._db.execute(query, values)
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:
                yield
        except sqlite3.OperationalError as error:
            raise JournalUnwritableError(path=str(self._path), reason=str(error)) from error


def remembered(connection: sqlite3.Connection, boot: Boot) -> Remembered:
    """Return all that a wing in `boot` goes on from; only reads."""

    def answer_at(ref: FactRef) -> bytes:
        query = "SELECT payload FROM facts WHERE boot = ? AND seq = ?"
        payload: bytes
        (payload,) = connection.execute(query, (ref.boot, ref.seq)).fetchone()
        return payload

    kept = dict(connection.execute("SELECT name, value FROM kept"))
    entries = connection.execute("SELECT id, phase, command, rest FROM entries ORDER BY position")
    bans = connection.execute("SELECT run, by, at FROM bans ORDER BY rowid")
    refs = connection.execute("SELECT boot, seq FROM facts WHERE acked = 0 ORDER BY position")
    return Remembered(
        boot=boot,
        epoch=Epoch(kept.get("epoch", 0)),
        entries=tuple(
            row_entry(EntryRow(id=name, phase=phase, command=command, rest=rest), answer_at)
            for name, phase, command, rest in entries
        ),
        bans={RunId(run): Ban(by=MessageId(by), at=datetime.fromisoformat(at)) for run, by, at in bans},
        observed=value_observed(kept["observed"]) if "observed" in kept else None,
        backlog=spans(FactRef(boot=Boot(name), seq=seq) for name, seq in refs),
    )


def _connected(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, timeout=5)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    path.chmod(0o600)
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -256")  # KiB: facts are written once and seldom read
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        reason = (
            f"it was written by a newer wing (version {version}, this one knows {VERSION}): upgrade the wing"
        )
        raise JournalUnwritableError(path=str(path), reason=reason)
    if version == 0:
        connection.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")


def _set_aside(path: Path, error: sqlite3.DatabaseError) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.unreadable-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    log.error("journal unreadable, set aside", extra={"path": str(aside), "reason": str(error)})
