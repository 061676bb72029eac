"""Everything that can happen to a wing, as the machine is told it: closed, past tense, with the time inside.

What comes from the mesh has been checked at the edge (`wing.inbox`): a `CommandReceived` was signed by an
orchestrator that this wing was enrolled with, so the machine never sees unauthenticated content.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from broker.ids import Boot, MessageId
from broker.messages import Backlog, Command, OrderFact, RunResult


class Drop(Enum):
    """Why something from the mesh went no further; each is a counter of births and heartbeats."""

    UNSIGNED = "unsigned"
    MALFORMED = "malformed"
    UNKNOWN_KIND = "unknown kind"
    RETAINED = "retained command"
    NOT_A_COMMAND = "not a command"
    REFUSED_CONTROL = "refused control"
    TOO_MANY_REJECTIONS = "rejection not told"
    UNRECORDED = "not recorded"
    FOREIGN_PRESENCE = "forged presence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of a run or an order, told apart from a later one of its number.

    `start` is in clock ticks since the host's boot, which `host_boot` names: numbers begin anew with each.
    """

    pid: int
    group: int
    start: int
    host_boot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A run's log or report, whole."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The run came to its end; its result says what it proved."""

    result: RunResult
    papers: tuple[Paper, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The bundle is on the host, verified and unpacked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The order was carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The work was ended because someone wanted so; `result` is the account of what it had done."""

    result: RunResult | None = None
    papers: tuple[Paper, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unable:
    """The work could not be done, for `reason`; Puppet has not run."""

    reason: str


End = Completed | Fetched | Done | Stopped | Unable


@dataclass(frozen=True, slots=True, kw_only=True)
class WingStarted:
    """The wing is up in a new boot; what an earlier one left running has been ended (`ended`, in words)."""

    at: datetime
    ended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReceived:
    """An orchestrator's command, its signature verified."""

    at: datetime
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageReceived:
    """Something that no orchestrator vouches for, or that is no command; `id` if it claims one."""

    at: datetime
    why: Drop
    detail: str
    id: MessageId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignBirthSeen:
    """Another host said a birth or heartbeat in our identity (see `broker.presence.Mirror`)."""

    at: datetime
    boot: Boot


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignStopSeen:
    """A boot that is not ours, of another host or of our past, was stopped in order."""

    at: datetime
    boot: Boot


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The mesh is there; `connection` counts from 1 in this process."""

    at: datetime
    connection: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The mesh is gone."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStarted:
    """A run or an order has a process, which must not outlive its wing unseen."""

    at: datetime
    command: MessageId
    process: Process


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWaited:
    """A started run waits for someone else, whom `reason` names."""

    at: datetime
    command: MessageId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTold:
    """Something happened in the course of an order, as `fact` says."""

    at: datetime
    command: MessageId
    fact: OrderFact


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkEnded:
    """A command's work has ended, and none of its processes is left."""

    at: datetime
    command: MessageId
    end: End


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalMeasured:
    """The journal is over its bound: `surplus` can go, and `full` says that nothing more can."""

    at: datetime
    surplus: tuple[Backlog, ...] = ()
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFailed:
    """The journal can't be written (`reason`: disk full, read-only); the last event was not recorded."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRecovered:
    """The journal can be written again."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """Time has passed, and nothing else."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested:
    """The wing shall end in order."""

    at: datetime


Event = (
    WingStarted
    | CommandReceived
    | GarbageReceived
    | ForeignBirthSeen
    | ForeignStopSeen
    | Connected
    | Disconnected
    | ProcessStarted
    | RunWaited
    | OrderTold
    | WorkEnded
    | JournalMeasured
    | JournalFailed
    | JournalRecovered
    | Ticked
    | StopRequested
)
