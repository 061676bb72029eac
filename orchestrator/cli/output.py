"""Everything that is printed: tables for people, JSON and YAML for programs.

Rich would draw nicer tables and cost a third of the time that a command has; columns need no more than
this. Text that came from a host is stripped of control characters, so that no log line can move the cursor
or retitle the terminal of whoever reads it.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from orchestrator.cli.stop import ReaderGoneError

T = TypeVar("T")

GREEN, YELLOW, RED, DIM, PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
COLOURS: Final = {
    **dict.fromkeys(("online", "converged", "applied", "succeeded", "unchanged", "healthy", "done"), GREEN),
    **dict.fromkeys(("running", "queued", "changed", "offline", "interrupted", "cancelled"), YELLOW),
    **dict.fromkeys(("progressing", "reverting", "reverted", "prefetching", "waiting", "draining"), YELLOW),
    **dict.fromkeys(("converging", "verifying", "uncordoning", "soaking"), YELLOW),
    **dict.fromkeys(("lost", "failed", "timeout", "not_run", "unhealthy", "paused", "aborted"), RED),
    **dict.fromkeys(("unknown", "pending", "skipped", "-"), DIM),
}
SHORT: Final = 12


class Form(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A table's column: its heading, and what a row has in it."""

    heading: str
    cell: Callable[[Any], str]


def show_list(form: Form, items: Sequence[Any], columns: Sequence[Column], *, none: str) -> None:
    """Print a list in `form`; an empty table says `none` on stderr."""
    match form:
        case Form.TABLE if items:
            out("\n".join(table(items, columns)))
        case Form.TABLE:
            note(none)
        case Form.JSONL:
            for item in items:
                out(encoded(item))
        case Form.JSON | Form.YAML:
            out(structured(form, items))


def show_one(form: Form, item: Any, text: Iterable[str]) -> None:
    """Print one thing: `text` as its table."""
    if form is Form.TABLE:
        out("\n".join(text))
    elif form is Form.JSONL:
        out(encoded(item))
    else:
        out(structured(form, item))


def structured(form: Form, item: Any) -> str:
    """Return `item` as indented JSON or as YAML, without a newline at the end."""
    if form is not Form.YAML:
        return msgspec.json.format(msgspec.json.encode(item), indent=2).decode()
    import yaml  # noqa: PLC0415 - 0.1 s that only `-o yaml` shall pay

    plain = msgspec.to_builtins(item, str_keys=True)
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)).rstrip("\n")


def encoded(item: Any) -> str:
    """Return `item` as JSON on one line."""
    return msgspec.json.encode(item).decode()


def table(items: Sequence[Any], columns: Sequence[Column]) -> list[str]:
    """Return a heading and a line for each item, in columns, coloured on a terminal."""
    rows = [[column.heading for column in columns]]
    rows += [[printable(column.cell(item)) or "-" for column in columns] for item in items]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    coloured = colourful()
    return [_line(row, widths, coloured=coloured) for row in rows]


def pairs(items: Iterable[tuple[str, str]]) -> list[str]:
    """Return names and values, one pair a line."""
    listed = [(name, printable(value) or "-") for name, value in items]
    width = max(len(name) for name, _ in listed) + 2
    coloured = colourful()
    return [f"{name + ':':{width}}{_coloured(value, value, coloured=coloured)}" for name, value in listed]


def printable(text: str) -> str:
    """Return text of a host's as one line without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def printable_lines(text: str) -> list[str]:
    """Return text of a host's in its own lines, without other control characters."""
    return ["".join(c if c.isprintable() or c == "\t" else "·" for c in line) for line in text.split("\n")]


def short(digest: str | None) -> str:
    """Return the part of a digest that a table has room for; any unambiguous prefix is accepted back."""
    return "-" if digest is None else digest.removeprefix("sha256:")[:SHORT]


def out(text: str) -> None:
    """Print a result, or a line of one, at once: its reader may be waiting for it."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error  # click would end with exit code 1 for the original


def note(text: str) -> None:
    """Say something that is no result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def on_terminal() -> bool:
    """Whether results are read by a person, live."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def colourful() -> bool:
    """Whether to colour: only a terminal, and only if NO_COLOR (no-color.org) is not set."""
    return on_terminal() and not os.environ.get("NO_COLOR")


def _line(row: Sequence[str], widths: Sequence[int], *, coloured: bool) -> str:
    cells = [
        _coloured(text, f"{text:{width}}", coloured=coloured) for text, width in zip(row, widths, strict=True)
    ]
    return "  ".join(cells).rstrip()


def _coloured(text: str, padded: str, *, coloured: bool) -> str:
    colour = COLOURS.get(text) if coloured else None
    return padded if colour is None else f"{colour}{padded}{PLAIN}"
