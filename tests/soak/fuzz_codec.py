"""Throws altered messages at the codec for as long as it is told to: `python tests/soak/fuzz_codec.py 600`.

The unit tests try some hundreds of cases; this tries some thousands a second, all night if wanted. Each case
is a message of any kind, spoiled at random: its bytes, or one of its values. Whatever comes out must be a
message that survives the wire, or a CodecError with a path. What breaks that is printed with its seed and its
bytes, to become a unit test.
"""

import argparse
import contextlib
import resource
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import msgpack  # type: ignore[import-untyped] # ships no type information
from hypothesis import HealthCheck, Phase, given, seed, settings

from broker.codec import decode, encode, peek_id
from broker.errors import CodecError
from broker.messages import Message
from tests.strategies import messages

MESSAGES_A_ROUND: Final = 40
SPOILED_A_MESSAGE: Final = 50
SPOILS_A_CASE: Final = 5
MAX_CASE: Final = 20_000
MAX_GROWTH_KB: Final = 96 * 1024

# Bytes that mean something to MessagePack: heads of maps, lists, texts, integers, extensions, lengths.
HEADS: Final = bytes([0x80, 0x81, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, *range(0xC0, 0xE0), 0xFF, 0x00, 0x7F])


# Values that have the type of nothing here, or of something but not its form.
ODDITIES: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 1, 2**63, 2**64 - 1, -(2**63), 0.5, float("nan"), float("inf")),
    *("", "x", "\x00", "a/b", "../x", "+", "\u2028" * 40, "x" * 5000, "2026-01-01T00:00:00Z", "changed"),
    *(b"", b"x", bytes(32), [], [[]], [None] * 1025, {}, {"": {}}, {"boot": "1-aaaaaaaa", "connection": 1}),
    *(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), msgpack.ExtType(5, b"x")),
)
GO_DEEPER: Final = 0.7
DROP: Final = 0.2


class BrokenPromiseError(Exception):
    """The codec did what it promises never to do, with these bytes."""


def main() -> int:
    """Fuzz for the seconds given; returns 1 at the first broken promise."""
    parser = argparse.ArgumentParser(description="Fuzz broker.codec.")
    parser.add_argument("seconds", type=float, nargs="?", default=60.0)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="repeats a run that failed")
    asked = parser.parse_args()
    sys.stdout.write(f"fuzzing the codec for {asked.seconds:g} s, --seed {asked.seed}\n")
    try:
        tried = fuzz(asked.seconds, asked.seed)
    except BrokenPromiseError as broken:
        sys.stdout.write(f"{broken}\ncaused by {broken.__cause__!r}\nrepeat with --seed {asked.seed}\n")
        return 1
    for what, count in tried.most_common():
        sys.stdout.write(f"{count:>10}  {what}\n")
    return 0


def fuzz(seconds: float, first_seed: int) -> Counter[str]:
    """Return how often each answer came; raises BrokenPromiseError, with the bytes."""
    tried: Counter[str] = Counter()
    before = _resident_kb()
    end = time.monotonic() + seconds
    number = first_seed
    while time.monotonic() < end:
        random = Random(number)  # noqa: S311 - a fuzzer must be able to repeat itself
        for payload in _corpus(number):
            for case in _spoiled(payload, random):
                tried[_answer(case)] += 1
        number += 1
    if _resident_kb() - before > MAX_GROWTH_KB:
        raise BrokenPromiseError(f"memory grew from {before} to {_resident_kb()} KiB")
    return tried


def _corpus(number: int) -> list[bytes]:
    found: list[bytes] = []

    @seed(number)
    @settings(
        max_examples=MESSAGES_A_ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(messages())
    def collect(message: Message) -> None:
        found.append(encode(message))

    collect()
    return found


def _spoiled(payload: bytes, random: Random) -> Iterator[bytes]:
    yield payload
    for _ in range(SPOILED_A_MESSAGE):
        case = bytearray(payload)
        for _ in range(random.randint(1, SPOILS_A_CASE)):
            _spoil_bytes(case, random)
        yield bytes(case[:MAX_CASE])
        wire = msgpack.unpackb(payload, timestamp=3)
        for _ in range(random.randint(1, SPOILS_A_CASE)):
            _spoil_value(wire, random)
        yield msgpack.packb(wire, datetime=True)


def _spoil_value(wire: dict[str, Any], random: Random) -> None:
    """Go down at random, and replace, drop or add what is there."""
    place: Any = wire
    while place:
        key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if isinstance(place[key], dict | list) and place[key] and random.random() < GO_DEEPER:
            place = place[key]
            continue
        if random.random() < DROP:
            del place[key]
        else:
            place[key] = deepcopy(random.choice(ODDITIES))
        return


def _spoil_bytes(spoilt: bytearray, random: Random) -> None:
    place = random.randrange(len(spoilt) + 1)
    length = random.randint(1, 16)
    match random.randrange(6):
        case 0:
            spoilt[place : place + 1] = bytes([random.randrange(256)])
        case 1:
            spoilt[place : place + 1] = bytes([random.choice(HEADS)])
        case 2:
            spoilt[place:place] = random.randbytes(length)
        case 3:
            del spoilt[place : place + length]
        case 4:
            spoilt[place:place] = spoilt[random.randrange(len(spoilt) + 1) :][: length * 4]
        case _:
            spoilt[place:place] = bytes([random.choice(HEADS)]) * length


def _answer(case: bytes) -> str:
    """Return what the codec answered, as a word to count."""
    try:
        peek_id(case)
        message = decode(case)
    except CodecError as error:
        if not error.field.startswith("$"):
            raise BrokenPromiseError(f"no path in {error}: {case.hex()}") from error
        return f"refused at {'the whole' if error.field == '$' else 'a field'}"
    except Exception as error:
        raise BrokenPromiseError(f"another exception than CodecError: {case.hex()}") from error
    if decode(encode(message)) != message:
        raise BrokenPromiseError(f"a message that does not survive the wire: {case.hex()}")
    return "a message"


def _resident_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
