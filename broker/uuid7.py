"""Ids that sort by the time at which they were made, without asking anyone (RFC 9562, version 7).

Messages are listed, journaled and looked up by id. Ids in order of time keep a database's index compact
and let a person see what came first. Clock and randomness come in as data, so tests choose both.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from broker.ids import MessageId

RANDOM_BYTES: Final = 8

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MICROSECONDS_PER_MS: Final = 1000
_FRACTIONS_PER_MS: Final = 4096
_VERSION: Final = 7
_VARIANT: Final = 0b10
_RANDOM_MASK: Final = 2**62 - 1


def uuid7(at: datetime, random: bytes) -> MessageId:
    """Return the id of something made at `at` (aware, from 1970 on) with `random`, at least 8 bytes.

    The 12 bits after the milliseconds hold the fraction of the millisecond (RFC 9562, 6.2, method 3),
    so that ids sort by time to the microsecond; 62 bits are random.
    """
    if len(random) < RANDOM_BYTES:
        raise ValueError(f"random: {len(random)} bytes are fewer than {RANDOM_BYTES}")
    if at < _UNIX_EPOCH:
        raise ValueError(f"at: {at.isoformat()} is before 1970")
    milliseconds, rest = divmod(at - _UNIX_EPOCH, _MILLISECOND)
    fraction = rest.microseconds * _FRACTIONS_PER_MS // _MICROSECONDS_PER_MS
    tail = _VARIANT << 62 | int.from_bytes(random[:RANDOM_BYTES]) & _RANDOM_MASK
    digits = f"{milliseconds << 80 | _VERSION << 76 | fraction << 64 | tail:032x}"
    return MessageId("-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])))


def id_source(clock: Callable[[], datetime], entropy: Callable[[int], bytes]) -> Callable[[], MessageId]:
    """Return a function that makes a new id at each call: `id_source(utc_now, os.urandom)` in production."""
    return lambda: uuid7(clock(), entropy(RANDOM_BYTES))
