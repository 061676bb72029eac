"""The time of this host."""

from datetime import UTC, datetime


class SystemClock:
    """The `Clock` of production."""

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return datetime.now(UTC)
