"""A bound on what others can make one do: a token bucket, as a value. Pure: time comes in."""

from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bound on how often something is told: `burst` at once, then `per_s` a second."""

    per_s: float
    burst: float
    spent: float = 0.0
    at: datetime | None = None

    def take(self, at: datetime) -> "Bucket | None":
        """Return the bucket after one more, None if there is no room for it now."""
        passed_s = 0.0 if self.at is None else max(0.0, (at - self.at).total_seconds())
        spent = max(0.0, self.spent - passed_s * self.per_s) + 1.0
        return None if spent > self.burst else replace(self, spent=spent, at=at)
