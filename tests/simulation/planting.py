"""What a planted bug is: a promise that it breaks, and a patch of the code that keeps it."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A bug: which promise it breaks, the first seed from 0 on that showed it, and how it is planted."""

    breaks: str
    seed: int
    plant: Plant


def breaks(promise: str, *, seed: int) -> Callable[[Plant], Bug]:
    """Make a bug of a function that plants it."""
    return lambda plant: Bug(breaks=promise, seed=seed, plant=plant)
