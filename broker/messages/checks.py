"""Checks that several kinds of message share; a message that fails one can't be made.

Each raises a ValueError whose text begins with the field's name, so that the codec can give its path.
"""

import re
from typing import Final

from broker.ids import MessageId, message_id

HASH_BYTES: Final = 32

_OWNER: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def positive(name: str, value: int) -> None:
    """Raise ValueError, naming the field, unless `value` is at least 1."""
    if value < 1:
        raise ValueError(f"{name}: {value} is less than 1")


def not_negative(name: str, value: int) -> None:
    """Raise ValueError, naming the field, if `value` is less than 0."""
    if value < 0:
        raise ValueError(f"{name}: {value} is less than 0")


def chain_hash(name: str, value: bytes) -> None:
    """Raise ValueError, naming the field, unless `value` has as many bytes as a SHA-256."""
    if len(value) != HASH_BYTES:
        raise ValueError(f"{name}: {len(value)} bytes, not {HASH_BYTES}")


def file_name(name: str, value: str) -> None:
    """Raise ValueError, naming the field, unless `value` can be a file's name wherever it is kept."""
    if _FILE_NAME.fullmatch(value) is None:
        raise ValueError(f"{name}: {value[:80]!r} is not a plain file name")


def owner(name: str, value: str) -> None:
    """Raise ValueError, naming the field, unless `value` can name who has cordoned a Node."""
    if _OWNER.fullmatch(value) is None:
        raise ValueError(f"{name}: {value[:80]!r} is no owner, such as r-7")


def envelope(own: MessageId, caused_by: MessageId | None) -> None:
    """Raise InvalidIdError unless a message's own id, and that of what it answers if any, are UUIDs."""
    message_id(own)
    if caused_by is not None:
        message_id(caused_by, field="caused_by")
