"""Everything that the machine can want, as values: what to record, and what to do once it is recorded.

The shell writes all `Record`s of one event in one transaction, and only then carries out its `Act`s. So
nothing is told or begun that a crash could make the wing forget.
"""

from dataclasses import dataclass
from datetime import datetime

from broker.ids import Boot, Epoch, MessageId
from broker.messages import Backlog, Converge, Observed, OrderBody, Prefetch
from wing.entries import Entry, WorkId
from wing.facts import Recorded

# Records ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFact:
    """Keep a fact until it is acked; it is published once, right after."""

    fact: Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEntry:
    """Keep a command's new state in place of the one before."""

    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetEntry:
    """Forget an answered command, and the acked facts that were kept to repeat its answer."""

    command: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEpoch:
    """Keep the highest epoch seen."""

    epoch: Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordObserved:
    """Keep what the instance last proved."""

    observed: Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBan:
    """Remember that a piece of work which is not known yet was cancelled by the command `by`."""

    work: WorkId
    by: MessageId
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetBan:
    """Forget a ban that nothing can meet any more."""

    work: WorkId


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAck:
    """The facts of `boot` up to `seq` are stored elsewhere; keep only what may have to be repeated."""

    boot: Boot
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DropFacts:
    """Drop facts that nobody has acked, since there is no room for them."""

    span: Backlog


Record = (
    RecordFact
    | RecordEntry
    | ForgetEntry
    | RecordEpoch
    | RecordObserved
    | RecordBan
    | ForgetBan
    | RecordAck
    | DropFacts
)

# Acts -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConverge:
    """Fetch the bundle, run Puppet, and say how it ended."""

    command: MessageId
    converge: Converge


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPrefetch:
    """Fetch the bundle, and say how it ended."""

    command: MessageId
    prefetch: Prefetch


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """Drain, uncordon, or look at health; tell what happens meanwhile, and say how it ended."""

    command: MessageId
    order: OrderBody


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWork:
    """End a command's work, with every process of it."""

    command: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class SendBirth:
    """Describe yourself on the mesh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendHeartbeat:
    """Say at once how you stand, before the next heartbeat is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPong:
    """Answer the ping `ping`."""

    ping: MessageId
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SendFacts:
    """Publish recorded facts again, at most `limit` of them."""

    boot: Boot
    first: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAnswers:
    """Publish again what answered a command."""

    command: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectSlowly:
    """Stop (or resume) reconnecting fast, since two hosts evict each other."""

    slowly: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Warn:
    """Tell the host's own log what a person should see there too."""

    what: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Nothing is under way any more: say goodbye and end."""


Act = (
    RunConverge
    | RunPrefetch
    | RunOrder
    | StopWork
    | SendBirth
    | SendHeartbeat
    | SendPong
    | SendFacts
    | SendAnswers
    | ReconnectSlowly
    | Warn
    | Leave
)
Effect = Record | Act
