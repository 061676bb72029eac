"""Well-formed is not harmless: what no message may hold, wherever in it, known field or not.

An integer of 65 bits unpacks well and fails in the journal; a list in a list in a list fails nowhere until
something walks down it; a text with half a character can't be written back. They are looked for once, in
both directions, before a class is looked at.
"""

from collections.abc import Callable, Mapping, Sequence, Sized
from datetime import datetime, timedelta
from typing import Any, Final

from broker.errors import CodecError

MAX_ITEMS: Final = 1024
MAX_DEPTH: Final = 16
MAX_INTEGER: Final = 2**63 - 1
FIELD_LENGTH: Final = 200

_NO_OFFSET: Final = timedelta(0)

_Fault = tuple[str, str]


def check(wire: Mapping[str, object]) -> None:
    """Refuse what is well-formed MessagePack but more than any message or journal may hold."""
    if (fault := _in_map(wire, MAX_DEPTH)) is not None:
        path, reason = fault
        raise CodecError(field=f"${path}"[:FIELD_LENGTH], reason=reason)


def _in_map(value: Mapping[Any, object], depth: int) -> _Fault | None:
    if (fault := _in_size(value, depth)) is not None:
        return fault
    for key, item in value.items():
        if not isinstance(key, str):
            return "", f"a key that is {type(key).__name__}, not a string"
        if not key.isascii() and (fault := _in_text(key, depth)) is not None:
            return fault
        # A table instead of a match, and its look-up here: this runs for every value of every message.
        look = _IN.get(type(item))
        if look is not None and (fault := look(item, depth - 1)) is not None:
            return f".{key}{fault[0]}", fault[1]
    return None


def _in_list(value: Sequence[object], depth: int) -> _Fault | None:
    if (fault := _in_size(value, depth)) is not None:
        return fault
    for index, item in enumerate(value):
        look = _IN.get(type(item))
        if look is not None and (fault := look(item, depth - 1)) is not None:
            return f"[{index}]{fault[0]}", fault[1]
    return None


def _in_size(value: Sized, depth: int) -> _Fault | None:
    if depth == 0:
        return "", f"nested over {MAX_DEPTH} deep"
    return ("", f"{len(value)} items are over the limit of {MAX_ITEMS}") if len(value) > MAX_ITEMS else None


def _in_integer(value: int, _depth: int) -> _Fault | None:
    return None if -MAX_INTEGER <= value <= MAX_INTEGER else ("", "an integer of more than 64 bits")


def _in_time(value: datetime, _depth: int) -> _Fault | None:
    return None if value.utcoffset() == _NO_OFFSET else ("", "a time that is not aware UTC")


def _in_text(value: str, _depth: int) -> _Fault | None:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return "", f"text that is no Unicode: {error.reason}"
    return None


_IN: Final[Mapping[type, Callable[[Any, int], _Fault | None]]] = {
    dict: _in_map,
    list: _in_list,
    tuple: _in_list,
    int: _in_integer,
    datetime: _in_time,
    str: _in_text,
}
