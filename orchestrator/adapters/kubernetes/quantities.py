"""Kubernetes' quantities (`100m`, `1.5Gi`, `2e3`) as whole numbers, rounded up as its scheduler does.

The grammar is that of k8s.io/apimachinery/pkg/api/resource/quantity.go.
"""

import math
import re
from fractions import Fraction
from typing import Final

_FORM: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?")
_LONGEST: Final = 40
_SCALES: Final = {
    **{letter: Fraction(1000) ** (index - 3) for index, letter in enumerate(("n", "u", "m", "", "k"))},
    **{letter: Fraction(1000) ** index for index, letter in enumerate("MGTPE", 2)},
    **{f"{letter}i": Fraction(1024) ** index for index, letter in enumerate("KMGTPE", 1)},
}
_MOST_EXPONENT: Final = 30


def milli_of(raw: str | float) -> int:
    """Return thousandths, as cores are counted; raises ValueError for what is no quantity."""
    return math.ceil(value_of(raw) * 1000)


def bytes_of(raw: str | float) -> int:
    """Return whole units, as bytes and pods are counted; raises ValueError for what is no quantity."""
    return math.ceil(value_of(raw))


def value_of(raw: str | float) -> Fraction:
    """Return a quantity's exact value; raises ValueError for what is none."""
    text = str(raw)
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise ValueError(f"{text[:_LONGEST]!r} is no quantity")
    number, suffix = Fraction(found[1]), found[2] or ""
    if suffix in _SCALES:
        return number * _SCALES[suffix]
    exponent = int(suffix[1:])
    if abs(exponent) > _MOST_EXPONENT:
        raise ValueError(f"{text!r} is no quantity")
    return number * Fraction(10) ** exponent
