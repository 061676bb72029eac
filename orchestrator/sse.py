"""Server-sent events, both ways, without a socket: what the API writes and what its client reads.

The format is that of the HTML standard, section 9.2: lines of `field: value`, an empty line ends an
event, a line that begins with a colon is a comment. Only an event with an `id` moves the place from which
a broken connection is taken up again, which is why live lines carry none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

KEEP_ALIVE: Final = b": still here\n\n"
LIVE: Final = "live"
MAX_LINE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEvent:
    """One event of a stream: `name` is empty for the default, `id` None for what can't be resumed from."""

    content: str
    name: str = ""
    id: str | None = None


def encode(event: SentEvent) -> bytes:
    """Return `event` as it goes over the wire."""
    lines = [] if event.id is None else [f"id: {event.id}"]
    if event.name:
        lines.append(f"event: {event.name}")
    lines += [f"data: {line}" for line in event.content.split("\n")]
    return ("\n".join(lines) + "\n\n").encode()


class Decoder:
    """Puts events together from bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._pending = b""
        self._content: list[str] = []
        self._name = ""
        self._id: str | None = None

    def feed(self, piece: bytes) -> Iterator[SentEvent]:
        """Yield the events that `piece` completes; ValueError for a line that never ends."""
        *lines, self._pending = (self._pending + piece).split(b"\n")
        if len(self._pending) > MAX_LINE:
            raise ValueError(f"a line of the stream is longer than {MAX_LINE} bytes")
        for line in lines:
            event = self._line(line.rstrip(b"\r").decode())
            if event is not None:
                yield event

    def _line(self, line: str) -> SentEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._content.append(value)
            case "event":
                self._name = value
            case "id":
                self._id = value
            case _:
                return None  # a comment, or a field that the standard says to ignore
        return None

    def _dispatch(self) -> SentEvent | None:
        event = SentEvent(content="\n".join(self._content), name=self._name, id=self._id)
        complete = bool(self._content)
        self._content, self._name, self._id = [], "", None
        return event if complete else None
