"""What follows from the end of what a step waited for.

Whatever ended without having done harm is asked for again, but not for ever.
"""

from dataclasses import replace

from broker.messages import OnTimeout
from orchestrator.domain.model import Work
from orchestrator.domain.rollout import outcomes, steps
from orchestrator.domain.rollout.model import Cause, Leaving, RolloutState, Step, StepState
from orchestrator.domain.rollout.turn import Turn, why
from orchestrator.domain.views import RunState


def ended(turn: Turn, step: Step, work: Work) -> None:
    """Take a step on after its work has ended."""
    step = turn.put(
        replace(step, work=None, progressed_at=turn.at, touched=step.touched or outcomes.changed(work))
    )
    if turn.rollout.state is RolloutState.REVERTING and step.touched and not step.back:
        lifted = step.state is StepState.UNCORDONING and work.state is RunState.SUCCEEDED
        turn.put(replace(step, leaving=None, cordoned=step.cordoned and not lifted))
    elif work.state is RunState.SUCCEEDED:
        steps.passed(turn, step, work)
    elif outcomes.was_cut_off(work):
        _again(turn, step, work)
    elif work.state is RunState.CANCELLED:
        _cancelled(turn, step, work)
    else:
        _failed(turn, step, work)


def _again(turn: Turn, step: Step, work: Work) -> None:
    """Ask again for what was cut off, unless that has been done often enough or the rollout has stopped."""
    if step.state is StepState.WAITING:
        turn.put(replace(step, why=why(Cause.QUORUM_NOT_SEEN, instance=step.instance, reason=work.reason)))
        return
    most = (
        outcomes.MOST_CONVERGES
        if step.state is StepState.CONVERGING and work.started_at
        else outcomes.MOST_TRIES
    )
    if work.started_at is None:
        step = turn.put(replace(step, tries=max(0, step.tries - 1)))
    if step.tries >= most and work.started_at is not None:
        _failed(turn, step, work)
    elif step.state is StepState.PREFETCHING and not turn.may_start():
        turn.to(step, StepState.PENDING)
    elif step.state is StepState.DRAINING and (step.leaving is not None or not turn.may_start()):
        steps.take_back(turn, step, step.leaving or Leaving.PENDING)
    elif step.state is StepState.CONVERGING and not turn.may_start():
        if step.touched:
            _failed(turn, step, work)
        else:
            steps.give_up_converge(turn, step)
    elif turn.scene.is_there(step.instance):
        steps.ask(turn, step)


def _cancelled(turn: Turn, step: Step, work: Work) -> None:
    """Take a step back whose work was ended because the rollout has stopped; else somebody else did it."""
    if step.state is StepState.WAITING:
        return
    if step.state is StepState.PREFETCHING and not turn.may_start():
        turn.to(step, StepState.PENDING)
    elif step.state is StepState.DRAINING and step.leaving is not None:
        steps.take_back(turn, step, step.leaving)
    elif step.state is StepState.CONVERGING and step.leaving is not None and not outcomes.changed(work):
        steps.give_up_converge(turn, step)
    else:
        _failed(turn, step, work)


def _failed(turn: Turn, step: Step, work: Work) -> None:
    reason = work.reason or work.state.value
    if step.state is StepState.WAITING:
        turn.put(
            replace(step, why=why(Cause.NO_QUORUM, instance=step.instance, role=step.role, reason=reason))
        )
        return
    cause = Cause.DIFF_DIFFERS if reason.startswith(outcomes.DIFF_DIFFERS) else outcomes.FAILURES[step.state]
    found = why(cause, instance=step.instance, reason=reason, work=outcomes.step_work(work))
    policy = turn.rollout.strategy.drain
    if step.state is StepState.DRAINING and policy is not None and policy.on_timeout is not OnTimeout.KEEP:
        steps.take_back(turn, step, Leaving.FAILED, found)
    elif cause is Cause.DIFF_DIFFERS and not step.touched:
        steps.give_up_converge(turn, replace(step, leaving=Leaving.FAILED, why=found))
    else:
        steps.fail(turn, step, found)
