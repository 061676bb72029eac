"""The open rollouts: what happens to instances reaches them, and what they decide is carried out.

All of it is part of the burst in which it happens: a run's end, the step that it takes its rollout on, and
the next command are one transaction. So there is no moment at which a crash could lose a step, or do one
twice.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Final, assert_never

from broker.ids import InstanceId, MessageId, Role, RolloutId
from broker.messages import Drain, Health, OrderBody, Uncordon
from orchestrator.domain import invariants
from orchestrator.domain.events import OrderRequested, RunRequested
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Event, Order, Run
from orchestrator.domain.nodes import is_cordoned_otherwise
from orchestrator.domain.rollout import effects as wanted
from orchestrator.domain.rollout.events import (
    BreachFound,
    InstanceChanged,
    InstanceGone,
    ProgressSeen,
    RolloutEvent,
    RoomChanged,
    Woke,
    WorkEnded,
    WorkMoved,
)
from orchestrator.domain.rollout.machine import handle, next_wake
from orchestrator.domain.rollout.model import Rollout
from orchestrator.domain.rollout.scene import Scene

if TYPE_CHECKING:
    from orchestrator.service.state import ClusterState, Work

ORDER_EXPIRES: Final = timedelta(hours=1)
_head: Final = attrgetter(*(field.name for field in fields(Rollout) if field.name != "steps"))
"""What of a rollout is written as one row; its steps are rows of their own."""

SYSTEM: Final = "reconciliation"


class Upgrades:
    """Holds the open rollouts; only the core's step changes them, as the state that they belong to."""

    def __init__(self, state: "ClusterState", rollouts: Iterable[Rollout], newest: int) -> None:
        self._state = state
        self.open: dict[RolloutId, Rollout] = {rollout.id: rollout for rollout in rollouts}
        self.of_instance: dict[InstanceId, RolloutId] = {
            name: rollout.id for rollout in self.open.values() for name in rollout.steps
        }
        self._newest = newest
        self._agenda: deque[tuple[RolloutId, RolloutEvent]] = deque()
        self.touched: set[RolloutId] = set(self.open)

    def next_id(self) -> RolloutId:
        """Return the id of a new rollout."""
        self._newest += 1
        return RolloutId(f"r-{self._newest}")

    def add(self, rollout: Rollout, event: RolloutEvent, work: "Work") -> None:
        """Take a new rollout in, and let it begin."""
        self.open[rollout.id] = rollout
        self.of_instance |= dict.fromkeys(rollout.steps, rollout.id)
        work.batch.rollouts[rollout.id] = rollout
        work.batch.steps |= {(rollout.id, name): step for name, step in rollout.steps.items()}
        self.tell(rollout.id, event)

    def tell(self, rollout: RolloutId, event: RolloutEvent) -> None:
        """Let a rollout know of something, before the burst ends."""
        if rollout in self.open:
            self._agenda.append((rollout, event))

    def noticed(self, before: Instance, after: Instance, at: datetime) -> None:
        """Let the rollout of an instance know if it came, went, proved something, or was cordoned or not."""
        rollout = self.of_instance.get(after.enrolment.id)
        if rollout is None:
            return
        changed = (
            before.shown.state is not after.shown.state
            or before.shown.boot != after.shown.boot
            or before.shown.disputed != after.shown.disputed
            or before.observed != after.observed
            or before.enrolment.key != after.enrolment.key
        )
        if changed:
            self.tell(rollout, InstanceChanged(at=at, instance=after.enrolment.id))
        if is_cordoned_otherwise(before.node, after.node):
            self.tell(rollout, RoomChanged(at=at))

    def worked(self, piece: Run | Order, *, ended: bool, at: datetime) -> None:
        """Let the rollout of a run or order know that it has moved or ended."""
        owner = piece.rollout if isinstance(piece, Run) else piece.owner
        if owner is None or owner not in self.open:
            return
        event: RolloutEvent = (
            WorkEnded(at=at, instance=piece.instance, work=piece)
            if ended
            else WorkMoved(at=at, instance=piece.instance, work=piece)
        )
        self.tell(RolloutId(owner), event)

    def gone(self, instance: InstanceId, at: datetime) -> None:
        """Let the rollout of an instance know that it was taken off the roster."""
        rollout = self.of_instance.get(instance)
        if rollout is not None:
            self.tell(rollout, InstanceGone(at=at, instance=instance))

    def progressed(self, instance: InstanceId, run: str, at: datetime) -> None:
        """Let the rollout of an instance know that its run says live how far it is."""
        rollout = self.of_instance.get(instance)
        if rollout is not None:
            self.tell(rollout, ProgressSeen(at=at, instance=instance, work=run))

    def stirred(self, roles: Iterable[Role], at: datetime) -> None:
        """Let rollouts that wait for room in one of these roles look again."""
        concerned = set(roles)
        for rollout in self.open.values():
            wave = rollout.open_wave
            if wave is not None and wave.role in concerned:
                self.tell(rollout.id, RoomChanged(at=at))

    def woke(self, rollout: RolloutId, at: datetime) -> None:
        """Let a rollout know that a deadline of its has come."""
        self.touched.add(rollout)
        self.tell(rollout, Woke(at=at))

    def has_news(self) -> bool:
        """Tell whether a rollout, or whoever waits for room, has something to look at."""
        return bool(self._agenda or self._state.disruption.stirred)

    def settle(self, work: "Work", at: datetime) -> None:
        """Handle all that the rollouts were told, and what follows from it, until nothing is left.

        Whenever somebody is away no longer, tickets that wait for room are to look again too.
        """
        account = self._state.disruption
        while self._agenda or account.stirred:
            if account.stirred:
                self.stirred(account.stirred, at)
                account.stirred.clear()
                work.settled |= set(self._state.tickets)
            if self._agenda:
                self._handle(*self._agenda.popleft(), work)

    def wakes(self, at: datetime) -> list[tuple[datetime, RolloutId]]:
        """Return when each of the rollouts that were touched wants to be woken."""
        scene = self.scene()
        found = ((next_wake(self.open[key], scene, at), key) for key in sorted(self.touched & set(self.open)))
        self.touched.clear()
        return [(due, key) for due, key in found if due is not None]

    def scene(self) -> Scene:
        """Return what a rollout sees of the fleet."""
        state = self._state
        return Scene(
            instances=state.instances,
            members=state.disruption.members,
            absent=state.disruption.absent,
            slots=state.disruption.slots,
            new_id=state.new_id,
            connected=state.connected,
            doubted=state.leadership.restored is not None,
        )

    def _handle(self, rollout_id: RolloutId, event: RolloutEvent, work: "Work") -> None:
        before = self.open.get(rollout_id)
        if before is None:
            return
        scene = self.scene()
        after, effects, changed = handle(before, event, scene)
        law = invariants.broken(before, after, effects, scene, at=event.at, changed=changed)
        if law is not None:
            self._state.count("invariant_broken")
            after, effects, changed = handle(before, BreachFound(at=event.at, law=law), scene)
        self._keep(before, after, changed, work)
        for effect in effects:
            self._carry_out(after, effect, work, event.at)
        if after.state.is_final:
            self._close(after)

    def _keep(self, before: Rollout, after: Rollout, changed: Iterable[InstanceId], work: "Work") -> None:
        self.open[after.id] = after
        self.touched.add(after.id)
        if before is not after and _head(before) != _head(after):
            work.batch.rollouts[after.id] = after
        for name in changed:
            work.batch.steps[after.id, name] = after.steps[name]

    def _close(self, rollout: Rollout) -> None:
        del self.open[rollout.id]
        for name in rollout.steps:
            if self.of_instance.get(name) == rollout.id:
                del self.of_instance[name]

    def _carry_out(self, rollout: Rollout, effect: wanted.RolloutEffect, work: "Work", at: datetime) -> None:
        state = self._state
        match effect:
            case wanted.Tell():
                self._tell(effect, work, at)
            case wanted.DesireOfRole():
                state.desire(work, effect.role, effect.digest, by=rollout.id, at=at)
            case _ if effect.instance not in state.instances:
                pass  # it was taken off the roster in this very burst, which its rollout is told next
            case wanted.TakeSlot():
                instance = state.instances[effect.instance]
                state.disruption.take(instance, rollout.id, work.batch, at)
            case wanted.FreeSlot():
                state.disruption.free(state.instances[effect.instance], rollout.id, work.batch)
            case wanted.BeginRun():
                self._run(rollout, effect, work, at)
            case wanted.BeginOrder():
                self._order(rollout, effect, work, at)
            case wanted.CancelWork():
                state.cancel(effect.instance, effect.work, by=rollout.id, work=work, at=at)
            case wanted.Desire():
                state.desire_of(effect.instance, effect.digest, by=rollout.id, work=work, at=at)
            case _:
                assert_never(effect)

    def _run(self, rollout: Rollout, effect: wanted.BeginRun, work: "Work", at: datetime) -> None:
        state = self._state
        run = state.make_run(
            state.instances[effect.instance],
            state.bundles[effect.digest],
            ticket=None,
            id=effect.run,
            requested_by=rollout.id,
            at=at,
            noop=effect.noop,
            timeout_s=rollout.strategy.run_timeout_s,
            confirm=True,
            automatic=rollout.automatic,
            caused_by=None,
            released=True,
            rollout=rollout.id,
            diff=effect.diff,
        )
        state.apply(effect.instance, RunRequested(at=at, run=run), work)

    def _order(self, rollout: Rollout, effect: wanted.BeginOrder, work: "Work", at: datetime) -> None:
        order = make_order(
            self._state.instances[effect.instance], effect.body, owner=rollout.id, by=rollout.id, at=at
        )
        self._state.apply(effect.instance, OrderRequested(at=at, order=order), work)

    def _tell(self, effect: wanted.Tell, work: "Work", at: datetime) -> None:
        instance = None if effect.instance is None else self._state.instances.get(effect.instance)
        event = Event(
            id=self._state.new_id(),
            kind=effect.kind,
            at=at,
            instance=effect.instance,
            role=None if instance is None else instance.enrolment.role,
            body=effect.body,
        )
        self._state.number(work, event)


def make_order(
    instance: Instance,
    body: OrderBody,
    *,
    owner: str,
    by: str,
    at: datetime,
    caused_by: MessageId | None = None,
) -> Order:
    """Return a new order for an instance; it may wait an hour for it to be there."""
    return Order(
        id=body.order,
        instance=instance.enrolment.id,
        role=instance.enrolment.role,
        owner=owner,
        body=body,
        requested_by=by,
        created_at=at,
        not_after=at + ORDER_EXPIRES,
        caused_by=caused_by,
    )


def action_of(order: Order) -> str:
    """Return what an order is, in a word."""
    match order.body:
        case Drain():
            return "drain"
        case Uncordon():
            return "uncordon"
        case Health():
            return "health"
