"""Puppet's structured log, line by line: what it said, how far it is, and which file differs how.

Puppet's JSON log destination writes one object a line. What is no such object (a cut line, noise of a
child that got hold of the file) becomes a line of its own words: nothing that was said is lost.
Paths below the bundle are told relative to it, since its place in the cache means nothing to a reader.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Final

import msgspec

from broker.messages import Level, LogLine

MAX_MESSAGE: Final = 64 * 1024
PROGRESS: Final = re.compile(r"Starting to evaluate the resource \((\d{1,9}) of (\d{1,9})\)")
EVALUATED: Final = re.compile(r"Evaluated in [0-9.]+ seconds")
DEPENDENCY: Final = "Skipping because of failed dependencies"
HUNK: Final = re.compile(r"^@@ ", re.MULTILINE)
NOISE: Final = frozenset({"Facter"})


class _Raw(msgspec.Struct):
    level: str
    message: str
    source: str = "Puppet"
    time: str = ""
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluating:
    """Puppet has begun with resource `done` of `total`."""

    done: int
    total: int
    resource: str


DECODER: Final = msgspec.json.Decoder(_Raw)


def parse_line(text: bytes, *, bundle: PurePath, at: datetime) -> LogLine:
    """Return what one line of the log says; `at` stands in where the line has no time of its own."""
    try:
        raw = DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        words = text.decode(errors="replace")[:MAX_MESSAGE]
        return LogLine(at=at, level=Level.NOTICE, source="Puppet", message=words)
    prefix = f"{bundle}/"
    return LogLine(
        at=_time(raw.time, at),
        level=_level(raw.level),
        source=raw.source[:MAX_MESSAGE],
        message=_bounded(raw.message.replace(prefix, "")),
        file=None if raw.file is None else raw.file.removeprefix(prefix),
        line=raw.line,
    )


def evaluating(line: LogLine) -> Evaluating | None:
    """Return how far Puppet is, where `line` says it."""
    found = PROGRESS.fullmatch(line.message)
    if found is None:
        return None
    return Evaluating(done=int(found[1]), total=int(found[2]), resource=resource_of(line.source))


def is_trace(line: LogLine) -> bool:
    """Return whether `line` only traces the evaluation, which progress tells better."""
    return line.level is Level.INFO and (
        PROGRESS.fullmatch(line.message) is not None or EVALUATED.fullmatch(line.message) is not None
    )


def is_error(line: LogLine) -> bool:
    """Return whether `line` says that Puppet failed at something.

    Facter says at level err what it could not look at, such as the environment of process 1 in a
    container: a fact is missing then, and nothing has failed.
    """
    grave = line.level in (Level.ERR, Level.ALERT, Level.EMERG, Level.CRIT)
    return grave and line.source not in NOISE


def is_dependency_skip(line: LogLine) -> bool:
    """Return whether `line` says that a resource was skipped since one that it needs has failed."""
    return line.level is Level.WARNING and line.message.startswith(DEPENDENCY)


def diff_of(line: LogLine) -> tuple[tuple[str, str], str] | None:
    """Return ((path of the resource, property), diff) where `line` is a file's diff."""
    if not line.source.startswith("/") or HUNK.search(line.message) is None:
        return None
    path, _, name = line.source.rpartition("/")
    return (path, name), line.message.strip("\n") + "\n"


def resource_of(source: str) -> str:
    """Return the resource's own name from a path such as `/Stage[main]/Base/File[/etc/motd]`."""
    return source[_last_start(source) :]


def _last_start(source: str) -> int:
    """Return where the path's last part starts; a slash within brackets is the title's."""
    depth = 0
    for index in range(len(source) - 1, -1, -1):
        depth += (source[index] == "]") - (source[index] == "[")
        if source[index] == "/" and depth == 0:
            return index + 1
    return 0


def _time(text: str, otherwise: datetime) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return otherwise


def _level(text: str) -> Level:
    try:
        return Level(text)
    except ValueError:
        return Level.NOTICE


def _bounded(text: str) -> str:
    if len(text) <= MAX_MESSAGE:
        return text
    return f"{text[:MAX_MESSAGE]}… ({len(text) - MAX_MESSAGE} more characters)"
