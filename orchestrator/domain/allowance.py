"""How often something may be done: so many at once, then so many a second, as a bucket that refills. Pure."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """`burst` at once, and `per_s` a second after that."""

    burst: float
    per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bucket:
    left: float
    at: datetime


class Allowances:
    """What is left of an allowance for each of at most `most` keys; the one longest unseen is forgotten."""

    def __init__(self, allowance: Allowance, *, most: int = 1) -> None:
        self._allowance = allowance
        self._most = most
        self._buckets: dict[Hashable, _Bucket] = {}

    def take(self, key: Hashable, at: datetime) -> bool:
        """Take one for `key`; tell whether there was one."""
        known = self._buckets.pop(key, None) or _Bucket(left=self._allowance.burst, at=at)
        passed = max(0.0, (at - known.at).total_seconds())
        left = min(self._allowance.burst, known.left + passed * self._allowance.per_s)
        granted = left >= 1
        self._buckets[key] = replace(known, left=left - granted, at=at)
        while len(self._buckets) > self._most:
            del self._buckets[next(iter(self._buckets))]
        return granted
