"""What is done to a rollout as a whole, whoever wants it: pause, resume, retry, skip, abort, revert."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from broker.ids import InstanceId
from orchestrator.domain.rollout import replacing, steps, stopping
from orchestrator.domain.rollout.effects import CancelWork, FreeSlot
from orchestrator.domain.rollout.model import (
    Cause,
    Leaving,
    RolloutState,
    Step,
    StepState,
    Timings,
    Why,
)
from orchestrator.domain.rollout.turn import Turn, why
from orchestrator.domain.rollout.waves import back_waves

FAILURES = frozenset({Cause.TOO_MANY_FAILED, Cause.SOME_FAILED, Cause.REVERT_FAILED, Cause.FAILED_TAKE_ROOM})


def failed(turn: Turn) -> list[Step]:
    """Return the steps that have failed."""
    return [step for step in turn.rollout.steps.values() if step.state is StepState.FAILED]


def counted(turn: Turn) -> dict[str, str]:
    """Return what a sentence about a rollout's failures says: how many, who, and what failed first."""
    those = failed(turn)
    first = min(those, key=lambda step: step.since or turn.at, default=None)
    reason = "" if first is None or first.why is None else first.why.said.get("reason", first.why.cause.value)
    return {
        "failed": str(len(those)),
        "total": str(len(turn.rollout.steps)),
        "who": ", ".join(sorted(step.instance for step in those)),
        "instance": "" if first is None else first.instance,
        "reason": reason,
    }


def pause(turn: Turn, reason: Why) -> None:
    """Let nothing new start; what is away comes back or ends what it has begun."""
    if turn.rollout.state is RolloutState.PAUSED:
        return
    turn.move(RolloutState.PAUSED, reason)
    for step in list(turn.rollout.steps.values()):
        stopping.stop(turn, step, Leaving.PENDING)


def resume(turn: Turn, *, beyond: int) -> None:
    """Go on; what has failed so far was seen, and doesn't stop it again.

    What was cut off meanwhile is begun again, whichever wave is open: its instance is away.
    """
    turn.become(forgiven=turn.rollout.failed, beyond=max(beyond, turn.rollout.beyond))
    turn.move(RolloutState.REVERTING if turn.rollout.reverting else RolloutState.PROGRESSING)
    if not turn.rollout.reverting:
        for step in list(turn.rollout.steps.values()):
            if step.state is StepState.REPLACING:
                step = replacing.fresh(turn, step)  # noqa: PLW2901 - the same step, heard of now
            if step.state.is_away:
                steps.advance(turn, step)


def retry(turn: Turn, instances: tuple[InstanceId, ...], *, beyond: int) -> None:
    """Try failed steps again; on the way back those that were changed, for the others have what they had."""
    for step in failed(turn):
        if step.back is turn.rollout.reverting and (not instances or step.instance in instances):
            _begin_again(turn, step)
            turn.become(wave=min(turn.rollout.wave, _wave_of(turn, step)), soak_until=None)
    resume(turn, beyond=beyond)


def _begin_again(turn: Turn, step: Step) -> None:
    """Begin a failed step anew; one whose machine is not there waits for that, for it can't be asked."""
    is_gone = replacing.has_failed(step) and not step.back
    state = StepState.REPLACING if is_gone else StepState.PENDING
    turn.to(step, state, timings=replace(Timings(), away_at=step.timings.away_at))


def _wave_of(turn: Turn, step: Step) -> int:
    waves = turn.rollout.back_waves if turn.rollout.reverting else turn.rollout.waves
    return next((wave.number for wave in waves if step.instance in wave.instances), turn.rollout.wave)


def skip(turn: Turn, instances: Iterable[InstanceId], *, by: str) -> None:
    """Go on without these instances; one whose failure had stopped the rollout stops it no longer."""
    reason = why(Cause.SKIPPED_BY_OPERATOR, by=by)
    for name in instances:
        step = turn.step(name)
        if step.state is StepState.DRAINING:
            stopping.stop(turn, replace(step, why=reason), Leaving.SKIPPED)
        elif step.state is StepState.REPLACING and not step.replaced and turn.scene.is_there(name):
            steps.take_back(turn, step, Leaving.SKIPPED, reason)  # by the machine that it was
        elif may_skip(step):
            _leave_out(turn, step, reason)
    stopped_by = turn.rollout.why if turn.rollout.state is RolloutState.PAUSED else None
    if stopped_by is not None and stopped_by.cause in FAILURES and not turn.rollout.failed:
        resume(turn, beyond=0)


def may_skip(step: Step) -> bool:
    """Tell whether a step can be left out: its instance is not in the middle of something."""
    return step.state in {
        StepState.PENDING,
        StepState.PREFETCHING,
        StepState.WAITING,
        StepState.DRAINING,
        StepState.REPLACING,
        StepState.FAILED,
    }


def _leave_out(turn: Turn, step: Step, reason: Why) -> None:
    if step.work is not None:
        turn.then(CancelWork(instance=step.instance, work=step.work))
    turn.then(*freed(turn, step))
    steps.leave_as_it_was(turn, step)
    turn.to(step, StepState.SKIPPED, why=reason)


def abort(turn: Turn, *, by: str) -> None:
    """End where it is, once nothing is under way any more."""
    turn.become(aborted_by=by)
    aborting = why(Cause.ABORTING, by=by)
    if turn.rollout.state is RolloutState.PAUSED:
        turn.become(why=aborting)
    else:
        pause(turn, aborting)


def revert(turn: Turn, *, by: str) -> None:
    """Take every instance that was changed back where it was, those that failed first."""
    if turn.rollout.reverting:
        resume(turn, beyond=0)
        return
    turn.become(reverting=True, reverted_by=by, wave=1, soak_until=None)
    turn.move(RolloutState.REVERTING)
    reason = why(Cause.NEVER_BEGUN)
    for step in list(turn.rollout.steps.values()):
        if step.state in {StepState.PENDING, StepState.PREFETCHING, StepState.WAITING} and not step.touched:
            _leave_out(turn, step, reason)
        elif not step.state.is_over:
            stopping.stop(turn, replace(step, why=reason), Leaving.SKIPPED)
        elif step.state is StepState.FAILED and not step.touched:
            turn.then(*freed(turn, step))
    concerned = [step for step in turn.rollout.steps.values() if _comes_back(step)]
    turn.become(
        forgiven=sum(not step.touched for step in failed(turn)),
        back_waves=back_waves(concerned, turn.rollout.strategy, turn.scene),
    )


def freed(turn: Turn, step: Step) -> Iterator[FreeSlot]:
    """Give a step's slot back, if its rollout has it."""
    if turn.scene.owner_of(step.instance) == turn.rollout.id:
        yield FreeSlot(instance=step.instance)


def _comes_back(step: Step) -> bool:
    """Tell whether a step has to be taken back, now or once what it does has ended."""
    return step.touched or step.state in {StepState.CONVERGING, StepState.VERIFYING}
