"""Everything that can happen to a rollout: past tense, with its time."""

from dataclasses import dataclass
from datetime import datetime

from broker.ids import InstanceId
from orchestrator.domain.model import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStarted:
    """The rollout has been written, and may begin."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkMoved:
    """A run or order of one of its steps shows a sign of progress."""

    at: datetime
    instance: InstanceId
    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressSeen:
    """A run of one of its steps says live how far it is; nothing of that is written."""

    at: datetime
    instance: InstanceId
    work: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkEnded:
    """A run or order of one of its steps has got its final answer."""

    at: datetime
    instance: InstanceId
    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceChanged:
    """Whether one of its instances is there, or what it proved, has changed."""

    at: datetime
    instance: InstanceId


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceGone:
    """One of its instances was taken off the roster."""

    at: datetime
    instance: InstanceId


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomChanged:
    """Somebody of its roles came, went or was given back: what waits may go on."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnected:
    """The broker is there again: what was silent without it begins anew to be."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Woke:
    """A deadline came."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseAsked:
    """Somebody wants nothing new to start."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeAsked:
    """Somebody has looked, and wants it to go on; `beyond` failed instances don't count as unavailable."""

    at: datetime
    by: str
    beyond: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortAsked:
    """Somebody wants it to end where it is."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAsked:
    """Somebody wants failed instances (none named: all) tried again."""

    at: datetime
    by: str
    instances: tuple[InstanceId, ...] = ()
    beyond: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipAsked:
    """Somebody wants it to go on without these instances."""

    at: datetime
    by: str
    instances: tuple[InstanceId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertAsked:
    """Somebody wants every instance that it changed back where it was."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachFound:
    """Its next move would have broken what must always hold, and was not made."""

    at: datetime
    law: str


RolloutEvent = (
    RolloutStarted
    | WorkMoved
    | ProgressSeen
    | WorkEnded
    | InstanceChanged
    | InstanceGone
    | RoomChanged
    | Reconnected
    | Woke
    | PauseAsked
    | ResumeAsked
    | AbortAsked
    | RetryAsked
    | SkipAsked
    | RevertAsked
    | BreachFound
)
