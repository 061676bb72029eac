"""What must always hold, as code: the nine laws of rollouts, checked on every transition before it is made.

A rollout's next move is compared with these before it becomes real; one that would break a law is not made,
and the rollout stops and says which. So a mistake anywhere in the decisions costs a pause, not a quorum.

1. Never more of a role away through us than `max_unavailable`, counting those away for any reason.
2. Never below quorum in etcd or vault through us.
3. At most one thing that changes a host under way on an instance, and one owner of it.
4. Nothing of a lower epoch after a higher was seen.
5. Each accepted command gets exactly one final answer.
6. Converged only with a proof.
7. Only our own cordons are lifted, whom others cordoned is left alone, and at the end none is left unnamed.
8. Paused, failed or aborted: nothing new starts.
9. What is sent was written before, so that a crash changes nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

from broker.ids import Epoch, InstanceId, OrderId, RunId
from broker.messages import Ack, Command, Drain, Health, Ping, Replay, Report, Uncordon, Verdict
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Order, Run
from orchestrator.domain.rollout import gates
from orchestrator.domain.rollout.effects import (
    BeginOrder,
    BeginRun,
    CancelWork,
    FreeSlot,
    RolloutEffect,
    TakeSlot,
)
from orchestrator.domain.rollout.model import Rollout, Step, StepState
from orchestrator.domain.rollout.scene import Scene, has, is_under_way
from orchestrator.domain.rollout.strategy import QUORATE
from orchestrator.domain.views import RunState

_CONTROLS = (Ping, Ack, Replay, Report)


def broken(
    before: Rollout,
    after: Rollout,
    effects: Iterable[RolloutEffect],
    scene: Scene,
    *,
    at: datetime,
    changed: Collection[InstanceId] = (),
) -> str | None:
    """Return the first law that a rollout's move would break, None if it keeps them all."""
    made = tuple(effects)
    laws = (
        *_room(after, made, scene, at),
        *_one_at_a_time(after, made, scene),
        *_proofs(before, after, scene, changed),
        *_cordons(after, made, scene),
        *_nothing_new(after, made),
    )
    return next(iter(laws), None)


def _room(after: Rollout, effects: tuple[RolloutEffect, ...], scene: Scene, at: datetime) -> Iterator[str]:
    """Yield breaches of laws 1 and 2: of what a role can spare, slot by slot."""
    for effect in effects:
        if isinstance(effect, FreeSlot):
            scene = scene.without_slot(effect.instance)
        if not isinstance(effect, TakeSlot):
            continue
        scene = scene.with_slot(effect.instance, effect.role, after.id, at)
        total = len(scene.members.get(effect.role, ()))
        away = set(scene.absent.get(effect.role, {}))
        most = after.strategy.unavailable_of(effect.role, total)
        counted = away - gates.overlooked(after)
        if len(counted) > most and effect.instance in counted:
            yield f"1: {len(counted)} of {total} of role {effect.role} would be away, allowed are {most}"
        if effect.role in QUORATE and total > 1 and total - len(away) < gates.quorum(total):
            yield f"2: {total - len(away)} of {total} of role {effect.role} would be left, below its quorum"


def _one_at_a_time(after: Rollout, effects: tuple[RolloutEffect, ...], scene: Scene) -> Iterator[str]:
    """Yield breaches of law 3: of one change at a time, by one owner."""
    owned = {effect.instance for effect in effects if isinstance(effect, TakeSlot)}
    ended = {effect.work for effect in effects if isinstance(effect, CancelWork)}
    begun: set[InstanceId] = set()
    for effect in effects:
        if not _changes_host(effect) or not isinstance(effect, BeginRun | BeginOrder):
            continue
        who = effect.instance
        instance = scene.instances.get(who)
        open_work = () if instance is None else instance.work()
        other = next((work for work in open_work if work.id not in ended and is_under_way(work)), None)
        if other is not None or who in begun:
            yield f"3: a second change on {who} would be under way"
        if _disrupts(effect) and who not in owned and scene.owner_of(who) != after.id:
            yield f"3: {who} would be disrupted without a slot of {after.id}"
        begun.add(who)


def _proofs(before: Rollout, after: Rollout, scene: Scene, changed: Collection[InstanceId]) -> Iterator[str]:
    """Yield breaches of law 6: of ends that no proof stands behind."""
    for name in changed:
        step, old = after.steps[name], before.steps.get(name)
        if old is not None and old.state is step.state:
            continue
        instance = scene.instances.get(name)
        if step.state is StepState.CONVERGING and _is_on_the_old_machine(after, step, instance):
            yield f"6: {name} would be converged before its machine is made anew"
        if step.state in {StepState.VERIFYING, StepState.REVERTED} and not _is_proved(step, instance):
            yield f"6: {name} would count as {step.state.value} without a proof"


def _is_on_the_old_machine(after: Rollout, step: Step, instance: Instance | None) -> bool:
    if not after.strategy.replace or step.back:
        return False
    return instance is None or step.former is None or instance.enrolment.key == step.former


def _is_proved(step: Step, instance: Instance | None) -> bool:
    return instance is not None and has(instance, step.goal)


def _cordons(after: Rollout, effects: tuple[RolloutEffect, ...], scene: Scene) -> Iterator[str]:
    """Yield breaches of law 7: of whose cordon is whose."""
    for effect in effects:
        if isinstance(effect, TakeSlot):
            foreign = gates.cordoned(scene, effect.instance, after.id)
            if foreign is not None:
                yield f"7: {effect.instance} would be disrupted, and is cordoned by {foreign.said['owner']}"
        if not isinstance(effect, BeginOrder) or not isinstance(effect.body, Drain | Uncordon):
            continue
        if effect.body.owner != after.id:
            yield f"7: the cordon of {effect.instance} is {effect.body.owner}'s, not {after.id}'s"


def _nothing_new(after: Rollout, effects: tuple[RolloutEffect, ...]) -> Iterator[str]:
    """Yield breaches of law 8: of what starts in a rollout that was stopped, and is not ended at once."""
    if after.state.may_start:
        return
    ended = {effect.instance for effect in effects if isinstance(effect, CancelWork)}
    for effect in effects:
        if isinstance(effect, TakeSlot | BeginRun | BeginOrder) and effect.instance in ended:
            continue
        if isinstance(effect, TakeSlot | BeginRun) or (
            isinstance(effect, BeginOrder) and isinstance(effect.body, Drain)
        ):
            yield f"8: {effect.instance} would be disrupted though the rollout is {after.state.value}"


def _changes_host(effect: RolloutEffect) -> bool:
    if isinstance(effect, BeginOrder):
        return not isinstance(effect.body, Health)
    return isinstance(effect, BeginRun) and not effect.noop


def _disrupts(effect: BeginRun | BeginOrder) -> bool:
    return isinstance(effect, BeginRun) or isinstance(effect.body, Drain)


def burst_broken(
    commands: Iterable[Command], *, epoch: Epoch, instances: Mapping[InstanceId, Instance]
) -> str | None:
    """Return the first law that what is about to be sent would break: of epochs, and of crashes.

    What the `deliveries` of an instance have is in the journal before it is sent, so no crash can lose it.
    """
    for command in commands:
        who = command.target.instance
        if isinstance(command.body, _CONTROLS) or who is None or who not in instances:
            continue
        standing = instances[who].standing
        if command.epoch != epoch:
            return f"4: command {command.id} would go out in epoch {command.epoch}, the leader's is {epoch}"
        if standing is not None and standing.epoch > epoch:
            return f"4: {who} has seen epoch {standing.epoch}, command {command.id} is of epoch {epoch}"
        if command.id not in instances[who].deliveries:
            return f"9: command {command.id} to {who} would go out without having been written"
    return None


def contradicted(ended: Mapping[RunId | OrderId, RunState], works: Iterable[Run | Order]) -> str | None:
    """Return the breach of law 5 or 6 in what is about to be written: another end, or one without proof."""
    for work in works:
        known = ended.get(work.id)
        if known is not None and work.state is not known:
            return f"5: {work.id} has ended as {known.value}, and would become {work.state.value}"
        if isinstance(work, Run) and work.state is RunState.SUCCEEDED and not _is_success(work):
            return f"6: run {work.id} would succeed without a proof"
    return None


def _is_success(run: Run) -> bool:
    if run.result is None:
        return False
    return run.noop or run.result.verdict in {Verdict.CONVERGED, Verdict.APPLIED}
