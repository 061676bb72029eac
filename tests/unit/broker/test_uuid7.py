"""Ids sort by time, and are the UUIDs of RFC 9562."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import ids
from broker.uuid7 import RANDOM_BYTES, id_source, uuid7

NOW = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
moments = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants it naive
randoms = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


def test_the_example_of_the_rfc() -> None:
    """The milliseconds, version and variant stand where RFC 9562, appendix A.6, prints them."""
    made = uuid7(NOW, bytes.fromhex("18c4dc0c0c07398f"))
    assert made == "017f22e2-79b0-7000-98c4-dc0c0c07398f"


@given(moments, randoms)
def test_every_id_is_a_version_7_uuid(at: datetime, random: bytes) -> None:
    """Python's own reading of it has the right version, variant and time."""
    made = uuid.UUID(ids.message_id(uuid7(at, random)))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(moments, moments, randoms, randoms)
def test_ids_sort_by_time(one: datetime, two: datetime, some: bytes, other: bytes) -> None:
    """Of two ids the later is the greater, to the microsecond, whatever the randomness."""
    if one != two:
        assert (uuid7(one, some) < uuid7(two, other)) is (one < two)


def test_a_zone_changes_nothing() -> None:
    """The moment counts, not how it is written."""
    random = bytes(RANDOM_BYTES)
    assert uuid7(NOW.astimezone(timezone(timedelta(hours=9))), random) == uuid7(NOW, random)


def test_too_little_randomness_and_too_early_times_are_refused() -> None:
    """An id that could not be unique, or could not be written, is not made."""
    with pytest.raises(ValueError, match="random"):
        uuid7(NOW, b"short")
    with pytest.raises(ValueError, match="before 1970"):
        uuid7(datetime(1969, 12, 31, tzinfo=UTC), bytes(RANDOM_BYTES))


def test_a_source_asks_its_clock_and_randomness_each_time() -> None:
    """Two ids of a source differ by the moment and the random bytes that it was given."""
    ticks = iter([NOW, NOW + timedelta(seconds=1)])
    bits = iter([b"\x00" * RANDOM_BYTES, b"\xff" * RANDOM_BYTES])
    asked: list[int] = []

    def entropy(count: int) -> bytes:
        asked.append(count)
        return next(bits)

    new_id = id_source(lambda: next(ticks), entropy)
    assert new_id() == uuid7(NOW, b"\x00" * RANDOM_BYTES)
    assert new_id() == uuid7(NOW + timedelta(seconds=1), b"\xff" * RANDOM_BYTES)
    assert asked == [RANDOM_BYTES, RANDOM_BYTES]
