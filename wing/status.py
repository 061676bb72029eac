"""`wing status`: what this wing remembers, read beside the running one without disturbing it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import assert_never

from broker.ids import Boot
from broker.messages import Converge
from wing.config import load
from wing.entries import Answered, Underway, Waiting, work_asked
from wing.journal import JOURNAL, remembered
from wing.ports import JournalUnwritableError
from wing.state import Remembered


def status(file: Path) -> int:
    """Print what the wing that `file` configures remembers; returns the exit code, 1 without a journal."""
    journal = load(file).state_dir / JOURNAL
    if not journal.exists():
        print(f"{journal}: no journal: this wing has never run")  # noqa: T201 - what was asked for
        return 1
    for line in _lines(read(journal)):
        print(line)  # noqa: T201 - what was asked for
    return 0


def read(journal: Path) -> Remembered:
    """Return what `journal` holds, without counting a boot; raises JournalUnwritableError."""
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=5)) as connection:
            boots = [Boot(row[0]) for row in connection.execute("SELECT boot FROM boots ORDER BY number")]
            return remembered(connection, boots[-1])
    except (sqlite3.Error, IndexError) as error:
        raise JournalUnwritableError(path=str(journal), reason=f"can't be read: {error}") from error


def _lines(memory: Remembered) -> Iterator[str]:
    yield f"boot      {memory.boot}"
    yield f"epoch     {memory.epoch}"
    yield f"observed  {_observed(memory)}"
    queue = [_told(entry) for entry in memory.entries if not isinstance(entry, Answered)]
    yield f"queue     {len(queue)}"
    yield from (f"          {line}" for line in queue)
    yield f"unacked   {sum(stretch.last - stretch.first + 1 for stretch in memory.backlog)} facts"
    yield from (f"          {span.boot} {span.first} to {span.last}" for span in memory.backlog)


def _observed(memory: Remembered) -> str:
    if memory.observed is None:
        return "nothing yet"
    seen = memory.observed
    reason = f": {seen.reason}" if seen.reason else ""
    return f"{seen.verdict.value} on {seen.digest} at {seen.at.isoformat()}{reason}"


def _told(entry: Waiting | Underway) -> str:
    match entry:
        case Waiting():
            return f"{entry.id} waits{_work(entry)}, until {entry.command.not_after.isoformat()}"
        case Underway():
            return f"{entry.id} is under way{_work(entry)}"
        case _:
            assert_never(entry)


def _work(entry: Waiting | Underway) -> str:
    work = work_asked(entry.command)
    body = entry.command.body
    kind = "run" if isinstance(body, Converge) else type(body).__name__.lower()
    return f", {kind}" if work is None else f", {kind} {work}"
