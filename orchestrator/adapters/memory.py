"""The journal without a disk: the in-memory twin of the SQL one, for tests and simulations.

`load` returns what a new process would find. So whatever is tested on it speaks for the real one, as far as
their common contract suite reaches.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from broker.ids import Boot, Digest, Epoch, InstanceId, MessageId, OrderId, Role, RolloutId, RunId
from orchestrator.domain.instance import Instance
from orchestrator.domain.joining import JoinToken
from orchestrator.domain.model import Bundle, Delivery, Leadership, Order, Papers, Run, Ticket
from orchestrator.domain.rollout.model import Rollout, Slot, Step, number_of
from orchestrator.domain.stream import Stream
from orchestrator.domain.views import PresenceState
from orchestrator.ports import EventQuery, LeadershipLostError, RunQuery
from orchestrator.records import Batch, HeldFact, Loaded, Numbered


class MemoryJournal:
    """`Journal`, `RunArchive`, `RolloutArchive` and `EventLog` in one."""

    def __init__(self) -> None:
        self._leadership: Leadership | None = None
        self._instances: dict[InstanceId, Instance] = {}
        self._revoked: set[InstanceId] = set()
        self._roles: dict[Role, Digest] = {}
        self._bundles: dict[Digest, Bundle] = {}
        self._tickets: dict[str, Ticket] = {}
        self._runs: dict[RunId, Run] = {}
        self._orders: dict[OrderId, Order] = {}
        self._rollouts: dict[RolloutId, Rollout] = {}
        self._steps: dict[RolloutId, dict[InstanceId, Step]] = {}
        self._slots: dict[InstanceId, Slot] = {}
        self._tokens: dict[str, JoinToken] = {}
        self._deliveries: dict[MessageId, Delivery] = {}
        self._streams: dict[tuple[InstanceId, Boot], Stream] = {}
        self._held: dict[tuple[InstanceId, Boot, int], bytes] = {}
        self._chunks: dict[tuple[RunId, str, int], bytes] = {}
        self._papers: dict[RunId, Papers] = {}
        self._events: list[Numbered] = []

    async def lead(self, *, holder: str, at: datetime) -> Leadership | None:
        """Take the lead with an epoch above any before; the one who led before finds that out."""
        known = self._leadership
        epoch = Epoch(known.epoch + 1 if known else 1)
        restored = known.restored if known else None
        self._leadership = Leadership(epoch=epoch, holder=holder, since=at, restored=restored)
        return self._leadership

    async def leader(self) -> Leadership | None:
        """Return who leads or led last, None if nobody ever did."""
        return self._leadership

    async def renew(self, epoch: Epoch) -> None:
        """Tell whether `epoch` still leads; raises LeadershipLostError."""
        self._check(epoch)

    async def load(self) -> Loaded:
        """Return all that is open."""
        if self._leadership is None:
            raise ValueError("nobody leads: call lead() first")
        open_runs = [run for run in self._runs.values() if not run.state.is_final]
        tickets = {run.ticket for run in open_runs}
        kept = {key: _stored(item) for key, item in self._instances.items()}
        return Loaded(
            leadership=self._leadership,
            instances=[item for key, item in kept.items() if key not in self._revoked],
            former=[item for key, item in kept.items() if key in self._revoked],
            streams=[(key[0], replace(stream, held={})) for key, stream in self._streams.items()],
            held=[
                HeldFact(instance=key[0], boot=key[1], seq=key[2], payload=payload)
                for key, payload in self._held.items()
            ],
            runs=open_runs,
            deliveries=list(self._deliveries.values()),
            tickets=[ticket for ticket in self._tickets.values() if ticket.id in tickets],
            bundles=list(self._bundles.values()),
            role_desired=dict(self._roles),
            papers_due=[run for run in self._runs.values() if run.papers_due],
            cursor=self._events[-1].cursor if self._events else 0,
            orders=[order for order in self._orders.values() if not order.state.is_final],
            rollouts=[
                self._whole(rollout) for rollout in self._rollouts.values() if not rollout.state.is_final
            ],
            slots=list(self._slots.values()),
            tokens=list(self._tokens.values()),
            newest_rollout=self._newest_rollout(),
            newest_drain=self._newest_drain(),
        )

    async def commit(self, batch: Batch) -> None:
        """Write `batch` whole."""
        if batch.epoch is not None:
            self._check(batch.epoch)
        self._leadership = batch.leadership or self._leadership
        self._instances |= batch.instances
        self._revoked = (self._revoked - set(batch.instances)) | batch.revoked
        self._roles |= batch.role_desired
        self._bundles |= {bundle.digest: bundle for bundle in batch.bundles}
        self._tickets |= {ticket.id: ticket for ticket in batch.tickets}
        self._runs |= batch.runs
        self._orders |= batch.orders
        self._rollouts |= {key: replace(item, steps={}) for key, item in batch.rollouts.items()}
        for (rollout, instance), step in batch.steps.items():
            self._steps.setdefault(rollout, {})[instance] = step
        self._slots |= batch.slots
        for freed in batch.freed:
            self._slots.pop(freed, None)
        self._tokens |= batch.tokens
        for withdrawn in batch.withdrawn:
            self._tokens.pop(withdrawn, None)
        self._deliveries |= batch.deliveries
        for dropped in batch.dropped:
            self._deliveries.pop(dropped, None)
        self._write_facts(batch)
        self._write_papers(batch)
        self._events += batch.events

    async def forget(self, before: datetime) -> None:
        """Delete what is old and over: events, runs and papers, rollouts and steps, orders, tokens.

        The newest event, rollout and bare drain stay: a new process counts on from them.
        """
        newest = self._events[-1:]
        self._events = [item for item in self._events if item.event.at >= before or item in newest]
        old = {key for key, run in self._runs.items() if run.created_at < before and run.state.is_final}
        self._runs = {key: run for key, run in self._runs.items() if key not in old}
        self._papers = {key: papers for key, papers in self._papers.items() if key not in old}
        self._chunks = {key: chunk for key, chunk in self._chunks.items() if key[0] not in old}
        self._tokens = {key: token for key, token in self._tokens.items() if token.expires_at >= before}
        self._forget_rollouts(before)

    async def run(self, run: RunId) -> Run | None:
        """Return a run, None if there is none of that id."""
        return self._runs.get(run)

    async def runs(self, query: RunQuery) -> Sequence[Run]:
        """Return runs, newest first."""
        found = [run for run in self._runs.values() if _asked_for(run, query)]
        return sorted(found, key=lambda run: run.id, reverse=True)[: query.limit]

    async def papers(self, run: RunId) -> Papers | None:
        """Return what a run's attachments held, None while they are not complete."""
        return self._papers.get(run)

    async def chunks(self, run: RunId, name: str) -> Sequence[tuple[int, bytes]]:
        """Return the parts of an attachment that have come, by index."""
        found = (
            (key[2], content) for key, content in self._chunks.items() if key[0] == run and key[1] == name
        )
        return sorted(found)

    async def ticket(self, ticket: str) -> Ticket | None:
        """Return a request, None if there is none of that id."""
        return self._tickets.get(ticket)

    async def rollout(self, rollout: RolloutId) -> Rollout | None:
        """Return a rollout with its steps, None if there is none of that id."""
        found = self._rollouts.get(rollout)
        return None if found is None else self._whole(found)

    async def rollouts(self, *, limit: int, before: RolloutId | None) -> Sequence[Rollout]:
        """Return rollouts without their steps, newest first."""
        newest = sorted(self._rollouts.values(), key=lambda item: number_of(item.id), reverse=True)
        older = [item for item in newest if before is None or number_of(item.id) < number_of(before)]
        return older[:limit]

    async def orders(self, owner: str) -> Sequence[Order]:
        """Return the orders of a rollout or a bare drain, newest first."""
        found = [order for order in self._orders.values() if order.owner == owner]
        return sorted(found, key=lambda order: order.id, reverse=True)

    async def order(self, order: OrderId) -> Order | None:
        """Return an order, None if there is none of that id."""
        return self._orders.get(order)

    async def plans(self, digest: Digest, *, limit: int) -> Sequence[Ticket]:
        """Return the requests for dry runs of a bundle, newest first."""
        found = [ticket for ticket in self._tickets.values() if ticket.noop and ticket.digest == digest]
        return sorted(found, key=lambda ticket: ticket.id, reverse=True)[:limit]

    async def events(self, query: EventQuery) -> Sequence[Numbered]:
        """Return the next page of events."""
        return [item for item in self._events if _is_in(item, query)][: query.limit]

    def _check(self, epoch: Epoch) -> None:
        leader = self._leadership
        if leader is not None and leader.epoch != epoch:
            raise LeadershipLostError(epoch=epoch, holder=leader.holder)

    def _newest_rollout(self) -> int:
        return max((number_of(key) for key in self._rollouts), default=0)

    def _newest_drain(self) -> int:
        return max((number_of(order.owner, "d-") for order in self._orders.values()), default=0)

    def _forget_rollouts(self, before: datetime) -> None:
        rollout, drain = self._newest_rollout(), self._newest_drain()
        for key, item in list(self._rollouts.items()):
            ended = item.finished_at if item.state.is_final else None
            if ended is not None and ended < before and number_of(key) < rollout:
                del self._rollouts[key]
                self._steps.pop(key, None)
        for number, order in list(self._orders.items()):
            counted = drain != 0 and number_of(order.owner, "d-") == drain
            if order.state.is_final and order.created_at < before and not counted:
                del self._orders[number]

    def _whole(self, rollout: Rollout) -> Rollout:
        return replace(rollout, steps=dict(self._steps.get(rollout.id, {})))

    def _write_facts(self, batch: Batch) -> None:
        for instance, arrived in batch.held:
            self._held[instance, arrived.fact.boot, arrived.fact.seq] = arrived.payload
        self._streams |= batch.streams
        for (instance, boot), stream in batch.streams.items():
            for key in [key for key in self._held if key[:2] == (instance, boot)]:
                if key[2] <= stream.handled:
                    del self._held[key]
        self._chunks |= {(item.run, item.name, item.index): item.content for item in batch.chunks}

    def _write_papers(self, batch: Batch) -> None:
        for papers in batch.papers:
            self._papers[papers.run] = papers
            self._chunks = {key: part for key, part in self._chunks.items() if key[0] != papers.run}


def _stored(instance: Instance) -> Instance:
    """Return what of an instance a new process would find."""
    shown = replace(instance.shown, state=PresenceState.UNKNOWN)
    return Instance(
        enrolment=instance.enrolment,
        desired=instance.desired,
        observed=instance.observed,
        ever_ran=instance.ever_ran,
        shown=shown,
        version=instance.version,
        host=instance.host,
        trouble=instance.trouble,
        cordon=instance.cordon,
        tried=instance.tried,
    )


def _asked_for(run: Run, query: RunQuery) -> bool:
    return (
        (query.instances is None or run.instance in query.instances)
        and (not query.states or run.state in query.states)
        and (query.ticket is None or run.ticket == query.ticket)
        and (query.before is None or run.id < query.before)
    )


def _is_in(item: Numbered, query: EventQuery) -> bool:
    event = item.event
    return (
        item.cursor > query.cursor
        and (query.since is None or event.at >= query.since)
        and (not query.roles or event.role in query.roles)
        and (not query.instances or event.instance in query.instances)
        and (not query.kinds or event.kind in query.kinds)
    )
