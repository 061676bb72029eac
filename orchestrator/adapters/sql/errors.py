"""No error of a database's library leaves its adapter: each becomes a JournalError that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from orchestrator.adapters.sql.dialect import UNAVAILABLE, is_shared, shown
from orchestrator.ports import JournalError

WRITTEN_AS: Final = "write it as sqlite+aiosqlite:////PATH or postgresql+asyncpg://USER@HOST/DATABASE"
NEWER: Final = "it was written by a newer Tarmak: start that one, or restore an older journal"
UNREADABLE: Final = "restore it from a backup, or move it away to begin with an empty one"
UNREACHED: Final = "see that the database runs, and that journal.url names it and who may use it"
UNWRITTEN: Final = "free its disk or repair it; the orchestrator may decide nothing that is not recorded"
UNANSWERED: Final = (
    "see that the database runs and can be reached; the orchestrator decides nothing without it"
)


@contextmanager
def told_of_url() -> Iterator[None]:
    """Have a URL that can't be used raised as a JournalError."""
    try:
        yield
    except ValueError as error:
        raise JournalError(journal="journal.url", reason=str(error), action=WRITTEN_AS) from error


@contextmanager
def told_at_start(url: str) -> Iterator[None]:
    """Have what goes wrong while a journal is opened raised as a JournalError."""
    try:
        yield
    except CommandError as error:
        raise JournalError(journal=shown(url), reason=str(error), action=NEWER) from error
    except JournalError as error:
        action = UNREACHED if is_shared(url) else UNREADABLE
        raise JournalError(journal=error.journal, reason=error.reason, action=action) from error.__cause__


@contextmanager
def told(url: str) -> Iterator[None]:
    """Have what a database raises raised as a JournalError."""
    try:
        yield
    except UNAVAILABLE as error:
        action = UNANSWERED if is_shared(url) else UNWRITTEN
        raise JournalError(journal=shown(url), reason=_reason(error), action=action) from error


def _reason(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, TimeoutError):
        return str(cause) or "no answer in time"
    return str(cause) or type(cause).__name__
