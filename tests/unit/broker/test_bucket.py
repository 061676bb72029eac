"""How often something may be done."""

from datetime import UTC, datetime, timedelta

from broker.bucket import Bucket

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_bucket_fills_again_with_time() -> None:
    """So many at once, then so many a second; a clock that is set back fills nothing."""
    full = Bucket(burst=2, per_s=0.5)
    once = full.take(NOW)
    assert once is not None
    twice = once.take(NOW)
    assert twice is not None
    assert twice.take(NOW) is None
    assert twice.take(NOW + timedelta(seconds=1)) is None
    later = twice.take(NOW + timedelta(seconds=2))
    assert later is not None
    assert later.take(NOW - timedelta(hours=1)) is None
