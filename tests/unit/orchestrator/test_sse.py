"""Server-sent events survive any cutting of their bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import sse
from orchestrator.sse import Decoder, SentEvent, encode

LINE = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)))
EVENTS = st.builds(
    SentEvent,
    content=st.lists(LINE, min_size=1).map("\n".join),
    name=st.sampled_from(["", "live"]),
    id=st.none() | st.integers(min_value=0).map(str),
)


@given(st.lists(EVENTS), st.integers(min_value=1, max_value=64))
def test_what_is_sent_is_what_is_read(events: list[SentEvent], size: int) -> None:
    """Whatever the pieces, the same events come out, in order; keep-alives between them don't show."""
    wire = sse.KEEP_ALIVE.join(encode(event) for event in events)
    decoder = Decoder()
    pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert [event for piece in pieces for event in decoder.feed(piece)] == events


def test_lines_may_end_as_on_windows() -> None:
    """The standard allows a carriage return before each line's end."""
    assert list(Decoder().feed(b"id: 1\r\ndata: x\r\n\r\n")) == [SentEvent(content="x", id="1")]


def test_fields_that_are_unknown_are_ignored() -> None:
    """As the standard says: `retry` and fields yet to be invented."""
    assert list(Decoder().feed(b"retry: 5\nnew: y\ndata:x\n\n")) == [SentEvent(content="x")]


def test_an_event_that_is_cut_short_is_none() -> None:
    """What a broken connection left unfinished comes again, so it must not count."""
    decoder = Decoder()
    assert list(decoder.feed(b"id: 1\ndata: x\n")) == []


def test_a_line_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never ends a line can't fill the reader's memory."""
    monkeypatch.setattr(sse, "MAX_LINE", 10)
    with pytest.raises(ValueError, match="longer than 10"):
        list(Decoder().feed(b"data: 0123456789"))
