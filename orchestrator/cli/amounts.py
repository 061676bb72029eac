"""Times as people write them, to seconds and back; without a clock.

`120`, `90s`, `10m` and `1h30m` are durations, as kubectl takes them; a moment is RFC 3339.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from orchestrator.cli.stop import usage
from orchestrator.durations import UNITS, seconds_of

CURSOR: Final = re.compile(r"[0-9]{1,18}")


def seconds(text: str) -> int:
    """Return a duration in seconds, from 1 to a year; StopError (usage) for anything else."""
    total = seconds_of(text)
    if not total:
        raise usage(f"{text!r} is no duration", action="write it as 120, 90s, 10m or 1h30m")
    return total


def optional_s(text: str | None) -> int | None:
    """Return a duration in seconds, None where none is given."""
    return None if text is None else seconds(text)


def since(text: str, *, now: datetime) -> int | datetime:
    """Return where `--since` begins: a cursor (a bare number), or a moment (RFC 3339, or so long ago)."""
    if CURSOR.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return now - timedelta(seconds=seconds(text))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def ago(then: datetime | None, *, now: datetime) -> str:
    """Return how long ago `then` was, in its largest unit, as kubectl's AGE."""
    return "-" if then is None else brief((now - then).total_seconds())


def brief(length_s: float) -> str:
    """Return a length of time in its largest unit."""
    whole = max(0, int(length_s))
    for name, unit in UNITS:
        if whole >= unit:
            return f"{whole // unit}{name}"
    return "0s"


def spent(length_s: float) -> str:
    """Return a length of time in its two largest units: 4m12s, 2h5m, 3d."""
    rest = max(0, int(length_s))
    parts: list[tuple[int, str]] = []
    for name, unit in UNITS:
        count, rest = divmod(rest, unit)
        if count or parts:
            parts.append((count, name))
    return "".join(f"{count}{name}" for count, name in parts[:2] if count) or "0s"


def size(amount: int) -> str:
    """Return a number of bytes for people."""
    value, units = float(amount), ["B", "KiB", "MiB", "GiB"]
    while value >= 1024 and len(units) > 1:  # noqa: PLR2004 - what "Ki" means
        value, units = value / 1024, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"
