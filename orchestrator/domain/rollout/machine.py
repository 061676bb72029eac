"""The heart of an upgrade: `rollout, effects = handle(rollout, event, scene)`, and nothing else decides.

A rollout goes wave by wave, a wave's steps each by itself (`steps`). This module says who answers which
event; what holds for the rollout as a whole (waves, budget, the way back, ends) is in `course`.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from broker.ids import InstanceId
from orchestrator.domain.rollout import acts, answers, asking, course, gates, outcomes, replacing, steps
from orchestrator.domain.rollout.effects import FreeSlot, RolloutEffect
from orchestrator.domain.rollout.events import (
    AbortAsked,
    BreachFound,
    InstanceChanged,
    InstanceGone,
    PauseAsked,
    ProgressSeen,
    Reconnected,
    ResumeAsked,
    RetryAsked,
    RevertAsked,
    RolloutEvent,
    RolloutStarted,
    RoomChanged,
    SkipAsked,
    Woke,
    WorkEnded,
    WorkMoved,
)
from orchestrator.domain.rollout.model import Cause, Rollout, RolloutState, Step, StepState
from orchestrator.domain.rollout.scene import Scene
from orchestrator.domain.rollout.turn import Turn, why


def handle(
    rollout: Rollout, event: RolloutEvent, scene: Scene
) -> tuple[Rollout, tuple[RolloutEffect, ...], tuple[InstanceId, ...]]:
    """Return the rollout after `event`, what has to be done because of it, and which steps have changed."""
    if rollout.state.is_final:
        return rollout, (), ()
    turn = Turn(rollout=rollout, at=event.at, scene=scene)
    _dispatch(turn, event)
    if not isinstance(event, WorkMoved | ProgressSeen):
        course.settle(turn)
    return turn.rollout, tuple(turn.effects), tuple(turn.changed)


def next_wake(rollout: Rollout, scene: Scene, at: datetime) -> datetime | None:
    """Return when the rollout wants a `Woke`, None if nothing is due by itself."""
    if rollout.state.is_final:
        return None
    window = rollout.strategy.window
    due = [due for step in _under_way(rollout) if (due := _deadline(rollout, step, scene, at)) is not None]
    if rollout.soak_until is not None and rollout.soak_until > at:
        due.append(rollout.soak_until)
    if window is not None and not window.is_open(at):
        due.append(window.opens(at))
    return min(due, default=None)


def _dispatch(turn: Turn, event: RolloutEvent) -> None:  # noqa: C901, PLR0912 - it only dispatches
    match event:
        case RolloutStarted():
            course.start(turn)
        case WorkMoved():
            _moved(turn, event)
        case ProgressSeen():
            _seen(turn, event)
        case WorkEnded():
            _ended(turn, event)
        case InstanceChanged():
            _changed(turn, event.instance)
        case InstanceGone():
            _gone(turn, event.instance)
        case RoomChanged():
            pass  # settling looks at all that waits
        case Reconnected():
            _reconnected(turn)
        case Woke():
            _woke(turn)
        case PauseAsked():
            acts.pause(turn, why(Cause.PAUSED_BY_OPERATOR, by=event.by))
        case ResumeAsked():
            acts.resume(turn, beyond=event.beyond)
        case AbortAsked():
            acts.abort(turn, by=event.by)
        case RetryAsked():
            acts.retry(turn, event.instances, beyond=event.beyond)
        case SkipAsked():
            acts.skip(turn, event.instances, by=event.by)
        case RevertAsked():
            acts.revert(turn, by=event.by)
        case BreachFound():
            acts.pause(turn, why(Cause.INVARIANT_BROKEN, law=event.law))
        case _:
            assert_never(event)


def _moved(turn: Turn, event: WorkMoved) -> None:
    step = turn.rollout.steps.get(event.instance)
    if step is not None and step.work == event.work.id:
        touched = step.touched or outcomes.changed(event.work)
        moved = replace(step, progressed_at=turn.at, touched=touched)
        if touched != step.touched:
            turn.put(moved)
        else:
            _note(turn, moved)


def _seen(turn: Turn, event: ProgressSeen) -> None:
    step = turn.rollout.steps.get(event.instance)
    if step is not None and step.work == event.work:
        _note(turn, replace(step, progressed_at=turn.at))


def _note(turn: Turn, step: Step) -> None:
    """Remember a sign of progress, which need not be written: deadlines begin anew after a restart."""
    turn.put(step)
    del turn.changed[step.instance]


def _ended(turn: Turn, event: WorkEnded) -> None:
    step = turn.rollout.steps.get(event.instance)
    if step is not None and step.work == event.work.id:
        answers.ended(turn, step, event.work)


def _changed(turn: Turn, instance: InstanceId) -> None:
    step = turn.rollout.steps.get(instance)
    if step is None or step.state.is_over:
        return
    if step.state is StepState.REPLACING:
        steps.advance(turn, replacing.noticed(turn, replacing.fresh(turn, step)))  # whichever wave is open
    elif turn.scene.is_there(instance):
        step = replace(step, progressed_at=turn.at if step.work is not None else step.progressed_at)
        _note(turn, step)


def _gone(turn: Turn, instance: InstanceId) -> None:
    step = turn.rollout.steps.get(instance)
    if step is None or step.state in {StepState.DONE, StepState.SKIPPED, StepState.REVERTED}:
        return
    if turn.scene.owner_of(instance) == turn.rollout.id:
        turn.then(FreeSlot(instance=instance))
    turn.to(step, StepState.SKIPPED, why=why(Cause.REVOKED, instance=instance), cordoned=False)


def _reconnected(turn: Turn) -> None:
    for step in list(turn.rollout.steps.values()):
        if step.state is StepState.REPLACING:
            replacing.fresh(turn, step)


def _woke(turn: Turn) -> None:
    for step in list(_under_way(turn.rollout)):
        at = _deadline(turn.rollout, step, turn.scene, turn.at)
        if at is None or at > turn.at:
            continue
        if step.state is StepState.WAITING:
            steps.knock_again(turn, step)
            continue
        deadline_s = turn.rollout.strategy.progress_deadline_s
        if step.state is StepState.REPLACING:
            steps.fail(turn, step, replacing.silent(step, deadline_s))
            continue
        since = f"{deadline_s} s"
        found = why(Cause.SILENT, instance=step.instance, state=step.state.value, silent=since)
        steps.fail(turn, step, found)


def _under_way(rollout: Rollout) -> list[Step]:
    """Return the steps that a deadline may be for.

    Those whose machines are made anew are away, whichever wave is open.
    """
    wave = rollout.open_wave
    names = () if wave is None else wave.instances
    every = rollout.steps.values() if rollout.state is RolloutState.PAUSED or rollout.reverting else None
    found = every if every is not None else [rollout.steps[name] for name in names]
    under_way = [step for step in found if step.work is not None or step.state is StepState.WAITING]
    if rollout.strategy.replace:
        under_way += [step for step in rollout.steps.values() if step.state is StepState.REPLACING]
    return under_way


def _deadline(rollout: Rollout, step: Step, scene: Scene, at: datetime) -> datetime | None:
    """Return when a step's silence becomes failure; it counts only while both sides are connected.

    Of a machine that is made anew it counts while the rollout goes on: nobody makes it in one that stopped.
    For one that waits for its members' quorum it is when they are asked again, unless the rollout has stopped
    or a gate is shut: then whatever changes that comes first.
    """
    if step.progressed_at is None:
        return None
    if step.state is StepState.REPLACING:
        if not scene.connected or not rollout.state.may_start:
            return None
        return step.progressed_at + timedelta(seconds=rollout.strategy.progress_deadline_s)
    if step.work is None:
        probed = step.state is StepState.WAITING and step.why is not None and rollout.state.may_start
        held = not probed or gates.step_held(rollout, step, scene, at) is not None
        return None if held else step.progressed_at + timedelta(seconds=asking.PROBE_S)
    if not scene.connected or not scene.is_there(step.instance):
        return None
    return step.progressed_at + timedelta(seconds=rollout.strategy.progress_deadline_s)
