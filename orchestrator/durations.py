"""Lengths of time as people write them, to whole seconds and back: `120`, `90s`, `10m`, `1h30m`, `2d`.

One grammar for every place in which an operator writes one: options, the strategy's file, the API.
"""

import re
from typing import Final

LONGEST_S: Final = 366 * 86_400
UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
FORM: Final = re.compile(r"(?=.)(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?", re.ASCII)


def seconds_of(text: str) -> int | None:
    """Return how many seconds `text` is, up to a year; None for what is no length of time."""
    found = FORM.fullmatch(text)
    if found is None:
        return None
    total = sum(int(n or 0) * unit for n, (_, unit) in zip(found.groups(), UNITS, strict=True))
    return total if total <= LONGEST_S else None


def written(length_s: int) -> str:
    """Return whole seconds as `seconds_of` reads them back: 5400 as 1h30m."""
    parts = []
    for name, unit in UNITS:
        count, length_s = divmod(length_s, unit)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts) or "0s"
