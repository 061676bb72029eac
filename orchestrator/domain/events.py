"""Everything that can happen to an instance, as the orchestrator sees it: past tense, with its time."""

from dataclasses import dataclass
from datetime import datetime

from broker.ids import Digest, OrderId, RunId
from broker.messages import Pong, Presence
from orchestrator.domain.instance import NodeSeen
from orchestrator.domain.model import Enrolment, Order, Run
from orchestrator.domain.stream import Arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceHeard:
    """A signed word about presence came; `retained` says that it is not about now."""

    at: datetime
    presence: Presence
    retained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FactHeard:
    """A fact with a good signature came."""

    at: datetime
    arrived: Arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class PongHeard:
    """The answer to a ping came; `sent_at` is None if the ping is not known any more."""

    at: datetime
    said: datetime
    pong: Pong
    sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequested:
    """Someone, or reconciliation, wants a run."""

    at: datetime
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReleased:
    """A run's turn has come within its ticket."""

    at: datetime
    run: RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeld:
    """A run's turn has come, but somebody else is at work, or its role can't spare the instance now."""

    at: datetime
    run: RunId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequested:
    """Someone, or a rollout, wants a drain, an uncordon or a look at health."""

    at: datetime
    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """Someone wants a run, or an order, to end."""

    at: datetime
    work: RunId | OrderId
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredSet:
    """What the instance shall have was decided."""

    at: datetime
    digest: Digest
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Woke:
    """A deadline came."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHeard:
    """Kubernetes told of the instance's Node; `node` is None if there is none of its name."""

    at: datetime
    node: NodeSeen | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUnwatched:
    """Kubernetes can't be watched any more."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLost:
    """Our own connection is gone."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFound:
    """Our own connection stands again."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRevoked:
    """The instance was taken off the roster."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineReplaced:
    """Another machine, which signs with another key, has taken the instance's place."""

    at: datetime
    enrolment: Enrolment


InstanceEvent = (
    PresenceHeard
    | FactHeard
    | PongHeard
    | RunRequested
    | RunReleased
    | RunHeld
    | OrderRequested
    | CancelRequested
    | DesiredSet
    | Woke
    | NodeHeard
    | NodeUnwatched
    | BrokerLost
    | BrokerFound
    | InstanceRevoked
    | MachineReplaced
)
