"""One instance, as far as the orchestrator knows it, and the turn in which an event changes it.

Everything the orchestrator decides about an instance is decided here and in the modules beside it, from this
value alone; so each hard case is a test without a loop or a socket. A `Turn` gathers what one event changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

from broker.ids import Boot, ClusterName, Digest, Epoch, MessageId, OrderId, RunId
from broker.messages import Command, CommandBody, Host, Observed, Standing, Target
from broker.presence import CONFLICT_MEMORY, ONLINE_FOR, Sighting
from orchestrator.domain.effects import DropDelivery, Effect, Emit, Publish, SaveDelivery, SaveOrder, SaveRun
from orchestrator.domain.model import Cordon, Delivery, Enrolment, Event, Order, Run, Work
from orchestrator.domain.stream import Stream
from orchestrator.domain.views import PresenceState

MOMENT: Final = timedelta(milliseconds=1)
CONTROL_FOR: Final = timedelta(seconds=60)
MOST_CORRECTION_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A replay that was asked for and has not been filled."""

    boot: Boot
    first: int
    last: int
    at: datetime

    @property
    def size(self) -> int:
        """How many facts were asked for."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """How far the wing's clock is ahead of ours, in seconds; the round trip bounds the error."""

    seconds: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The presence that was last told in the tail, and since when it is so."""

    state: PresenceState = PresenceState.UNKNOWN
    boot: Boot | None = None
    since: datetime | None = None
    disputed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """An instance's Kubernetes Node, as the API server last told of it.

    `owner` is whom its annotation names as who has cordoned it, which means something only while it is
    `unschedulable`. `reason` is why it is not `ready`; `unwatched_at` says since when nothing is told.
    """

    name: str
    ready: bool
    unschedulable: bool
    owner: str | None
    seen_at: datetime
    reason: str = ""
    unwatched_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An enrolled instance: its intent, what it proved, what was heard of it, and what is under way.

    `runs`, `orders` and `deliveries` are those without a final answer. `ever_ran` says that the journal had a
    run for it since its enrolment; `tried` is the bundle that it was last taken to without anyone asking.
    `cordon` is ours, on its Node. Never written are `node`, that Node where Kubernetes can be watched, and
    `lifted`, in whose name our last cordon was: Kubernetes may tell of that one later than its wing did.
    """

    enrolment: Enrolment
    desired: Digest | None = None
    observed: Observed | None = None
    ever_ran: bool = False
    sighting: Sighting = field(default_factory=Sighting)
    shown: Shown = field(default_factory=Shown)
    standing: Standing | None = None
    version: str | None = None
    host: Host | None = None
    streams: Mapping[Boot, Stream] = field(default_factory=dict)
    runs: Mapping[RunId, Run] = field(default_factory=dict)
    orders: Mapping[OrderId, Order] = field(default_factory=dict)
    cordon: Cordon | None = None
    lifted: str | None = None
    node: NodeSeen | None = None
    tried: Digest | None = None
    deliveries: Mapping[MessageId, Delivery] = field(default_factory=dict)
    asked: Asked | None = None
    ask_at: datetime | None = None
    acked_at: datetime | None = None
    to_ack: frozenset[Boot] = frozenset()
    offset: Offset | None = None
    trouble: str = ""

    def may_be_sent_to(self, at: datetime) -> bool:
        """Tell whether exactly one host is there to take a command."""
        return self.sighting.is_online(at)

    @property
    def boot(self) -> Boot | None:
        """The boot that was last heard, None before the first."""
        current = self.sighting.current
        return None if current is None else current.boot

    def work(self) -> tuple[Work, ...]:
        """Return the runs and orders without a final answer, runs first."""
        return (*self.runs.values(), *self.orders.values())

    def presence_changes_at(self) -> datetime | None:
        """Return when silence alone changes what is known of the presence."""
        current, turns = self.sighting.current, self.sighting.turns
        if turns is not None and self.shown.disputed:
            return turns.at + CONFLICT_MEMORY + MOMENT
        if current is None or self.shown.state is not PresenceState.ONLINE:
            return None
        return current.alive_at + ONLINE_FOR + MOMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an instance can't know by itself: the cluster, the fence, and what its role shall have.

    `may_reconcile` is False while the journal is doubted. `replay_room` is how many more facts may be asked
    for, of all wings together. `new_id` injects ids.
    """

    cluster: ClusterName
    epoch: Epoch
    role_desired: Digest | None
    may_reconcile: bool
    replay_room: int
    new_id: Callable[[], MessageId]


@dataclass(slots=True, kw_only=True)
class Turn:
    """One event's way through an instance: the instance as it becomes, and the effects so far."""

    instance: Instance
    at: datetime
    around: Surroundings
    effects: list[Effect] = field(default_factory=list)

    def become(self, **changes: Any) -> None:
        """Change the instance; what is so already costs no copy of it."""
        known = self.instance
        if any(getattr(known, name) is not value for name, value in changes.items()):
            self.instance = replace(known, **changes)

    def then(self, effect: Effect) -> None:
        """Add an effect."""
        self.effects.append(effect)

    def emit(
        self, kind: str, *, boot: Boot | None = None, caused_by: MessageId | None = None, **body: Any
    ) -> None:
        """Add a line of the orchestrator's own to the tail."""
        enrolment = self.instance.enrolment
        event = Event(
            id=self.around.new_id(),
            kind=kind,
            at=self.at,
            instance=enrolment.id,
            role=enrolment.role,
            boot=boot,
            caused_by=caused_by,
            body=body,
        )
        self.then(Emit(event=event))

    def put_run(self, run: Run) -> None:
        """Set a run of the instance; a final one leaves it."""
        runs = {**self.instance.runs, run.id: run}
        if run.state.is_final:
            del runs[run.id]
        self.become(runs=runs)
        self.then(SaveRun(run=run, ended=run.state.is_final))

    def put_order(self, order: Order) -> None:
        """Set an order of the instance; a final one leaves it."""
        orders = {**self.instance.orders, order.id: order}
        if order.state.is_final:
            del orders[order.id]
        self.become(orders=orders)
        self.then(SaveOrder(order=order, ended=order.state.is_final))

    def put_work(self, work: Work) -> None:
        """Set a run or an order of the instance."""
        match work:
            case Run():
                self.put_run(work)
            case Order():
                self.put_order(work)
            case _:
                assert_never(work)

    def put_delivery(self, delivery: Delivery) -> None:
        """Set a command that waits for its answer."""
        self.become(deliveries={**self.instance.deliveries, delivery.id: delivery})
        self.then(SaveDelivery(delivery=delivery))

    def drop_delivery(self, command: MessageId) -> None:
        """Forget a command that was answered for good."""
        left = {key: value for key, value in self.instance.deliveries.items() if key != command}
        self.become(deliveries=left)
        self.then(DropDelivery(id=command))

    def control(self, body: CommandBody) -> None:
        """Send something that is never answered: an ack, a request for replay or for a birth."""
        self.publish(
            command_id=self.around.new_id(), body=body, boot=None, not_after=self.at + CONTROL_FOR, cause=None
        )

    def publish(
        self,
        *,
        command_id: MessageId,
        body: CommandBody,
        boot: Boot | None,
        not_after: datetime,
        cause: MessageId | None,
    ) -> None:
        """Send a command, dated by the wing's own clock as far as it may be corrected."""
        enrolment = self.instance.enrolment
        target = Target(cluster=self.around.cluster, role=enrolment.role, instance=enrolment.id, boot=boot)
        command = Command(
            id=command_id,
            at=self.at,
            caused_by=cause,
            target=target,
            epoch=self.around.epoch,
            not_after=not_after + timedelta(seconds=correction_s(self.instance.offset)),
            body=body,
        )
        self.then(Publish(command=command))


def correction_s(offset: Offset | None) -> float:
    """Return by how many seconds a date is moved for a wing's clock: never more than the protocol allows."""
    if offset is None:
        return 0.0
    return max(-MOST_CORRECTION_S, min(MOST_CORRECTION_S, offset.seconds))
