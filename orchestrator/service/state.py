"""All that the orchestrator holds in memory of its cluster, and the work that one burst of events makes.

A `Work` is gathered while events are handled, written as one transaction, and only then carried out; if the
process ends in between, everything in it can be made again from what was written.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from broker.ids import ClusterName, Digest, Epoch, InstanceId, MessageId, Role, RunId
from broker.messages import Command
from orchestrator.domain import effects as done
from orchestrator.domain.events import (
    CancelRequested,
    DesiredSet,
    InstanceEvent,
    RunHeld,
    RunReleased,
    RunRequested,
)
from orchestrator.domain.instance import Instance, Surroundings
from orchestrator.domain.joining import JoinToken
from orchestrator.domain.machine import handle, next_wake
from orchestrator.domain.model import Bundle, Event, Leadership, Papers, Run, Ticket
from orchestrator.domain.tickets import OpenRuns
from orchestrator.records import Batch, Loaded, Numbered
from orchestrator.service.automatic import begin_catch_up, converge_at_once
from orchestrator.service.disruption import Disruption
from orchestrator.service.held import converge_held, release_drain
from orchestrator.service.nodes import NodeBook
from orchestrator.service.recovery import assembled
from orchestrator.service.timers import Sleeper
from orchestrator.service.upgrades import Upgrades

MOST_ASKED: Final = 5_000
RUN_EXPIRES: Final = timedelta(hours=1)
_stored_part: Final = attrgetter(
    *("enrolment", "desired", "observed", "ever_ran", "version", "host", "trouble", "shown"),
    *("cordon", "tried"),
)


@dataclass(slots=True, kw_only=True)
class Work:
    """What one burst has decided: what to write, then what to send, and whom to wake when."""

    batch: Batch = field(default_factory=Batch)
    commands: list[Command] = field(default_factory=list)
    touched: set[InstanceId] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    papers_due: list[Run] = field(default_factory=list)


class ClusterState:
    """The cluster in memory. Only the core's step changes it, between two transactions."""

    def __init__(
        self,
        *,
        cluster: ClusterName,
        loaded: Loaded,
        new_id: Callable[[], MessageId],
        bundle_url: Callable[[Digest], str],
    ) -> None:
        self.cluster: Final = cluster
        self.new_id: Final = new_id
        self.bundle_url: Final = bundle_url
        self.leadership: Leadership = loaded.leadership
        self.role_desired: dict[Role, Digest] = dict(loaded.role_desired)
        self.bundles: dict[Digest, Bundle] = {bundle.digest: bundle for bundle in loaded.bundles}
        self.tickets: dict[str, Ticket] = {ticket.id: ticket for ticket in loaded.tickets}
        self.instances: dict[InstanceId, Instance] = assembled(loaded)
        former = {instance.enrolment.id for instance in loaded.former}
        self.former = {key: self.instances.pop(key) for key in former}
        self._runs_of: defaultdict[str, OpenRuns] = defaultdict(OpenRuns)
        for run in loaded.runs:
            if run.ticket is not None:
                self._runs_of[run.ticket].put(run)
        self.counters: Counter[str] = Counter()
        self.told_by: dict[str, set[InstanceId]] = {}
        self._asked = 0
        self.disruption = Disruption.of(self.instances.values(), loaded.slots)
        self.upgrades = Upgrades(self, loaded.rollouts, loaded.newest_rollout)
        self.nodes = NodeBook(self)
        self.tokens: dict[str, JoinToken] = {token.id: token for token in loaded.tokens}
        self.newest_drain = loaded.newest_drain
        self.connected = False
        self.disconnect_reason = "not connected yet"
        self.cursor = loaded.cursor

    def apply(self, instance_id: InstanceId, event: InstanceEvent, work: Work) -> None:
        """Let an event change its instance, and gather what follows from it."""
        instance = self.instances[instance_id]
        changed, effects = handle(instance, event, self._around(instance.enrolment.role))
        self.instances[instance_id] = changed
        self._asked += _asked(changed) - _asked(instance)
        work.touched.add(instance_id)
        if instance.shown != changed.shown:
            work.settled |= {run.ticket for run in changed.runs.values() if run.ticket is not None}
        if _is_stored_differently(instance, changed):
            work.batch.instances[instance_id] = changed
        if instance_id in self.instances:
            self.disruption.look(changed)
        self.upgrades.noticed(instance, changed, event.at)
        for effect in effects:
            self._gather(instance_id, effect, work, event.at)

    def request(self, run: Run, ticket: Ticket, work: Work, at: datetime) -> None:
        """Take a run in under its ticket, which releases it when its turn has come."""
        self.tickets.setdefault(ticket.id, ticket)
        self.apply(run.instance, RunRequested(at=at, run=run), work)
        work.settled.add(ticket.id)

    def settle(self, work: Work, at: datetime) -> None:
        """Let everything go on that something has changed for: rollouts, and the next runs of each ticket."""
        while work.settled or self.upgrades.has_news():
            self.upgrades.settle(work, at)
            due = sorted(work.settled)  # in any process alike, so that a simulation can be replayed
            work.settled.clear()
            for ticket in due:
                if ticket in self.tickets:
                    self._release(self.tickets[ticket], work, at)

    def _release(self, ticket: Ticket, work: Work, at: datetime) -> None:
        runs = self._runs_of[ticket.id]
        room = runs.room(ticket.parallel)
        absent = (lambda who: not self.instances[who].may_be_sent_to(at)) if ticket.parallel else None
        for run in runs.waiting(absent):
            if room == 0:
                break
            room -= self._let_go(run, ticket, work, at)
        if not runs:
            del self.tickets[ticket.id], self._runs_of[ticket.id]

    def _let_go(self, run: Run, ticket: Ticket, work: Work, at: datetime) -> bool:
        """Let a run go if nobody else is at work on its instance, and its role can spare it; tell whether."""
        instance = self.instances[run.instance]
        held = None if run.noop else converge_held(instance, ticket, self.upgrades.scene())
        if held is not None:
            self.apply(run.instance, RunHeld(at=at, run=run.id, reason=held), work)
            return False
        if not run.noop:
            self.disruption.take(instance, ticket.id, work.batch, at)
        self.apply(run.instance, RunReleased(at=at, run=run.id), work)
        return True

    def emit(self, work: Work, kind: str, at: datetime, cause: MessageId | None = None, **body: Any) -> None:
        """Add a line of the orchestrator's own; it is found by the instance and the role that it tells of."""
        found_by = {name: body.get(name) for name in ("instance", "role")}
        event = Event(id=self.new_id(), kind=kind, at=at, caused_by=cause, body=body, **found_by)
        self.number(work, event)

    def desire(self, work: Work, role: Role, digest: Digest, *, by: str, at: datetime) -> None:
        """Set what those who join a role shall have."""
        if self.role_desired.get(role) == digest:
            return
        self.role_desired[role] = digest
        work.batch.role_desired[role] = digest
        self.emit(work, "role_desired_set", at, role=role, digest=digest, by=by)

    def desire_of(self, who: InstanceId, digest: Digest, *, by: str, work: Work, at: datetime) -> None:
        """Set what an instance shall have."""
        if self.instances[who].desired != digest:
            self.apply(who, DesiredSet(at=at, digest=digest, by=by), work)

    def cancel(self, who: InstanceId, piece: str, *, by: str, work: Work, at: datetime) -> None:
        """Have a run or an order of an instance ended."""
        self.apply(who, CancelRequested(at=at, work=RunId(piece), by=by), work)

    def next_drain(self) -> str:
        """Return the id of a new drain."""
        self.newest_drain += 1
        return f"d-{self.newest_drain}"

    def believe_again(self, work: Work, *, by: str, at: datetime) -> None:
        """End the doubt about a restored journal: someone has looked at it."""
        self.leadership = replace(self.leadership, restored=None)
        work.batch.leadership = self.leadership
        self.emit(work, "restore_acknowledged", at, by=by)
        self.upgrades.stirred(self.disruption.members, at)

    def receive(self, work: Work, bundle: Bundle, *, by: str, at: datetime) -> Bundle:
        """Take a bundle's record in; the same one twice is the one that was first."""
        known = self.bundles.get(bundle.digest)
        if known is not None:
            return known
        received = replace(bundle, pushed_by=by)
        self.bundles[bundle.digest] = received
        work.batch.bundles.append(received)
        self.emit(work, "bundle_received", at, digest=bundle.digest, size=bundle.size, by=by)
        return received

    def keep_papers(self, work: Work, run: Run, papers: Papers, *, at: datetime) -> None:
        """Write what a final run's attachments held."""
        work.batch.runs[run.id] = replace(run, papers_due=False)
        work.batch.papers.append(papers)
        self.emit(work, "run_filed", at, run=run.id, changes=len(papers.changes), reason=papers.reason)

    def number(self, work: Work, event: Event) -> None:
        """Give an event the next place in the tail."""
        self.cursor += 1
        work.batch.events.append(Numbered(cursor=self.cursor, event=event))

    def count(self, name: str, instance: InstanceId | None = None) -> None:
        """Count something that should not be, and who showed it."""
        self.counters[name] += 1
        if instance is not None:
            self.told_by.setdefault(name, set()).add(instance)

    def make_run(self, instance: Instance, bundle: Bundle, *, at: datetime, **more: Any) -> Run:
        """Return a new run of `bundle` on `instance` that waits for its turn."""
        return Run(
            instance=instance.enrolment.id,
            role=instance.enrolment.role,
            digest=bundle.digest,
            size=bundle.size,
            url=self.bundle_url(bundle.digest),
            created_at=at,
            not_after=at + RUN_EXPIRES,
            **more,
        )

    def next_wakes(self, touched: set[InstanceId], at: datetime) -> list[tuple[datetime, Sleeper]]:
        """Return when each of the touched instances and rollouts wants to be woken."""
        found = ((next_wake(self.instances[key]), key) for key in touched if key in self.instances)
        instances = [(due, Sleeper.instance(key)) for due, key in found if due is not None]
        return instances + [(due, Sleeper.rollout(key)) for due, key in self.upgrades.wakes(at)]

    def _around(self, role: Role) -> Surroundings:
        return Surroundings(
            cluster=self.cluster,
            epoch=self.leadership.epoch,
            role_desired=self.role_desired.get(role),
            replay_room=MOST_ASKED - self._asked,
            may_reconcile=self.leadership.restored is None,
            new_id=self.new_id,
        )

    def _gather(  # noqa: C901, PLR0912 - a match that only dispatches
        self, who: InstanceId, effect: done.Effect, work: Work, at: datetime
    ) -> None:
        batch = work.batch
        match effect:
            case done.Publish():
                work.commands.append(effect.command)
            case done.SaveRun():
                batch.runs[effect.run.id] = effect.run
                self.upgrades.worked(effect.run, ended=effect.ended, at=at)
                if effect.ended and effect.run.ticket is not None:
                    self.disruption.free(self.instances[who], effect.run.ticket, batch)
                if effect.run.ticket in self.tickets:
                    self._runs_of[effect.run.ticket].put(effect.run)
                    work.settled.add(effect.run.ticket)
                if effect.run.papers_due:
                    work.papers_due.append(effect.run)
            case done.SaveOrder():
                batch.orders[effect.order.id] = effect.order
                self.upgrades.worked(effect.order, ended=effect.ended, at=at)
                if effect.ended:
                    release_drain(self, effect.order, work)
            case done.SaveDelivery():
                batch.deliveries[effect.delivery.id] = effect.delivery
                batch.dropped.discard(effect.delivery.id)
            case done.DropDelivery():
                batch.deliveries.pop(effect.id, None)
                batch.dropped.add(effect.id)
            case done.SaveStream():
                batch.streams[who, effect.boot] = self.instances[who].streams[effect.boot]
            case done.HoldFact():
                batch.held.append((who, effect.arrived))
            case done.KeepChunk():
                batch.chunks.append(effect.chunk)
            case done.Emit():
                self.number(work, effect.event)
            case done.Count():
                self.count(effect.name, who)
            case done.CatchUp():
                begin_catch_up(self, who, effect.digest, work, at)
            case done.ConvergeAutomatically():
                converge_at_once(self, who, effect, work, at)
            case done.DoubtJournal():
                self._doubt(effect, work, at)

    def _doubt(self, doubt: done.DoubtJournal, work: Work, at: datetime) -> None:
        epoch = Epoch(max(self.leadership.epoch, doubt.epoch) + 1)
        self.leadership = replace(self.leadership, epoch=epoch, restored=doubt.reason)
        work.batch.leadership = self.leadership
        self.emit(work, "epoch_raised", at, epoch=epoch, reason=doubt.reason)


def _asked(instance: Instance) -> int:
    return 0 if instance.asked is None else instance.asked.size


def _is_stored_differently(before: Instance, after: Instance) -> bool:
    return before is not after and bool(_stored_part(before) != _stored_part(after))
