"""What playbooks of rollouts are made of: a fleet that does as told, and all laws at each move."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from broker.ids import Digest, InstanceId, MessageId, Role, RolloutId, RunId
from broker.messages import Drain, Health, Observed, Uncordon, Verdict
from orchestrator.domain import invariants
from orchestrator.domain.instance import Instance, NodeSeen, Shown
from orchestrator.domain.model import Cordon, Enrolment, Order, Run, Work
from orchestrator.domain.rollout import why as reasons
from orchestrator.domain.rollout.effects import (
    BeginOrder,
    BeginRun,
    CancelWork,
    Desire,
    DesireOfRole,
    FreeSlot,
    RolloutEffect,
    TakeSlot,
    Tell,
)
from orchestrator.domain.rollout.events import (
    InstanceChanged,
    RolloutEvent,
    RolloutStarted,
    RoomChanged,
    Woke,
    WorkEnded,
    WorkMoved,
)
from orchestrator.domain.rollout.machine import handle, next_wake
from orchestrator.domain.rollout.model import Rollout, RolloutState, Slot, Step, StepState, Why
from orchestrator.domain.rollout.scene import Scene, absence
from orchestrator.domain.rollout.strategy import Strategy
from orchestrator.domain.rollout.waves import forward_waves
from orchestrator.domain.views import PresenceState, RunState
from tests.unit.orchestrator.domain.playbook import number, result, run

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
OLD = Digest("sha256:" + "a" * 64)
NEW = Digest("sha256:" + "b" * 64)
WORKER = Role("worker")
QUICK = Strategy(canary=0, prefetch=False, health={}, drain=None)


class Upgrade:
    """A rollout over a fleet of online, converged instances; `roles` says how many of each there are."""

    def __init__(self, strategy: Strategy = QUICK, *, automatic: bool = False, **roles: int) -> None:
        self.at = NOW
        self._ids = itertools.count(0x100)
        self.slots: dict[InstanceId, Slot] = {}
        self.connected = True
        self.doubted = False
        self.desired: dict[str, Digest] = {}
        self.told: list[Tell] = []
        self.cancelled: list[str] = []
        self.begun: list[tuple[str, str]] = []
        self.instances: dict[InstanceId, Instance] = {}
        for role, count in (roles or {"worker": 3}).items():
            for index in range(count):
                name = InstanceId(f"{role}-{index + 1}")
                self.instances[name] = converged(name, Role(role))
        self.rollout = self._made(strategy, automatic=automatic)
        self.seen: set[tuple[RolloutState, StepState | None]] = set()

    def _made(self, strategy: Strategy, *, automatic: bool) -> Rollout:
        members = [(item.enrolment.id, item.enrolment.role) for item in self.instances.values()]
        waves = forward_waves(members, strategy, self.scene)
        wave_of = {name: wave.number for wave in waves for name in wave.instances}
        steps = {
            name: Step(instance=name, role=role, wave=wave_of[name], target=NEW, origin=OLD)
            for name, role in members
        }
        return Rollout(
            id=RolloutId("r-1"),
            bundle=NEW,
            strategy=strategy,
            requested_by="ann",
            created_at=NOW,
            automatic=automatic,
            waves=waves,
            steps=steps,
            whole_roles=tuple(dict.fromkeys(role for _, role in members)),
        )

    @property
    def scene(self) -> Scene:
        """The fleet as the rollout sees it."""
        members: dict[Role, list[InstanceId]] = {}
        absent: dict[Role, dict[InstanceId, Why]] = {}
        for name, item in self.instances.items():
            members.setdefault(item.enrolment.role, []).append(name)
            reason = absence(item, self.slots.get(name))
            if reason is not None:
                absent.setdefault(item.enrolment.role, {})[name] = reason
        return Scene(
            instances=self.instances,
            members=members,
            absent=absent,
            slots=self.slots,
            new_id=lambda: MessageId(number(next(self._ids))),
            connected=self.connected,
            doubted=self.doubted,
        )

    # What happens --------------------------------------------------------------------------------------

    def start(self) -> "Upgrade":
        """Let the rollout begin."""
        return self.hear(RolloutStarted(at=self.at))

    def after(self, seconds: float) -> "Upgrade":
        """Let time pass."""
        self.at += timedelta(seconds=seconds)
        return self

    def wake(self) -> "Upgrade":
        """Let a deadline come."""
        return self.hear(Woke(at=self.at))

    def hear(self, event: RolloutEvent) -> "Upgrade":
        """Let the rollout handle an event, check every law, and carry out what it wants."""
        scene = self.scene
        before = self.rollout
        after, effects, changed = handle(before, event, scene)
        assert invariants.broken(before, after, effects, scene, at=self.at, changed=changed) is None
        self.rollout = after
        for effect in effects:
            self._carry_out(effect)
        self._explained()
        if any(isinstance(effect, FreeSlot) for effect in effects):
            self.hear(RoomChanged(at=self.at))
        return self

    def _explained(self) -> None:
        """No state that can be reached is without a reason that reads as a sentence."""
        scene = self.scene
        for step in self.rollout.steps.values():
            self.seen.add((self.rollout.state, step.state))
            reason = reasons.of_step(self.rollout, step, scene, self.at)
            if step.state in {StepState.DONE, StepState.REVERTED}:
                continue
            assert reason is not None, step
            assert reasons.UNKNOWN not in reasons.sentence(reason, instance=step.instance), reason
            command = reasons.command(reason, instance=step.instance, rollout=self.rollout.id)
            assert command is None or reasons.UNKNOWN not in command, reason
        reason = reasons.of_rollout(self.rollout, self.at)
        if self.rollout.state in {RolloutState.PAUSED, RolloutState.FAILED, RolloutState.ABORTED}:
            assert reason is not None
        if reason is not None:
            assert reasons.UNKNOWN not in reasons.sentence(reason, rollout=self.rollout.id), reason

    def _carry_out(self, effect: RolloutEffect) -> None:
        match effect:
            case TakeSlot():
                owner = self.rollout.id
                slot = Slot(instance=effect.instance, role=effect.role, owner=owner, since=self.at)
                self.slots[effect.instance] = slot
            case FreeSlot():
                del self.slots[effect.instance]
            case BeginRun():
                self._begin(effect.instance, self._run(effect))
            case BeginOrder():
                self._begin(effect.instance, self._order(effect))
            case CancelWork():
                self.cancelled.append(effect.work)
            case Desire():
                self.desired[effect.instance] = effect.digest
            case DesireOfRole():
                self.desired[effect.role] = effect.digest
            case Tell():
                self.told.append(effect)

    def _begin(self, name: InstanceId, work: Work) -> None:
        self.begun.append((name, kind(work)))
        instance = self.instances[name]
        if isinstance(work, Run):
            self.instances[name] = replace(instance, runs={**instance.runs, work.id: work})
        else:
            self.instances[name] = replace(instance, orders={**instance.orders, work.id: work})

    def _run(self, effect: BeginRun) -> Run:
        return run(
            id=effect.run,
            ticket=None,
            instance=effect.instance,
            digest=effect.digest,
            noop=effect.noop,
            diff=effect.diff,
            rollout=self.rollout.id,
            released=True,
            command=number(1),
            created_at=self.at,
        )

    def _order(self, effect: BeginOrder) -> Order:
        return Order(
            id=effect.body.order,
            instance=effect.instance,
            role=self.instances[effect.instance].enrolment.role,
            owner=self.rollout.id,
            body=effect.body,
            requested_by=self.rollout.id,
            created_at=self.at,
            not_after=self.at + timedelta(hours=1),
            command=number(1),
        )

    # What wings do ---------------------------------------------------------------------------------------

    def work(self, name: str) -> Work:
        """Return what is under way on an instance in the rollout's name."""
        step = self.rollout.steps[InstanceId(name)]
        return next(each for each in self.instances[InstanceId(name)].work() if each.id == step.work)

    def begins(self, name: str) -> "Upgrade":
        """Let the wing begin what it was asked for."""
        moved = replace(self.work(name), state=RunState.RUNNING, started_at=self.at, accepted=True)
        self._put(moved)
        return self.hear(WorkMoved(at=self.at, instance=InstanceId(name), work=moved))

    def blocked(self, name: str, reason: str) -> "Upgrade":
        """Let the wing say what holds its work up."""
        self.begins(name)
        moved = replace(self.work(name), reason=reason)
        self._put(moved)
        return self.hear(WorkMoved(at=self.at, instance=InstanceId(name), work=moved))

    def succeeds(self, *names: str, diff_hash: str | None = None) -> "Upgrade":
        """Let what is under way on instances succeed, one after the other."""
        for name in names:
            self._end(name, RunState.SUCCEEDED, "", diff_hash=diff_hash)
        return self

    def fails(self, name: str, reason: str = "it broke") -> "Upgrade":
        """Let what is under way on an instance fail."""
        return self._end(name, RunState.FAILED, reason)

    def is_changed_after(self, name: str, verdict: Verdict) -> "Upgrade":
        """Let a converge succeed whose answer is old: by now the instance has proved something else."""
        work = self.work(name)
        assert isinstance(work, Run)
        started = work.started_at or self.at
        ended = replace(
            work, state=RunState.SUCCEEDED, started_at=started, finished_at=self.at, result=result(work)
        )
        self._prove(ended, verdict)
        return self._hear_end(name, ended)

    def finds_another_diff(self, name: str) -> "Upgrade":
        """Let the wing refuse a converge, since its dry run finds something else than was approved."""
        work = self.work(name)
        assert isinstance(work, Run)
        reason = "diff differs: File[/etc/motd]"
        account = replace(result(work, None), reason=reason)
        ended = replace(work, state=RunState.FAILED, reason=reason, started_at=self.at, result=account)
        return self._hear_end(name, ended)

    def is_cut_off(self, name: str) -> "Upgrade":
        """Let the wing die in the middle of it."""
        return self._end(name, RunState.INTERRUPTED, "the wing went away")

    def never_starts(self, name: str) -> "Upgrade":
        """Let what was asked for expire without having been begun."""
        work = self.work(name)
        ended = replace(work, state=RunState.FAILED, reason="never reached: lost", finished_at=self.at)
        return self._hear_end(name, ended)

    def is_cancelled(self, name: str) -> "Upgrade":
        """Let what is under way end as cancelled, not begun."""
        ended = replace(self.work(name), state=RunState.CANCELLED, reason="cancelled", finished_at=self.at)
        return self._hear_end(name, ended)

    def _end(self, name: str, state: RunState, reason: str, *, diff_hash: str | None = None) -> "Upgrade":
        work = self.work(name)
        started = work.started_at or self.at
        ended: Work = replace(work, state=state, reason=reason, started_at=started, finished_at=self.at)
        if isinstance(ended, Run):
            ended = self._with_result(ended, diff_hash)
        return self._hear_end(name, ended)

    def _with_result(self, ended: Run, diff_hash: str | None) -> Run:
        if ended.state is RunState.INTERRUPTED:
            self._prove(ended, Verdict.FAILED)
            return ended
        verdict = Verdict.CONVERGED if ended.state is RunState.SUCCEEDED else Verdict.FAILED
        if not ended.noop:
            self._prove(ended, verdict)
        account = result(ended, None if ended.noop else verdict)
        return replace(ended, result=replace(account, diff_hash=diff_hash, reason=ended.reason))

    def _prove(self, ended: Run, verdict: Verdict) -> None:
        instance = self.instances[ended.instance]
        proof = Observed(digest=ended.digest, verdict=verdict, run=ended.id, at=self.at, reason=ended.reason)
        if not ended.noop:
            self.instances[ended.instance] = replace(instance, observed=proof)

    def _hear_end(self, name: str, ended: Work) -> "Upgrade":
        who = InstanceId(name)
        instance = self.instances[who]
        cordon, lifted, node = instance.cordon, instance.lifted, instance.node
        if isinstance(ended, Order) and ended.state is RunState.SUCCEEDED:
            if isinstance(ended.body, Drain):
                cordon, lifted = Cordon(owner=ended.owner, since=self.at), None
                if node is not None and not node.unschedulable:
                    node = replace(node, unschedulable=True, owner=ended.owner)
            elif isinstance(ended.body, Uncordon):
                cordon, lifted = None, ended.owner  # Kubernetes tells of it later, or never
        runs = {key: each for key, each in instance.runs.items() if key != ended.id}
        orders = {key: each for key, each in instance.orders.items() if key != ended.id}
        self.instances[who] = replace(
            instance, runs=runs, orders=orders, cordon=cordon, lifted=lifted, node=node
        )
        return self.hear(WorkEnded(at=self.at, instance=who, work=ended))

    def _put(self, work: Work) -> None:
        instance = self.instances[work.instance]
        if isinstance(work, Run):
            self.instances[work.instance] = replace(instance, runs={**instance.runs, work.id: work})
        else:
            self.instances[work.instance] = replace(instance, orders={**instance.orders, work.id: work})

    def goes(self, name: str, state: PresenceState = PresenceState.LOST) -> "Upgrade":
        """Let an instance go away, or come back."""
        who = InstanceId(name)
        instance = self.instances[who]
        self.instances[who] = replace(instance, shown=replace(instance.shown, state=state, since=self.at))
        self.hear(InstanceChanged(at=self.at, instance=who))
        return self.hear(RoomChanged(at=self.at))

    def rejoins(self, name: str, state: PresenceState = PresenceState.ONLINE) -> "Upgrade":
        """Let another machine join in an instance's place, and its wing come."""
        who = InstanceId(name)
        before = self.instances[who]
        enrolment = replace(before.enrolment, key=f"{before.enrolment.key}+")
        for work in before.work():
            ended = replace(work, state=RunState.INTERRUPTED, reason="another machine", finished_at=self.at)
            self._hear_end(name, ended)
        self.instances[who] = replace(
            self.instances[who],
            enrolment=enrolment,
            observed=None,
            ever_ran=False,
            shown=Shown(since=self.at),
        )
        self.hear(InstanceChanged(at=self.at, instance=who))
        return self.goes(name, state)

    def sees(
        self, name: str, *, ready: bool = True, cordoned: bool = False, owner: str | None = None
    ) -> "Upgrade":
        """Let Kubernetes tell of an instance's Node."""
        node = NodeSeen(
            name=name,
            ready=ready,
            unschedulable=cordoned,
            owner=owner,
            seen_at=self.at,
            reason="" if ready else "KubeletNotReady: no network",
        )
        return self._has_node(name, node)

    def unsees(self, name: str) -> "Upgrade":
        """Let a Node go, or be forgotten."""
        return self._has_node(name, None)

    def _has_node(self, name: str, node: NodeSeen | None) -> "Upgrade":
        who = InstanceId(name)
        self.instances[who] = replace(self.instances[who], node=node)
        return self.hear(RoomChanged(at=self.at)) if self.told else self

    def comes(self, name: str) -> "Upgrade":
        """Let an instance come back."""
        return self.goes(name, PresenceState.ONLINE)

    # What a test looks at ----------------------------------------------------------------------------------

    @property
    def state(self) -> RolloutState:
        """The rollout's state."""
        return self.rollout.state

    @property
    def steps(self) -> dict[str, StepState]:
        """Each instance's state."""
        return {name: step.state for name, step in self.rollout.steps.items()}

    def step(self, name: str) -> Step:
        """Return an instance's step."""
        return self.rollout.steps[InstanceId(name)]

    def why(self, name: str | None = None) -> str:
        """Return why an instance, or the rollout, waits or failed, as a sentence."""
        reason = (
            reasons.of_rollout(self.rollout, self.at)
            if name is None
            else reasons.of_step(self.rollout, self.step(name), self.scene, self.at)
        )
        return "" if reason is None else reasons.sentence(reason, instance=name or "", rollout="r-1")

    def told_of(self, reason: Why) -> tuple[str, str | None]:
        """Return a reason's sentence and next safe command."""
        return reasons.sentence(reason), reasons.command(reason)

    def again(self, strategy: Strategy) -> "Upgrade":
        """Plan the rollout anew, over the fleet as it is now."""
        self.rollout = self._made(strategy, automatic=False)
        return self

    def command(self, name: str | None = None) -> str | None:
        """Return the next safe command for an instance, or the rollout."""
        reason = (
            reasons.of_rollout(self.rollout, self.at)
            if name is None
            else reasons.of_step(self.rollout, self.step(name), self.scene, self.at)
        )
        return None if reason is None else reasons.command(reason, instance=name or "", rollout="r-1")

    def under_way(self) -> dict[str, str]:
        """Return what is asked of whom now, by kind."""
        return {name: kind(work) for name, item in self.instances.items() for work in item.work()}

    def next_wake(self) -> float | None:
        """Return in how many seconds the rollout wants to be woken."""
        due = next_wake(self.rollout, self.scene, self.at)
        return None if due is None else (due - self.at).total_seconds()

    def to_the_end(self, most: int = 200, *, machines: bool = False) -> "Upgrade":
        """Let all that is asked for succeed, and deadlines come, until nothing is left.

        With `machines`, each one that is to be made anew is.
        """
        for _ in range(most):
            self.end_what_was_given_up()
            awaited = [name for name, step in self.rollout.steps.items() if step.state is StepState.REPLACING]
            if machines and awaited and self.rollout.state.may_start:
                self.rejoins(awaited[0])
                continue
            waiting = [name for name, step in self.rollout.steps.items() if step.work is not None]
            if waiting:
                self.succeeds(waiting[0])
            elif self.rollout.state.is_final or self.next_wake() is None:
                return self
            else:
                self.after(self.next_wake() or 0).wake()
        raise AssertionError(f"no end: {self.steps}")

    def end_what_was_given_up(self) -> None:
        """Let wings answer what the rollout has cancelled and waits for no longer."""
        for name, step in self.rollout.steps.items():
            for work in self.instances[name].work():
                if work.id != step.work:
                    self._hear_end(name, replace(work, state=RunState.CANCELLED, finished_at=self.at))


def converged(name: InstanceId, role: Role, digest: Digest = OLD) -> Instance:
    """Return an online instance that has proved to have a bundle."""
    proof = Observed(
        digest=digest, verdict=Verdict.CONVERGED, run=RunId(number(1)), at=NOW - timedelta(days=1)
    )
    enrolment = Enrolment(id=name, role=role, pool="p", labels={}, key="", enrolled_at=NOW)
    shown = Shown(state=PresenceState.ONLINE, since=NOW - timedelta(days=1))
    return Instance(enrolment=enrolment, observed=proof, ever_ran=True, shown=shown)


def kind(work: Work) -> str:
    """Return what a run or an order is, in a word."""
    match work:
        case Run():
            return "noop" if work.noop else "converge"
        case Order(body=Drain()):
            return "drain"
        case Order(body=Uncordon()):
            return "uncordon"
        case Order(body=Health()):
            return "health"
    raise AssertionError(work)


def named(tells: Iterable[Tell]) -> list[str]:
    """Return the kinds of lines."""
    return [tell.kind for tell in tells]


def strategy(base: Strategy = QUICK, **changes: Any) -> Strategy:
    """Return a strategy that is quick but for what a test is about."""
    return replace(base, **changes)


def states(book: Upgrade) -> Mapping[str, str]:
    """Return each instance's state as text."""
    return {name: state.value for name, state in book.steps.items()}
