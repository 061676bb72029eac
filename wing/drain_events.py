"""Everything that can happen to a drain, and everything that it can want, as values.

Events are past tense and carry their time; effects are imperative. What a drain tells the mesh is an effect
too (`Tell`), and so is its end (`Finish`), after which it wants nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from broker.messages import OrderFact
from wing.cluster import Answer, Node, Pod
from wing.events import Done, Stopped, Unable

# Events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The drain's time has begun."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The Node was read, and after it the list of its pods."""

    at: datetime
    node: Node
    pods: Sequence[Pod]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookFailed:
    """Node or pods could not be read; `forbidden` if the API server answered, and said no."""

    at: datetime
    reason: str
    forbidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CordonSet:
    """The Node is cordoned in the drain's own name."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CordonFailed:
    """The Node could not be cordoned; `changed` if only because it was not as it had been read any more."""

    at: datetime
    reason: str
    forbidden: bool = False
    changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The API server answered the wish for the end of the pod `uid`."""

    at: datetime
    uid: str
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class CordonLifted:
    """The drain's own cordon is no more; `cordoned` if somebody else's has taken its place."""

    at: datetime
    cordoned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftFailed:
    """The cordon could not be lifted again, for `reason`."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """Nobody wants the drain any more."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Woken:
    """A time that was asked for has come."""

    at: datetime


DrainEvent = (
    Begun
    | Looked
    | LookFailed
    | CordonSet
    | CordonFailed
    | Answered
    | CordonLifted
    | LiftFailed
    | Withdrawn
    | Woken
)

# Effects ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Read the Node, and then the list of its pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCordon:
    """Cordon the Node in the drain's name, if it still is as `node`."""

    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftCordon:
    """Lift the cordon if it still is the drain's own, and try for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evict:
    """Ask for a pod's end through its budgets."""

    pod: Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Ask for a pod's end past its budgets."""

    pod: Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAt:
    """Come back at this time."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Tell a fact."""

    fact: OrderFact


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The drain is over, and this is how."""

    end: Done | Stopped | Unable


DrainEffect = Look | SetCordon | LiftCordon | Evict | Delete | WakeAt | Tell | Finish
