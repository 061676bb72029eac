"""The port through which both sides reach the mesh, whatever carries it.

A MeshClient promises little on purpose, since the broker is a lossy cache: a publication is handed over
at most when there is room and a connection, and may be lost all the same; a message may come late, twice
or in another order. What must not be lost is numbered, answered and sent again by the layers above.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """An Ed25519 signature (64 bytes) over a payload's exact bytes, and the id of the key that made it."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What to publish: `expiry_s` is MQTT's message expiry, in seconds."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    signature: Signature | None = None
    expiry_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A connection stands, every filter is subscribed; `connection` counts from 1 in this process."""

    connection: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The connection is gone, or an attempt to make one failed; the client goes on trying."""

    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message has come; `retained` says that the broker had kept it, so it is not live."""

    topic: str
    payload: bytes
    signature: Signature | None
    retained: bool
    at: datetime


MeshEvent = Connected | Disconnected | Received
Will = Callable[[int], Publication]


class MeshClient(Protocol):
    """One identity's place on the mesh.

    Used as an asynchronous context manager: entering starts to connect and returns at once, leaving
    disconnects in order (so that no will is published) after what is queued has been handed over.
    A client made with a `Will` asks it for the testament of each connection, by its number.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def publish(self, publication: Publication) -> None:
        """Queue `publication`; waits while the queue is full (back-pressure), raises MessageTooLargeError."""

    async def subscribe(self, *filters: str) -> None:
        """Subscribe now and after each reconnection; the filters add to earlier ones."""

    def events(self) -> AsyncIterator[MeshEvent]:
        """Yield what happens, in order; one consumer at a time. Ends when the client is left."""

    def reconnect_slowly(self, *, slowly: bool) -> None:
        """Wait minutes between attempts: two hosts hold this identity, and would evict each other."""
