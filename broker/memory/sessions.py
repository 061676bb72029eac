"""What a broker keeps of its clients: sessions with their queues, found again by topic."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from broker.client import Publication


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message on its way to a client, until `expires_at` on the event loop's clock."""

    publication: Publication
    retained: bool
    expires_at: float | None

    def is_expired(self, now: float) -> bool:
        """Return whether it is too late for it."""
        return self.expires_at is not None and now >= self.expires_at


class ServedLink(Protocol):
    """A client's connection, as its broker sees it."""

    @property
    def client_id(self) -> str:
        """Whose it is."""

    @property
    def receive_maximum(self) -> int:
        """How many messages it takes before one is acknowledged."""

    @property
    def is_released(self) -> bool:
        """Whether it takes messages by now."""

    def next_number(self) -> int:
        """Return the next message's number on this connection."""

    def receive(self, delivery: Delivery, handled: Callable[[], None] | None) -> None:
        """Take a message; `handled` is called once it was."""

    def lose(self, reason: str) -> None:
        """Be lost, for `reason`."""


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """What the broker keeps of a client, connected or not."""

    client_id: str
    filters: dict[str, None] = field(default_factory=dict)
    queue: deque[Delivery] = field(default_factory=deque)
    unacknowledged: dict[int, Delivery] = field(default_factory=dict)
    link: ServedLink | None = None
    will: Publication | None = None
    will_timer: asyncio.TimerHandle | None = None
    expiry_timer: asyncio.TimerHandle | None = None

    def end(self) -> None:
        """Let the connection go; what was not acknowledged comes again first."""
        self.link = None
        self.queue.extendleft(reversed(self.unacknowledged.values()))
        self.unacknowledged.clear()

    def cancel_timers(self) -> None:
        """Let neither its will nor its end come."""
        for timer in (self.will_timer, self.expiry_timer):
            if timer is not None:
                timer.cancel()
        self.will_timer = self.expiry_timer = None


class Subscriptions:
    """Who has subscribed to what; a topic is looked up without asking every session."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Session]] = {}
        self._wildcards: dict[tuple[str, ...], dict[str, Session]] = {}

    def add(self, name: str, session: Session) -> None:
        """Let `session` hear the topics of the filter `name`."""
        session.filters[name] = None
        self._of(name)[session.client_id] = session

    def remove(self, session: Session) -> None:
        """Let `session` hear nothing more."""
        for name in session.filters:
            self._of(name).pop(session.client_id, None)

    def heard_by(self, topic: str) -> Iterator[Session]:
        """Yield each session that hears `topic`, once."""
        heard = dict(self._exact.get(topic, ()))
        for parts, sessions in self._wildcards.items():
            if _matches(parts, topic):
                heard.update(sessions)
        yield from heard.values()

    def _of(self, name: str) -> dict[str, Session]:
        parts = tuple(name.split("/"))
        if "+" in parts or "#" in parts:
            return self._wildcards.setdefault(parts, {})
        return self._exact.setdefault(name, {})


def matches(name: str, topic: str) -> bool:
    """Return whether `topic` is one of the filter `name`."""
    return _matches(tuple(name.split("/")), topic)


def _matches(parts: tuple[str, ...], topic: str) -> bool:
    levels = topic.split("/")
    for position, part in enumerate(parts):
        if part == "#":
            return True
        if position >= len(levels) or part not in ("+", levels[position]):
            return False
    return len(parts) == len(levels)
