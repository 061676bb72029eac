"""What goes into a journal, a batch at a time, and what comes out of it at a start: all that is open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from broker.ids import Boot, Digest, Epoch, InstanceId, MessageId, OrderId, Role, RolloutId, RunId
from broker.messages import RunChunk
from orchestrator.domain.instance import Instance
from orchestrator.domain.joining import JoinToken
from orchestrator.domain.model import Bundle, Delivery, Event, Leadership, Order, Papers, Run, Ticket
from orchestrator.domain.rollout.model import Rollout, Slot, Step
from orchestrator.domain.stream import Arrived, Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """An event with its place in the tail."""

    cursor: int
    event: Event


@dataclass(slots=True, kw_only=True)
class Batch:
    """Everything that one burst of events changes; written in one transaction.

    `epoch` is that of the leader who writes (None: whoever leads): if another leads by then, nothing is
    written. A rollout's steps are written one by one, so those in `rollouts` don't count.
    """

    epoch: Epoch | None = None

    instances: dict[InstanceId, Instance] = field(default_factory=dict)
    revoked: set[InstanceId] = field(default_factory=set)
    role_desired: dict[Role, Digest] = field(default_factory=dict)
    leadership: Leadership | None = None
    tickets: list[Ticket] = field(default_factory=list)
    runs: dict[RunId, Run] = field(default_factory=dict)
    orders: dict[OrderId, Order] = field(default_factory=dict)
    rollouts: dict[RolloutId, Rollout] = field(default_factory=dict)
    steps: dict[tuple[RolloutId, InstanceId], Step] = field(default_factory=dict)
    slots: dict[InstanceId, Slot] = field(default_factory=dict)
    freed: set[InstanceId] = field(default_factory=set)
    deliveries: dict[MessageId, Delivery] = field(default_factory=dict)
    dropped: set[MessageId] = field(default_factory=set)
    streams: dict[tuple[InstanceId, Boot], Stream] = field(default_factory=dict)
    held: list[tuple[InstanceId, Arrived]] = field(default_factory=list)
    chunks: list[RunChunk] = field(default_factory=list)
    papers: list[Papers] = field(default_factory=list)
    bundles: list[Bundle] = field(default_factory=list)
    tokens: dict[str, JoinToken] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    events: list[Numbered] = field(default_factory=list)

    def is_empty(self) -> bool:
        """Tell whether there is nothing to write."""
        return not any(getattr(self, name) for name in self.__slots__ if name != "epoch")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFact:
    """A stored fact that stands behind a gap, as its bytes."""

    instance: InstanceId
    boot: Boot
    seq: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """All that the service works with; runs, orders, rollouts and tickets only where something is open.

    `rollouts` have their steps, `tokens` are all that are kept. `newest_rollout` and `newest_drain` are the
    highest numbers that were given.
    """

    leadership: Leadership
    instances: Sequence[Instance]
    former: Sequence[Instance]
    streams: Sequence[tuple[InstanceId, Stream]]
    held: Sequence[HeldFact]
    runs: Sequence[Run]
    deliveries: Sequence[Delivery]
    tickets: Sequence[Ticket]
    bundles: Sequence[Bundle]
    role_desired: Mapping[Role, Digest]
    papers_due: Sequence[Run]
    cursor: int
    orders: Sequence[Order] = ()
    rollouts: Sequence[Rollout] = ()
    slots: Sequence[Slot] = ()
    tokens: Sequence[JoinToken] = ()
    newest_rollout: int = 0
    newest_drain: int = 0
