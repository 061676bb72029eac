"""An instance whose machine is made anew: what the step waits for, and what it goes on with.

Whoever ends the old machine and makes the new one is no part of the rollout; it is known by what it comes to.
The new machine joins with a token, by another signing key than the one that the step has found; what the old
one said, or may still say, is signed with that one and can't be taken for it.
"""

from dataclasses import replace

from orchestrator.domain.rollout.model import Cause, Rollout, Step, StepState, Why
from orchestrator.domain.rollout.scene import Scene, presence
from orchestrator.domain.rollout.turn import Turn, why


def is_due(turn: Turn, step: Step) -> bool:
    """Tell whether a step that is ready to be changed has to get another machine first."""
    return turn.rollout.strategy.replace and not step.back and not step.replaced


def begin(turn: Turn, step: Step) -> Step:
    """Have a machine made anew; from now on it may be another one, so that only a proof says what it is."""
    former = turn.scene.instances[step.instance].enrolment.key
    away = replace(step.timings, away_at=step.timings.away_at or turn.at)
    return turn.to(step, StepState.REPLACING, former=former, touched=True, timings=away)


def has_failed(step: Step) -> bool:
    """Tell whether a step ended while it waited for its new machine, which may still be made."""
    return step.state is StepState.FAILED and step.former is not None and not step.replaced


def noticed(turn: Turn, step: Step) -> Step:
    """Take in that the new machine has joined, if it has."""
    instance = turn.scene.instances.get(step.instance)
    if step.replaced or instance is None or instance.enrolment.key == step.former:
        return step
    return turn.put(replace(step, replaced=True, progressed_at=turn.at))


def fresh(turn: Turn, step: Step) -> Step:
    """Let the silence begin anew, for somebody is at it; that need not be written."""
    was_changed = step.instance in turn.changed
    step = turn.put(replace(step, progressed_at=turn.at))
    if not was_changed:
        del turn.changed[step.instance]
    return step


def is_through(turn: Turn, step: Step) -> bool:
    """Tell whether the new machine is there, and its wing online."""
    return step.replaced and turn.scene.is_there(step.instance)


def silent(step: Step, silent_s: int) -> Why:
    """Return why a step has failed of whose machine nothing was heard for so long."""
    missing = "the wing of the new one was not online" if step.replaced else "no new one has joined"
    return why(Cause.NOT_REPLACED, instance=step.instance, reason=f"{missing} for {silent_s} s")


def left(step: Step) -> Why:
    """Return why a step has failed whose rollout ended before its machine was there."""
    return why(Cause.REPLACEMENT_LEFT, instance=step.instance)


def waits(rollout: Rollout, step: Step, scene: Scene) -> Why:
    """Return what a step in REPLACING waits for."""
    instance = scene.instances.get(step.instance)
    if instance is None:
        return why(Cause.REVOKED, instance=step.instance)
    if not step.replaced:
        return why(Cause.BEING_REPLACED, instance=step.instance, rollout=rollout.id)
    if not scene.is_there(step.instance):
        return why(Cause.NEW_WING_AWAITED, instance=step.instance, presence=presence(instance))
    return _goes_on(rollout)


def _goes_on(rollout: Rollout) -> Why:
    if rollout.state.may_start:
        return why(Cause.REPORT_DUE)
    return why(Cause.ROLLOUT_STOPPED, state=rollout.state.value, rollout=rollout.id)
