"""Bytes become a message or a CodecError that names the field, and nothing else ever."""

import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import msgpack  # type: ignore[import-untyped] # ships no type information
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.codec import decode, encode, peek_id
from broker.errors import CodecError, MeshError, MessageTooLargeError, UnknownKindError
from broker.ids import Boot, ClusterName, Digest, Epoch, MessageId, Role, RunId
from broker.limits import MAX_DEPTH, MAX_INTEGER, MAX_ITEMS
from broker.messages import (
    CHAIN_START,
    COMMAND_KINDS,
    FACT_KINDS,
    LIVE_KINDS,
    MAX_MESSAGE,
    PRESENCE_KINDS,
    Ack,
    Command,
    Converge,
    Fact,
    Heartbeat,
    Live,
    LogLines,
    Message,
    Ping,
    Pong,
    Presence,
    Standing,
    Target,
    Trouble,
)
from tests.strategies import BODIES, bodies, commands, facts, lives, messages, presences

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
ID = MessageId("01a205a0-75c6-724d-a0de-719b51947d97")
RUN = RunId("01a205a0-75c6-724d-a0de-719b51947d98")
BOOT = Boot("7-0a1b2c3d")
CONVERGE = Converge(
    run=RUN, digest=Digest(f"sha256:{'ab' * 32}"), size=4096, url="https://bastion:8444/bundles/x"
)
COMMAND = Command(
    id=ID,
    at=NOW,
    target=Target(cluster=ClusterName("main"), role=Role("etcd")),
    epoch=Epoch(3),
    not_after=NOW + timedelta(minutes=5),
    body=CONVERGE,
)
ACK = replace(COMMAND, body=Ack(boot=BOOT, seq=12))
TROUBLE = Fact(id=ID, at=NOW, boot=BOOT, seq=1, prev=CHAIN_START, body=Trouble(what="disk", detail="full"))
STANDING = Standing(boot=BOOT, connection=1, epoch=Epoch(3), head_seq=0, head=CHAIN_START)
KINDS = {**COMMAND_KINDS, **FACT_KINDS, **PRESENCE_KINDS, **LIVE_KINDS}


def wire(message: Message) -> dict[str, object]:
    """Return what `message` is on the wire, for a test to spoil."""
    plain: dict[str, object] = msgpack.unpackb(encode(message), timestamp=3)
    return plain


def packed(value: object) -> bytes:
    payload: bytes = msgpack.packb(value, datetime=True)
    return payload


def refusal(payload: bytes) -> CodecError:
    with pytest.raises(CodecError) as refused:
        decode(payload)
    return refused.value


def survives(payload: bytes) -> None:
    """Decode `payload`; whatever is raised but a CodecError with a path fails the test."""
    field = "$"
    try:
        decode(payload)
    except CodecError as error:
        field = error.field
    assert field.startswith("$")


def spoiled(message: Message, **changes: object) -> bytes:
    return packed(wire(message) | changes)


def spoiled_body(message: Message, **changes: object) -> bytes:
    body = wire(message)["body"]
    assert isinstance(body, dict)
    return spoiled(message, body=body | changes)


class TestRoundTrip:
    """What goes in comes out."""

    @given(messages())
    def test_any_message_comes_back_equal(self, message: Message) -> None:
        """Every message of the protocol survives the wire, and equal messages have equal bytes."""
        payload = encode(message)
        assert decode(payload) == message
        assert encode(decode(payload)) == payload

    @pytest.mark.parametrize("kind", sorted(KINDS))
    def test_every_kind_comes_back_as_its_class(self, kind: str) -> None:
        """Each registered kind is written under its own name and read as its own class."""
        families = (
            (COMMAND_KINDS, commands),
            (FACT_KINDS, facts),
            (PRESENCE_KINDS, presences),
            (LIVE_KINDS, lives),
        )
        made = next(family for kinds, family in families if kind in kinds)

        @settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
        @given(made(BODIES[KINDS[kind]]))
        def check(message: Message) -> None:
            assert wire(message)["kind"] == kind
            assert type(decode(encode(message)).body) is KINDS[kind]

        check()

    def test_kinds_are_distinct_over_all_families(self) -> None:
        """No kind is in two registries, where the first would hide the second, and no class has two kinds."""
        families = (COMMAND_KINDS, FACT_KINDS, PRESENCE_KINDS, LIVE_KINDS)
        assert len(KINDS) == sum(len(kinds) for kinds in families)
        assert len(set(KINDS.values())) == len(KINDS)

    def test_the_wire_form_of_a_command_is_fixed(self) -> None:
        """The order and the names of the envelope's fields are the protocol's, whatever a class's name."""
        assert list(wire(ACK)) == ["kind", "id", "at", "caused_by", "target", "epoch", "not_after", "body"]
        assert wire(ACK) == {
            "kind": "ack.v1",
            "id": ID,
            "at": NOW,
            "caused_by": None,
            "target": {"cluster": "main", "role": "etcd", "instance": None, "boot": None},
            "epoch": 3,
            "not_after": NOW + timedelta(minutes=5),
            "body": {"boot": BOOT, "seq": 12},
        }

    def test_the_bytes_of_a_fact_are_fixed(self) -> None:
        """Facts are chained by the hash of their bytes, so a change of these is a change of the protocol."""
        assert encode(TROUBLE).hex() == (
            "88a46b696e64aa74726f75626c652e7631a26964d92430316132303561302d373563362d37323464"
            "2d613064652d373139623531393437643937a26174d7ff1d6f280069a43157a96361757365645f62"
            "79c0a4626f6f74aa372d3061316232633364a373657101a470726576c42"
            + "00" * 32
            + "0a4626f647982a477686174a46469736ba664657461696ca466756c6c"
        )

    def test_equal_counters_in_another_order_give_the_same_bytes(self) -> None:
        """A map's order is no part of its value, so it is no part of its bytes either."""
        first, second = (
            Presence(id=ID, at=NOW, body=Heartbeat(standing=replace(STANDING, counters=counters)))
            for counters in ({"a": 1, "b": 2}, MappingProxyType({"b": 2, "a": 1}))
        )
        assert encode(first) == encode(second)

    def test_fields_of_a_later_minor_version_are_ignored(self) -> None:
        """Within a version a newer peer may add fields, to the envelope and to the body."""
        body = wire(ACK)["body"]
        assert isinstance(body, dict)
        assert decode(spoiled(ACK, hue="blue", body=body | {"shade": [1, {"x": b"y"}]})) == ACK


class TestHostileBytes:
    """Whatever comes, the answer is a CodecError."""

    @given(st.binary(max_size=2000))
    def test_any_bytes_give_a_message_or_a_codec_error(self, payload: bytes) -> None:
        """Noise is refused by name, and no other exception gets out."""
        survives(payload)
        peek_id(payload)

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**64 - 1)
            | st.floats()
            | st.text(max_size=20)
            | st.binary(max_size=20)
            | st.datetimes(timezones=st.just(UTC)),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["kind", "id", "at", "body", "target", "boot", "seq"])
                    | st.text(max_size=5),
                    inner,
                    max_size=8,
                )
            ),
            max_leaves=20,
        ),
        st.sampled_from(sorted(KINDS)),
    )
    def test_any_structure_gives_a_message_or_a_codec_error(self, structure: object, kind: str) -> None:
        """Well-formed MessagePack of the wrong shape is refused by name."""
        for value in (structure, {"kind": kind, "id": ID, "at": NOW, "body": structure}):
            survives(packed(value))

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(messages(), st.data())
    def test_a_message_with_altered_bytes_gives_a_message_or_a_codec_error(
        self, message: Message, data: st.DataObject
    ) -> None:
        """Flipping, cutting and doubling bytes of a real message gets nothing else out of the codec."""
        payload = bytearray(encode(message))
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(payload) - 1))
            match data.draw(st.sampled_from(["set", "cut", "double", "drop"])):
                case "set":
                    payload[place] = data.draw(st.integers(0, 255))
                case "cut":
                    del payload[place + 1 :]
                case "double":
                    payload[place:place] = payload[: place + 1]
                case _ if len(payload) > 1:
                    del payload[place]
                case _:
                    continue
        survives(bytes(payload))

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            (b"", "not MessagePack"),
            (b"\xc1", "not MessagePack"),
            (encode(COMMAND)[:-1], "not MessagePack"),
            (encode(COMMAND) + b"\xc0", "extra data"),
            (b"\x91" * 2000, "not MessagePack"),
            (b"\x82\xa1a\x01\xa1a\x02", "twice"),
            (b"\x81\x90\x01", "map key"),
            (b"\x81\xc4\x01a\x01", "not a string"),
            (b"\xa2\xc3\x28", "utf-8"),
            (b"\xa3\xed\xa0\x80", "utf-8"),
            (b"\xd4\x05a", "extension type 5"),
            (b"\xc7\x05\xffabcde", "timestamp"),
            (b"\xd7\xff" + b"\xff" * 8, "nanoseconds"),
            (b"\xc7\x0c\xff\x00\x00\x00\x00\x7f" + b"\xff" * 7, "not MessagePack"),
            (b"\xdd\xff\xff\xff\xff", "max_array_len"),
            (b"\xdf\xff\xff\xff\xff", "max_map_len"),
            (b"\xdc\x04\x01" + b"\x01" * 1025, "max_array_len"),
            (b"\xde\x04\x01" + b"\xa0\x01" * 1025, "max_map_len"),
            (b"\xc6\xff\xff\xff\xff", "incomplete"),
            (b"\xdb\xff\xff\xff\xff", "incomplete"),
            (b"\xc9\xff\xff\xff\xff\x05", "max_ext_len"),
            (bytes(MAX_MESSAGE + 1), "over the limit"),
            (b"\xc0", "not a map"),
        ],
    )
    def test_malformed_bytes_are_refused_as_a_whole(self, payload: bytes, reason: str) -> None:
        """What can't be unpacked under the limits is refused at `$`, with the reason."""
        error = refusal(payload)
        assert error.field == "$"
        assert reason in error.reason

    @pytest.mark.parametrize(
        "payload",
        [
            b"\xdd\x00\x00\x04\x00" * 1023 + b"\x01",
            b"\xdf\x00\x00\x04\x00\xa0" * 1023 + b"\x01",
            b"\xdc\x04\x00" + (b"\xdc\x00\xff" + b"\x80" * 255) * 1015 + b"\x90" * 9,
            b"\xdc\x04\x00" + (b"\xdc\x00\xff" + b"\xcf" + b"\xff" * 8) * 1024,
            b"\xdb\x00\x03\xff\x00" + b"a" * (MAX_MESSAGE - 0x100),
        ],
        ids=["nested lists", "nested maps", "many maps", "cut integers", "one string"],
    )
    def test_memory_stays_bounded(self, payload: bytes) -> None:
        """The worst that fits into a message costs no more than 32 MiB for a moment."""
        tracemalloc.start()
        try:
            refusal(payload)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 32 * 1024 * 1024

    def test_an_error_never_repeats_a_hostile_payload(self) -> None:
        """Errors go to logs and journals, so what they quote is clipped."""
        huge = "x" * 100_000
        for payload in (
            spoiled(ACK, kind=huge),
            spoiled(ACK, id=huge),
            packed({"kind": "ack.v1", huge: 2**64 - 1}),
            spoiled_body(COMMAND, digest=huge),
        ):
            assert len(str(refusal(payload))) < 600


class TestFieldNames:
    """An error names the field, as a path from `$`."""

    @pytest.mark.parametrize(
        ("payload", "field"),
        [
            (packed({"id": ID}), "$.kind"),
            (spoiled(ACK, kind=3), "$.kind"),
            (spoiled(ACK, id="x"), "$.id"),
            (spoiled(ACK, caused_by="x"), "$.caused_by"),
            (spoiled(ACK, at="2026-01-01T00:00:00Z"), "$.at"),
            (spoiled(ACK, at=1.5), "$.at"),
            (spoiled(ACK, epoch=-1), "$.epoch"),
            (spoiled(ACK, epoch=2**63), "$.epoch"),
            (spoiled(ACK, not_after=None), "$.not_after"),
            (spoiled(ACK, target={"cluster": "main"}), "$.target.role"),
            (spoiled(ACK, target={"cluster": "main", "role": "a/b"}), "$.target.role"),
            (spoiled(ACK, body=None), "$.body"),
            (spoiled(ACK, body={"boot": BOOT}), "$.body.seq"),
            (spoiled_body(ACK, seq=True), "$.body.seq"),
            (spoiled_body(ACK, seq=1.0), "$.body.seq"),
            (spoiled_body(ACK, seq=float("nan")), "$.body.seq"),
            (spoiled_body(ACK, seq="1"), "$.body.seq"),
            (spoiled_body(ACK, boot="7"), "$.body.boot"),
            (spoiled_body(COMMAND, size=0), "$.body.size"),
            (spoiled_body(COMMAND, digest="sha256:AB"), "$.body.digest"),
            (spoiled_body(COMMAND, noop=1), "$.body.noop"),
            (spoiled_body(COMMAND, url=b"https://x"), "$.body.url"),
            (spoiled(TROUBLE, seq=0), "$.seq"),
            (spoiled(TROUBLE, prev=b"short"), "$.prev"),
            (spoiled(TROUBLE, prev="A" * 44), "$.prev"),
            (spoiled(TROUBLE, boot="../../etc"), "$.boot"),
        ],
    )
    def test_what_does_not_fit_is_named(self, payload: bytes, field: str) -> None:
        """The path leads to the field that is missing, of another type, or not of its form."""
        assert refusal(payload).field == field

    def test_a_field_deep_inside_is_named(self) -> None:
        """A path goes through maps and lists down to what is wrong."""
        lines = [{"at": NOW, "level": "info", "source": "x", "message": "y"}] * 2 + [
            {"at": NOW, "level": "loud"}
        ]
        payload = packed({"kind": "log_lines.v1", "id": ID, "at": NOW, "body": {"run": RUN, "lines": lines}})
        assert refusal(payload).field == "$.body.lines[2].level"

    def test_the_missing_body_is_named(self) -> None:
        """A message without a body says so."""
        whole = wire(ACK)
        del whole["body"]
        error = refusal(packed(whole))
        assert (error.field, error.reason) == ("$.body", "missing")

    def test_an_unknown_kind_is_an_error_of_its_own(self) -> None:
        """A kind of a later version is told apart from damage, so that it is dropped and counted as such."""
        error = refusal(spoiled(ACK, kind="drain.v7"))
        assert isinstance(error, UnknownKindError)
        assert error.kind == "drain.v7"
        assert isinstance(error, MeshError)

    @pytest.mark.parametrize(("key", "depth"), [("junk", MAX_DEPTH), ("body", MAX_DEPTH + 40)])
    def test_deep_nesting_is_refused_even_where_nobody_looks(self, key: str, depth: int) -> None:
        """A field that would be ignored still can't carry a structure that is deeper than any message."""
        nested: object = 1
        for _ in range(depth):
            nested = [nested]
        error = refusal(spoiled(ACK, **{key: nested}))
        assert error.field.startswith(f"$.{key}[0]")
        assert "deep" in error.reason

    def test_as_deep_as_allowed_is_allowed(self) -> None:
        """The bound on nesting is the one that is declared."""
        nested: object = 1
        for _ in range(MAX_DEPTH - 1):
            nested = [nested]
        assert decode(spoiled(ACK, junk=nested)) == ACK


class TestEncode:
    """Nothing is let out that could not be taken in."""

    def test_a_message_over_the_limit_is_refused(self) -> None:
        """The limit is the protocol's, in bytes of the encoded message."""
        room = (
            MAX_MESSAGE - len(encode(replace(TROUBLE, body=Trouble(what="", detail="x" * 70_000)))) + 70_000
        )
        assert len(encode(replace(TROUBLE, body=Trouble(what="", detail="x" * room)))) == MAX_MESSAGE
        with pytest.raises(MessageTooLargeError) as refused:
            encode(replace(TROUBLE, body=Trouble(what="", detail="x" * (room + 1))))
        assert (refused.value.size, refused.value.limit) == (MAX_MESSAGE + 1, MAX_MESSAGE)

    @pytest.mark.parametrize(
        ("message", "field"),
        [
            (replace(ACK, at=NOW.replace(tzinfo=None)), "$.at"),
            (replace(ACK, at=NOW.astimezone(timezone(timedelta(hours=2)))), "$.at"),
            (replace(ACK, epoch=Epoch(MAX_INTEGER + 1)), "$.epoch"),
            (replace(TROUBLE, body=Trouble(what="disk", detail="\udcff")), "$.body.detail"),
            (
                Presence(id=ID, at=NOW, body=Heartbeat(standing=replace(STANDING, counters={"\udcff": 1}))),
                "$.body.standing.counters",
            ),
            (Live(id=ID, at=NOW, body=LogLines(run=RUN, lines=(object(),) * 2)), "$"),  # type: ignore[arg-type]
            (Live(id=ID, at=NOW, body=LogLines(run=RUN, lines=((),) * 2000)), "$.body.lines"),  # type: ignore[arg-type]
            (
                Presence(id=ID, at=NOW, body=Heartbeat(standing=replace(STANDING, counters={1: 1}))),  # type: ignore[dict-item]
                "$.body.standing.counters",
            ),
        ],
    )
    def test_a_value_that_could_not_be_read_back_is_refused(self, message: Message, field: str) -> None:
        """A sender hears of its mistake at once, and by name; a reader would only drop the message."""
        with pytest.raises(CodecError) as refused:
            encode(message)
        assert refused.value.field == field

    def test_the_longest_list_goes_through(self) -> None:
        """As many items as are allowed are allowed in both directions."""
        standing = replace(STANDING, counters={f"{n:04}": n for n in range(MAX_ITEMS)})
        message = Presence(id=ID, at=NOW, body=Heartbeat(standing=standing))
        assert decode(encode(message)) == message

    def test_bytes_of_a_wire_time_before_1970_and_after_2106_come_back(self) -> None:
        """All three sizes of MessagePack's timestamp are read and written, to the microsecond."""
        for at in (
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2026, 1, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        ):
            pong = Live(id=ID, at=at, body=Pong(boot=BOOT, received_at=at))
            assert decode(encode(pong)) == pong


class TestPeek:
    """The id of what can't be believed, for the log."""

    def test_the_id_of_a_message_of_any_kind_is_found(self) -> None:
        """Even an unknown kind has an id to name."""
        assert peek_id(encode(COMMAND)) == ID
        assert peek_id(spoiled(ACK, kind="drain.v7")) == ID

    @pytest.mark.parametrize("payload", [b"", b"\xc0", packed({}), packed({"id": 3}), packed({"id": "x"})])
    def test_without_an_id_there_is_none(self, payload: bytes) -> None:
        """Peeking never raises."""
        assert peek_id(payload) is None


def test_every_kind_has_a_strategy() -> None:
    """A kind that is added without a strategy fails here, not by never being tried."""
    for kinds in (COMMAND_KINDS, FACT_KINDS, PRESENCE_KINDS, LIVE_KINDS):
        bodies(kinds).validate()
    assert set(BODIES) == set(KINDS.values())
    assert isinstance(Ping(), tuple(KINDS.values()))
