"""The orchestrator's operations in memory, and the API served for them, for the tests of both its ends."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import structs

from broker import ids
from broker.ids import Digest, Epoch, InstanceId, RolloutId, RunId
from broker.messages import DrainPolicy
from orchestrator.api.route import Faces
from orchestrator.api.server import SocketConfig, serve
from orchestrator.domain.join_views import EnrolmentView, RevokedView, TokenView
from orchestrator.domain.joining import TokenState
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout.reading import strategy_plain
from orchestrator.domain.rollout.strategy import Strategy
from orchestrator.domain.rollout_views import DrainView, RolloutView, StepView, WaveView, WhyView
from orchestrator.domain.views import (
    BundleView,
    ChangeView,
    ConvergeTicket,
    EventView,
    InstanceOutcome,
    InstanceView,
    LiveView,
    PingView,
    PlanGroup,
    PlanView,
    PresenceState,
    RunState,
    RunView,
    Selector,
    StatusView,
)
from orchestrator.operations import (
    ActRequest,
    ConvergeRequest,
    EventFilter,
    RefusedError,
    RolloutAction,
    RunFilter,
    TokenRequest,
    UpgradeRequest,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
V1 = ids.digest(f"sha256:{'1' * 64}")
V2 = ids.digest(f"sha256:{'2' * 64}")
CLUSTER = ids.cluster_name("dev")
BOOT = ids.boot("1-0a0b0c0d")
TICKET = "0198c0de-0000-7000-8000-00000000aaaa"


def run_id(number: int) -> RunId:
    return ids.run_id(f"0198c0de-0000-7000-8000-{number:012x}")


def an_instance(name: str, **changes: Any) -> InstanceView:
    view = InstanceView(
        id=ids.instance_id(name),
        role=ids.role(name.rpartition("-")[0]),
        pool="default",
        labels={"zone": "a"},
        cluster=CLUSTER,
        presence=PresenceState.ONLINE,
        boot=BOOT,
        desired=None,
        observed=None,
        outcome=InstanceOutcome.UNKNOWN,
        drift=False,
        reason="",
        since=NOW,
        last_seen=NOW,
        version="0.1.0",
        facts={"hostname": "host", "addresses": ["10.0.0.1"], "cores": 2},
        counters={},
        run=None,
    )
    return replace(view, **changes)


def a_run(number: int, instance: str = "worker-1", **changes: Any) -> RunView:
    view = RunView(
        id=run_id(number),
        instance=ids.instance_id(instance),
        role=ids.role(instance.rpartition("-")[0]),
        digest=V1,
        noop=False,
        state=RunState.SUCCEEDED,
        outcome="changed",
        verdict="converged",
        changed=2,
        failed=0,
        skipped=0,
        total=60,
        exit_codes=(2, 0),
        reason="",
        created_at=NOW,
        started_at=NOW,
        finished_at=NOW,
        requested_by="root",
        caused_by=None,
        diff_hash="abc",
    )
    return replace(view, **changes)


def a_bundle(digest: Digest = V1, **changes: Any) -> BundleView:
    view = BundleView(
        digest=digest,
        size=4096,
        packed=512,
        name="site",
        version="1",
        roles=(),
        pushed_at=NOW,
        pushed_by="me",
    )
    return replace(view, **changes)


def an_event(cursor: int, kind: str = "accepted.v1", **changes: Any) -> EventView:
    view = EventView(
        cursor=cursor,
        id=ids.message_id(f"0198c0de-0000-7000-8000-{cursor:012x}"),
        kind=kind,
        at=NOW,
        instance=ids.instance_id("worker-1"),
        role=ids.role("worker"),
        boot=BOOT,
        seq=cursor,
        caused_by=None,
        body={"command": "x"},
    )
    return replace(view, **changes)


def a_step(instance: str, state: StepState = StepState.PENDING, **changes: Any) -> StepView:
    view = StepView(
        instance=ids.instance_id(instance),
        role=ids.role(instance.rpartition("-")[0]),
        wave=1,
        state=state,
        reason="",
        command=None,
        origin=V1,
        target=V2,
        back=False,
        since=NOW,
        timings={"begun": NOW},
    )
    return structs.replace(view, **changes)


def a_rollout(number: int = 7, *instances: str, **changes: Any) -> RolloutView:
    """Return a rollout whose first instance of each role is a wave of its own, the canary's."""
    names = instances or ("worker-1", "worker-2", "worker-3")
    waves: list[WaveView] = []
    for name in names:
        role = ids.role(name.rpartition("-")[0])
        first = all(wave.role != role for wave in waves)
        if first or waves[-1].canary:
            waves.append(WaveView(number=len(waves) + 1, role=role, instances=(), canary=first))
        last = waves[-1]
        waves[-1] = replace(last, instances=(*last.instances, ids.instance_id(name)))
    wave_of = {name: wave.number for wave in waves for name in wave.instances}
    view = RolloutView(
        id=ids.rollout_id(f"r-{number}"),
        state=RolloutState.PROGRESSING,
        reason="",
        command=None,
        bundle=V2,
        strategy=strategy_plain(Strategy()),
        automatic=False,
        requested_by="root",
        created_at=NOW,
        finished_at=None,
        wave=1,
        waves=tuple(waves),
        steps=tuple(a_step(name, wave=wave_of[ids.instance_id(name)]) for name in names),
    )
    return replace(view, **changes)


def stepped(view: RolloutView, **states: StepState | dict[str, Any]) -> RolloutView:
    """Return a rollout in which instances (`worker_1`) are in other states, or otherwise changed."""
    found = {name.replace("_", "-"): changes for name, changes in states.items()}
    steps = []
    for step in view.steps:
        changes = found.pop(step.instance, {})
        changes = {"state": changes} if isinstance(changes, StepState) else changes
        steps.append(structs.replace(step, **changes))
    assert not found, found
    return replace(view, steps=tuple(steps))


def a_drain(instance: str = "worker-1", **changes: Any) -> DrainView:
    view = DrainView(
        id="d-1",
        instance=ids.instance_id(instance),
        action="drain",
        state=RunState.RUNNING,
        reason="",
        total=3,
        evicted=0,
        blocked=(),
        left=(),
        created_at=NOW,
        finished_at=None,
        requested_by="root",
    )
    return replace(view, **changes)


CHANGE = ChangeView(
    resource="File[/tmp/x]",
    property="content",
    before="{md5}a",
    after="{md5}b",
    diff="@@ -1 +1 @@\n-old\n+new",
    file="site.pp",
    line=3,
)


def unknown(kind: str, what: str) -> RefusedError:
    return RefusedError(
        kind=f"unknown-{kind}", status=404, title=f"No such {kind}", detail=what, action="Look at the list."
    )


class MemoryFleet:
    """Instances that a test puts there."""

    def __init__(self) -> None:
        self.views: dict[str, InstanceView] = {}
        self.problems: tuple[str, ...] = ()
        self.acknowledged_by = ""
        self.silent: set[str] = set()
        self.conditions = {"journal": True, "broker": True}
        self.pinged: list[Selector] = []

    def put(self, *views: InstanceView) -> None:
        self.views |= {view.id: view for view in views}

    async def instances(self, selector: Selector | None) -> Sequence[InstanceView]:
        return [view for view in self.views.values() if selector is None or selects(selector, view)]

    async def instance(self, instance: InstanceId) -> InstanceView:
        if instance not in self.views:
            raise unknown("instance", instance)
        return self.views[instance]

    async def status(self) -> StatusView:
        return StatusView(
            healthy=not self.problems,
            problems=self.problems,
            broker={"connected": True},
            orchestrator={"name": "orchestrator_1"},
            leader="orchestrator_1",
            epoch=Epoch(1),
            instances={"online": len(self.views)},
            counters={},
        )

    async def ping(self, selector: Selector, *, timeout_s: float) -> Sequence[PingView]:
        assert timeout_s > 0
        self.pinged.append(selector)
        return [
            PingView(instance=view.id, round_trip_s=None, clock_offset_s=None, error="no answer")
            if view.id in self.silent
            else PingView(instance=view.id, round_trip_s=0.0125, clock_offset_s=0.001, error=None)
            for view in await self.instances(selector)
        ]

    async def acknowledge(self, *, requested_by: str) -> StatusView:
        self.acknowledged_by = requested_by
        self.problems = ()
        return await self.status()

    async def ready(self) -> Mapping[str, bool]:
        return self.conditions


class MemoryRuns:
    """Runs that end as a test says: `endings` by instance, each state after the one before was seen."""

    def __init__(self, fleet: MemoryFleet) -> None:
        self.fleet = fleet
        self.views: dict[str, RunView] = {}
        self.tickets: dict[str, list[str]] = {}
        self.requests: list[ConvergeRequest] = []
        self.endings: dict[str, list[dict[str, Any]]] = {}
        self.logs: dict[str, list[Mapping[str, object]]] = {}
        self.plans: dict[str, PlanView] = {}
        self.cancelled: list[tuple[str, str]] = []

    async def converge(self, request: ConvergeRequest) -> ConvergeTicket:
        self.requests.append(request)
        selected = [view for view in self.fleet.views.values() if selects(request.selector, view)]
        if not selected:
            raise RefusedError(
                kind="empty-selection",
                status=409,
                title="Nothing selected",
                detail="none fits",
                action="Look.",
            )
        digest = request.digest or V1
        ticket = TICKET[:-1] + str(len(self.requests))
        runs = [
            a_run(
                len(self.views) + place,
                view.id,
                digest=digest,
                noop=request.noop,
                state=RunState.QUEUED,
                outcome=None,
                verdict=None,
                finished_at=None,
            )
            for place, view in enumerate(selected)
        ]
        self.views |= {run.id: run for run in runs}
        self.tickets[ticket] = [run.id for run in runs]
        return ConvergeTicket(id=ticket, digest=digest, noop=request.noop, runs=tuple(runs))

    async def runs(self, query: RunFilter) -> Sequence[RunView]:
        wanted = self.views if query.ticket is None else self.tickets[query.ticket]
        for run in wanted:
            self._step(run)
        found = [self.views[run] for run in wanted]
        fitting = [run for run in found if not query.states or run.state in query.states]
        return sorted(fitting, key=lambda run: run.id, reverse=True)[: query.limit]

    def _step(self, run: str) -> None:
        view = self.views[run]
        endings = self.endings.setdefault(view.instance, [])
        if endings:
            self.views[run] = replace(view, **endings.pop(0))
        elif view.state is RunState.QUEUED:
            ended = {"outcome": "changed", "verdict": "converged", "finished_at": NOW}
            self.views[run] = replace(view, state=RunState.SUCCEEDED, **ended)

    async def run(self, run: RunId) -> RunView:
        if run not in self.views:
            raise unknown("run", run)
        return self.views[run]

    async def run_log(self, run: RunId) -> Sequence[Mapping[str, object]]:
        return self.logs[run]

    async def cancel(self, run: RunId, *, requested_by: str) -> RunView:
        self.cancelled.append((run, requested_by))
        return await self.run(run)

    async def plan(self, ticket: str) -> PlanView:
        found = self.plans.get("*") or self.plans.get(ticket)
        if found is None:
            raise unknown("ticket", ticket)
        return found


class MemoryRollouts:
    """Rollouts that go as a test says: each look at one takes the next of its `news`, a whole view."""

    def __init__(self, fleet: MemoryFleet) -> None:
        self.fleet = fleet
        self.views: dict[str, RolloutView] = {}
        self.news: dict[str, list[RolloutView]] = {}
        self.planned: dict[str, Any] = {}
        self.previews: list[UpgradeRequest] = []
        self.requests: list[UpgradeRequest] = []
        self.acts: list[ActRequest] = []
        self.whys: list[WhyView] = []
        self.asked: list[str | None] = []

    def _plan(self, request: UpgradeRequest) -> RolloutView:
        names = [view.id for view in self.fleet.views.values() if selects(request.selector, view)]
        if not names:
            raise RefusedError(
                kind="empty-selection",
                status=409,
                title="Nothing selected",
                detail="none fits",
                action="Look.",
            )
        view = a_rollout(7, *names, bundle=request.digest, strategy=strategy_plain(request.strategy))
        return replace(view, **self.planned)

    async def preview(self, request: UpgradeRequest) -> RolloutView:
        self.previews.append(request)
        return replace(self._plan(request), id=None, state=RolloutState.PENDING)

    async def upgrade(self, request: UpgradeRequest) -> RolloutView:
        self.requests.append(request)
        view = self._plan(request)
        if view.confirmations and not request.confirmed:
            raise RefusedError(
                kind="not-confirmed",
                status=409,
                title="Not confirmed",
                detail=view.confirmations[0],
                action="Confirm.",
            )
        assert view.id is not None
        self.views[view.id] = view
        return view

    async def rollouts(self, *, limit: int = 100, before: RolloutId | None = None) -> Sequence[RolloutView]:
        found = sorted(self.views.values(), key=lambda view: view.id or "", reverse=True)
        return [replace(view, steps=()) for view in found if before is None or (view.id or "") < before][
            :limit
        ]

    async def rollout(self, rollout: RolloutId) -> RolloutView:
        if rollout not in self.views:
            raise unknown("rollout", rollout)
        if self.news.get(rollout):
            self.views[rollout] = self.news[rollout].pop(0)
        return self.views[rollout]

    async def act(self, request: ActRequest) -> RolloutView:
        if request.rollout not in self.views:
            raise unknown("rollout", request.rollout)
        self.acts.append(request)
        states = {RolloutAction.PAUSE: RolloutState.PAUSED, RolloutAction.REVERT: RolloutState.REVERTING}
        view = self.views[request.rollout]
        self.views[request.rollout] = replace(view, state=states.get(request.action, view.state))
        return self.views[request.rollout]

    async def why(self, subject: str | None) -> Sequence[WhyView]:
        self.asked.append(subject)
        return [each for each in self.whys if subject in {None, each.subject}]


class MemoryDrains:
    """Drains that go as a test says: each look at one takes the next of `news`."""

    def __init__(self) -> None:
        self.views: dict[str, DrainView] = {}
        self.news: list[dict[str, Any]] = []
        self.outage = ""
        self.asked: list[tuple[InstanceId, DrainPolicy | None, bool, str]] = []

    async def drain(
        self, instance: InstanceId, policy: DrainPolicy, *, confirmed: bool, requested_by: str
    ) -> DrainView:
        self.asked.append((instance, policy, confirmed, requested_by))
        if self.outage and not confirmed:
            raise RefusedError(
                kind="not-confirmed",
                status=409,
                title="Not confirmed",
                detail=self.outage,
                action="Confirm.",
            )
        self.views["d-1"] = a_drain(instance, requested_by=requested_by)
        return self.views["d-1"]

    async def uncordon(self, instance: InstanceId, *, requested_by: str) -> DrainView:
        self.asked.append((instance, None, False, requested_by))
        self.views["d-1"] = a_drain(instance, action="uncordon", total=None, requested_by=requested_by)
        return self.views["d-1"]

    async def drain_state(self, drain: str) -> DrainView:
        if drain not in self.views:
            raise unknown("drain", drain)
        if self.news:
            self.views[drain] = replace(self.views[drain], **self.news.pop(0))
        return self.views[drain]


class MemoryEnrolments:
    """Tokens and enrolments as a test lays them out."""

    def __init__(self) -> None:
        self.asked: list[TokenRequest] = []
        self.revoked: list[tuple[InstanceId, str]] = []
        self.made: list[TokenView] = []
        self.who: list[EnrolmentView] = []

    async def token(self, request: TokenRequest) -> TokenView:
        self.asked.append(request)
        view = TokenView(
            id="0123456789ab",
            instance=request.instance,
            role=request.role,
            pool=request.pool or request.role,
            labels=request.labels,
            node=request.node,
            addresses=request.addresses,
            state=TokenState.OPEN,
            made_by=request.requested_by,
            made_at=NOW,
            expires_at=NOW + timedelta(seconds=request.life_s),
            used_at=None,
            token="tmk1.the-token",
            url="https://bastion:8445",
        )
        self.made.insert(0, replace(view, token=None, url=None))
        return view

    async def tokens(self) -> Sequence[TokenView]:
        return self.made

    async def enrolled(self) -> Sequence[EnrolmentView]:
        return self.who

    async def revoke(self, instance: InstanceId, *, requested_by: str) -> RevokedView:
        self.revoked.append((instance, requested_by))
        return RevokedView(instance=instance, tokens=len(self.made), enrolled=True)


class MemoryBundles:
    """Bundles whose content is not looked at; `kept` is where their files are."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.views: list[BundleView] = []
        self.received: list[bytes] = []

    async def bundles(self) -> Sequence[BundleView]:
        return self.views

    async def bundle(self, digest: Digest) -> BundleView:
        for view in self.views:
            if view.digest == digest:
                return view
        raise unknown("bundle", digest)

    async def packed(self, digest: Digest) -> Path:
        await self.bundle(digest)
        return self.kept / digest.replace(":", "-")

    async def receive(self, chunks: AsyncIterator[bytes], *, pushed_by: str) -> BundleView:
        self.received.append(b"".join([chunk async for chunk in chunks]))
        view = a_bundle(V1, pushed_by=pushed_by)
        self.views.insert(0, view)
        return view


class MemoryTail:
    """Events that a test appends; a follower that has seen them waits for more."""

    def __init__(self) -> None:
        self.stored: list[EventView] = []
        self.lines: list[LiveView] = []
        self.asked: list[EventFilter] = []
        self.more = asyncio.Event()
        self.break_after: int | None = None

    async def events(self, query: EventFilter, *, follow: bool) -> AsyncIterator[EventView]:
        self.asked.append(query)
        sent, cursor = 0, query.cursor
        while True:
            for event in [event for event in self.stored if event.cursor > cursor]:
                if sent == self.break_after:
                    return
                sent, cursor = sent + 1, event.cursor
                yield event
            if not follow:
                return
            await self.more.wait()
            self.more.clear()

    async def live(
        self, *, instances: Sequence[InstanceId], runs: Sequence[RunId]
    ) -> AsyncIterator[LiveView]:
        for line in self.lines:
            if (not instances or line.instance in instances) and (not runs or line.run in runs):
                yield line


class Memory:
    """All of it together."""

    def __init__(self, kept: Path) -> None:
        self.fleet = MemoryFleet()
        self.runs = MemoryRuns(self.fleet)
        self.bundles = MemoryBundles(kept)
        self.tail = MemoryTail()
        self.rollouts = MemoryRollouts(self.fleet)
        self.drains = MemoryDrains()
        self.enrolments = MemoryEnrolments()

    @property
    def faces(self) -> Faces:
        return Faces(
            fleet=self.fleet,
            runs=self.runs,
            bundles=self.bundles,
            tail=self.tail,
            rollouts=self.rollouts,
            drains=self.drains,
            enrolments=self.enrolments,
        )

    def plan_of(self, **changes: Any) -> PlanView:
        view = PlanView(
            id=TICKET,
            bundle=V1,
            complete=True,
            diff_hash="sha256:abc",
            groups=(PlanGroup(instances=(ids.instance_id("worker-1"),), changes=(CHANGE,)),),
            unchanged=(),
            failed=(),
            pending=(),
            runs=(),
        )
        return replace(view, **changes)


def selects(selector: Selector, view: InstanceView) -> bool:
    return selector.everything or (
        (not selector.roles or view.role in selector.roles)
        and (not selector.instances or view.id in selector.instances)
        and all(view.labels.get(name) == value for name, value in selector.labels.items())
    )


@contextlib.contextmanager
def served(memory: Memory, socket: Path) -> Iterator[str]:
    """Serve the API beside a test that blocks; yields the URL."""
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with serve(memory.faces, SocketConfig(path=socket)):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), name="tests.api")
    thread.start()
    try:
        assert ready.wait(30)
        yield f"unix://{socket}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
