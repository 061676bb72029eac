"""Bytes from the mesh become a message or a `CodecError`, whoever sent them.

A payload may be cut short, altered, or made by someone who wants this process to fail or to swallow its
memory. So it is measured before it is read, unpacked under limits, walked once for what no message may
hold (deep nesting, integers that no journal can store), and only then fitted to its class. Both directions
obey the same limits: what `encode` lets out, `decode` takes in, as an equal message.

On the wire a message is one MessagePack map, in this order: `kind`, `id`, `at`, `caused_by`, then `target`,
`epoch`, `not_after` for a command or `boot`, `seq`, `prev` for a fact, then `body`. Times are MessagePack's
timestamp extension, in UTC, to the microsecond. Equal messages give equal bytes.

Memory: the unpacker reserves a list of its announced length before it has read it, and nests at most 1,024
deep by itself. With `MAX_ITEMS` that is 8 MiB, and all that 256 KiB can hold another 24 MiB at the worst.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NoReturn, TypeVar

import msgpack  # type: ignore[import-untyped] # ships no type information
import msgspec

from broker.errors import CodecError, InvalidIdError, MessageTooLargeError, UnknownKindError
from broker.ids import Boot, Epoch, MessageId, message_id
from broker.limits import FIELD_LENGTH, MAX_ITEMS, check
from broker.messages import (
    COMMAND_KINDS,
    FACT_KINDS,
    LIVE_KINDS,
    MAX_MESSAGE,
    PRESENCE_KINDS,
    Command,
    CommandBody,
    Fact,
    FactBody,
    Live,
    LiveBody,
    Message,
    Presence,
    PresenceBody,
    Target,
)

_REASON_LENGTH: Final = 300
_TIMESTAMP_BYTES: Final = 12
_AS_UTC_DATETIME: Final = 3
_OWN_TYPES: Final = (datetime, bytes)
_MISSING: Final = re.compile(r"missing required field `(\w+)`")

_KIND_OF: Final[Mapping[type, str]] = {
    body: kind
    for kinds in (COMMAND_KINDS, FACT_KINDS, PRESENCE_KINDS, LIVE_KINDS)
    for kind, body in kinds.items()
}

_T = TypeVar("_T")


def encode(message: Message) -> bytes:
    """Return `message` as the bytes to publish and to sign.

    Raises MessageTooLargeError over the protocol's limit, and CodecError, naming the field, for a value
    that could not be read back: a time that is not aware UTC, an integer of more than 64 bits, text with lone
    surrogates, more than `MAX_ITEMS` in one list or map.
    """
    wire = {"kind": _KIND_OF[type(message.body)], **_plain(message)}
    wire["body"] = wire.pop("body")
    check(wire)
    payload: bytes = msgpack.packb(wire, datetime=True)
    if len(payload) > MAX_MESSAGE:
        raise MessageTooLargeError(size=len(payload), limit=MAX_MESSAGE)
    return payload


def decode(payload: bytes) -> Message:
    """Return the message that `payload` holds.

    Raises UnknownKindError for a kind of another version, and CodecError, with the path of the field, for
    everything else that is wrong. Nothing else is raised, whatever the bytes.
    """
    wire = _unpack(payload)
    if not isinstance(wire, dict):
        _refuse("$", "not a map")
    check(wire)
    kind = wire.get("kind")
    if not isinstance(kind, str):
        _refuse("$.kind", "missing, or not a string")
    try:
        return _message(kind, wire)
    except ValueError as error:
        raise _named("$", error) from error


def peek_id(payload: bytes) -> MessageId | None:
    """Return the id that `payload` claims, to name in a log what could not be believed; never raises."""
    try:
        wire = _unpack(payload)
        return message_id(wire["id"]) if isinstance(wire, dict) else None
    except (CodecError, InvalidIdError, KeyError, TypeError):
        return None


# Values to plain data -----------------------------------------------------------------------------


def _plain(message: Message) -> dict[str, object]:
    try:
        plain: dict[str, object] = msgspec.to_builtins(
            message, builtin_types=_OWN_TYPES, order="deterministic", enc_hook=_mapping
        )
    except TypeError as error:
        raise CodecError(field="$", reason=str(error)[:_REASON_LENGTH]) from error
    return plain


def _mapping(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form on the wire")


# Bytes to plain data ------------------------------------------------------------------------------


def _unpack(payload: bytes) -> object:
    if len(payload) > MAX_MESSAGE:
        _refuse("$", f"{len(payload)} bytes are over the limit of {MAX_MESSAGE}")
    try:
        wire: object = msgpack.unpackb(
            payload,
            timestamp=_AS_UTC_DATETIME,
            strict_map_key=True,
            object_pairs_hook=_unambiguous,
            ext_hook=_no_extension,
            max_str_len=MAX_MESSAGE,
            max_bin_len=MAX_MESSAGE,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
            max_ext_len=_TIMESTAMP_BYTES,
        )
    except (ValueError, OverflowError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise CodecError(field="$", reason=f"not MessagePack: {reason[:_REASON_LENGTH]}") from error
    return wire


def _unambiguous(pairs: list[tuple[object, object]]) -> dict[object, object]:
    """Return `pairs` as a map; two readers must not see two values under one key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice in one map")
    return found


def _no_extension(code: int, content: bytes) -> NoReturn:
    raise ValueError(f"extension type {code} with {len(content)} bytes")


# Plain data to values -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Envelope:
    id: MessageId
    at: datetime
    caused_by: MessageId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _CommandEnvelope(_Envelope):
    target: Target
    epoch: Epoch
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _FactEnvelope(_Envelope):
    boot: Boot
    seq: int
    prev: bytes


def _message(kind: str, wire: dict[str, object]) -> Message:
    if (command := COMMAND_KINDS.get(kind)) is not None:
        return _command(_fit(wire, _CommandEnvelope, "$"), _body(wire, command))
    if (fact := FACT_KINDS.get(kind)) is not None:
        return _fact(_fit(wire, _FactEnvelope, "$"), _body(wire, fact))
    if (presence := PRESENCE_KINDS.get(kind)) is not None:
        return _presence(_fit(wire, _Envelope, "$"), _body(wire, presence))
    if (live := LIVE_KINDS.get(kind)) is not None:
        return _live(_fit(wire, _Envelope, "$"), _body(wire, live))
    raise UnknownKindError(kind=kind)


def _command(envelope: _CommandEnvelope, body: CommandBody) -> Command:
    return Command(
        id=envelope.id,
        at=envelope.at,
        caused_by=envelope.caused_by,
        target=envelope.target,
        epoch=envelope.epoch,
        not_after=envelope.not_after,
        body=body,
    )


def _fact(envelope: _FactEnvelope, body: FactBody) -> Fact:
    return Fact(
        id=envelope.id,
        at=envelope.at,
        caused_by=envelope.caused_by,
        boot=envelope.boot,
        seq=envelope.seq,
        prev=envelope.prev,
        body=body,
    )


def _presence(envelope: _Envelope, body: PresenceBody) -> Presence:
    return Presence(id=envelope.id, at=envelope.at, caused_by=envelope.caused_by, body=body)


def _live(envelope: _Envelope, body: LiveBody) -> Live:
    return Live(id=envelope.id, at=envelope.at, caused_by=envelope.caused_by, body=body)


def _body(wire: dict[str, object], into: type[_T]) -> _T:
    if "body" not in wire:
        _refuse("$.body", "missing")
    return _fit(wire["body"], into, "$.body")


def _fit(value: object, into: type[_T], path: str) -> _T:
    try:
        return msgspec.convert(value, into, builtin_types=_OWN_TYPES)
    except msgspec.ValidationError as error:
        raise _located(path, error) from error


def _located(path: str, error: msgspec.ValidationError) -> CodecError:
    """Return `error` with the path that msgspec gives in its text, put behind `path`."""
    reason, _, inner = str(error).rpartition(" - at `$")
    reason, where = (reason, path + inner.removesuffix("`")) if reason else (str(error), path)
    if isinstance(error.__cause__, ValueError):
        return _named(where, error.__cause__)
    if (missing := _MISSING.search(reason)) is not None:
        return _error(f"{where}.{missing[1]}", "missing")
    return _error(where, reason)


def _named(path: str, error: ValueError) -> CodecError:
    """Return a message class's own refusal, whose text begins with the name of the field."""
    name, _, reason = str(error).partition(": ")
    return _error(f"{path}.{name}", reason)


def _refuse(path: str, reason: str) -> NoReturn:
    raise _error(path, reason)


def _error(path: str, reason: str) -> CodecError:
    return CodecError(field=path[:FIELD_LENGTH], reason=reason[:_REASON_LENGTH])
