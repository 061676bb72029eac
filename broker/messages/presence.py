"""Whether a wing is there, and how it stands: what the broker retains for each instance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from broker import ids
from broker.ids import Boot, Digest, Epoch, MessageId, RunId
from broker.messages import checks
from broker.messages.checks import chain_hash, not_negative, positive
from broker.messages.facts import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The facts of one boot that no ack has covered: `first` to `last`, none missing between them."""

    boot: Boot
    first: int
    last: int

    def __post_init__(self) -> None:
        ids.boot(self.boot)
        positive("first", self.first)
        positive("last", self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the instance last proved, by a run that was no noop."""

    digest: Digest
    verdict: Verdict
    run: RunId
    at: datetime
    reason: str = ""

    def __post_init__(self) -> None:
        ids.digest(self.digest)
        ids.run_id(self.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What describes the host to a person."""

    hostname: str
    addresses: tuple[str, ...]
    os: str
    kernel: str
    puppet: str
    cores: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What births and heartbeats both say.

    `epoch` is the highest seen. `head_seq` and `head` are the number of the boot's newest fact and the
    SHA-256 of its payload (0 and zero bytes before the first): signed, they vouch for the chain so far.
    `counters` count what was dropped, by reason.
    """

    boot: Boot
    connection: int
    epoch: Epoch
    head_seq: int
    head: bytes
    observed: Observed | None = None
    running: RunId | None = None
    backlog: tuple[Backlog, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ids.boot(self.boot)
        positive("connection", self.connection)
        not_negative("epoch", self.epoch)
        not_negative("head_seq", self.head_seq)
        chain_hash("head", self.head)
        if self.running is not None:
            ids.run_id(self.running)


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A wing has connected."""

    standing: Standing
    version: str
    host: Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A wing is still there."""

    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """A wing has stopped in order."""

    boot: Boot
    connection: int

    def __post_init__(self) -> None:
        ids.boot(self.boot)
        positive("connection", self.connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The broker's word, prepared by the wing, that a connection has died."""

    boot: Boot
    connection: int

    def __post_init__(self) -> None:
        ids.boot(self.boot)
        positive("connection", self.connection)


PresenceBody = Birth | Heartbeat | Offline | Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Whether a wing is there, retained by the broker."""

    id: MessageId
    at: datetime
    caused_by: MessageId | None = None
    body: PresenceBody

    def __post_init__(self) -> None:
        checks.envelope(self.id, self.caused_by)
