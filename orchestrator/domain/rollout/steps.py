"""One instance's way through a rollout: what is asked of its wing next, and how it goes on from there.

A step waits for one run or order at a time (`work`); what follows from its end is in `answers`. A drain that
shall not go on is taken back, so that no instance stays away for nothing.
"""

from dataclasses import replace
from typing import Final

from broker.ids import OrderId, RunId
from broker.messages import (
    Health,
)
from orchestrator.domain.model import Run, Work
from orchestrator.domain.rollout import asking, gates, outcomes, replacing
from orchestrator.domain.rollout.effects import BeginOrder, BeginRun, CancelWork, Desire, FreeSlot, TakeSlot
from orchestrator.domain.rollout.model import Cause, Leaving, Step, StepState, Why
from orchestrator.domain.rollout.scene import has, is_there
from orchestrator.domain.rollout.turn import Turn, why

GOING_BACK: Final = frozenset({StepState.VERIFYING, StepState.UNCORDONING})
"""What brings an instance back goes on in a rollout that was stopped."""


def may_advance(step: Step) -> bool:
    """Tell whether a step has anything to go on with by itself: it waits for no answer, and is not over."""
    return step.work is None and not step.state.is_over


def advance(turn: Turn, step: Step) -> None:
    """Take a step on as far as it goes without waiting for its wing."""
    if not may_advance(step):
        return
    if step.state not in GOING_BACK and not turn.may_start():
        return
    match step.state:
        case StepState.PENDING:
            _begin(turn, step)
        case StepState.WAITING:
            _knock(turn, step)
        case StepState.SOAKING:
            pass  # its wave decides
        case StepState.REPLACING:
            _look_for_machine(turn, replacing.noticed(turn, step))
        case _ if turn.scene.is_there(step.instance):
            ask(turn, step)
        case _:
            pass  # it is asked when it is back


def _begin(turn: Turn, step: Step) -> None:
    instance = turn.scene.instances.get(step.instance)
    if instance is None or not is_there(instance):
        return
    begun = replace(step.timings, begun_at=step.timings.begun_at or turn.at)
    strategy = turn.rollout.strategy
    if step.back and step.origin is None:
        fail(turn, step, why(Cause.NOTHING_TO_GO_BACK_TO, instance=step.instance))
    elif not (step.back or step.touched or strategy.replace) and has(instance, step.target):
        turn.to(step, StepState.SKIPPED, why=why(Cause.HAS_IT_ALREADY, instance=step.instance))
    elif not (step.back or strategy.replace) and (strategy.prefetch or step.approved is not None):
        ask(turn, turn.to(step, StepState.PREFETCHING, timings=begun))
    else:
        _knock(turn, turn.to(step, StepState.WAITING, timings=begun))


def _knock(turn: Turn, step: Step) -> None:
    """Go through the gates if they are open; where members vote, the quorum is asked for first."""
    if gates.step_held(turn.rollout, step, turn.scene, turn.at) is not None:
        return
    probe = asking.probe_for(turn, step)
    if probe is None:
        leave(turn, step)
    elif step.progressed_at is None or step.why is None or _is_due(turn, step):
        order = OrderId(turn.scene.new_id())
        body = Health(order=order, checks=probe, passes=asking.PROBE_PASSES, timeout_s=asking.PROBE_S)
        turn.then(BeginOrder(instance=step.instance, body=body))
        turn.put(replace(step, work=order, progressed_at=turn.at))


def knock_again(turn: Turn, step: Step) -> None:
    """Ask for the quorum once more; a look of which nothing is heard is given up first."""
    if step.work is None:
        advance(turn, step)
        return
    turn.then(CancelWork(instance=step.instance, work=step.work))
    found = why(Cause.QUORUM_NOT_SEEN, instance=step.instance, reason="nothing is heard of it")
    turn.put(replace(step, work=None, why=found, progressed_at=turn.at))


def _is_due(turn: Turn, step: Step) -> bool:
    return step.progressed_at is None or (turn.at - step.progressed_at).total_seconds() >= asking.PROBE_S


def leave(turn: Turn, step: Step) -> None:
    """Take the slot, and begin to disrupt the instance: with its drain, where it needs one.

    On its way back, or on a new machine, one that was drained before and has not come back since is not
    drained again: it may be in no state for that. Else one that is tried again is, since somebody may have
    uncordoned it.
    """
    if turn.scene.owner_of(step.instance) != turn.rollout.id:
        turn.then(TakeSlot(instance=step.instance, role=step.role))
    away = replace(step.timings, away_at=step.timings.away_at or turn.at)
    is_empty = step.drained and (step.back or step.replaced)
    if turn.rollout.strategy.drain is not None and not is_empty:
        ask(turn, turn.to(step, StepState.DRAINING, timings=away))
    else:
        _change(turn, replace(step, timings=away))


def _change(turn: Turn, step: Step) -> None:
    """Change an instance that is ready for it: its machine where that is asked for, else what is on it."""
    if replacing.is_due(turn, step):
        replacing.begin(turn, step)
    else:
        ask(turn, turn.to(step, StepState.CONVERGING))


def _look_for_machine(turn: Turn, step: Step) -> None:
    if replacing.is_through(turn, step):
        ask(turn, turn.to(step, StepState.CONVERGING))


def ask(turn: Turn, step: Step) -> None:
    """Ask the wing for what the step's state is there for."""
    if step.state in {StepState.PREFETCHING, StepState.CONVERGING}:
        _ask_run(turn, step)
        return
    order = OrderId(turn.scene.new_id())
    body = asking.order_for(turn, step, order)
    if body is None:
        passed(turn, step)
        return
    turn.then(BeginOrder(instance=step.instance, body=body))
    if step.state is StepState.DRAINING:
        step = replace(step, cordoned=True, drained=False)
    elif step.state is StepState.UNCORDONING:
        step = replace(step, drained=False)  # from now on pods may come, whatever is heard of it
    turn.put(replace(step, work=order, tries=step.tries + 1, progressed_at=turn.at))


def _ask_run(turn: Turn, step: Step) -> None:
    goal = step.goal
    if goal is None:
        fail(turn, step, why(Cause.NOTHING_TO_GO_BACK_TO, instance=step.instance))
        return
    run = RunId(turn.scene.new_id())
    noop = step.state is StepState.PREFETCHING
    diff = None if noop or step.back else step.approved
    if not noop:
        turn.then(Desire(instance=step.instance, digest=goal))
        step = replace(step, timings=replace(step.timings, converging_at=turn.at))
    turn.then(BeginRun(run=run, instance=step.instance, digest=goal, noop=noop, diff=diff))
    turn.put(replace(step, work=run, tries=step.tries + 1, progressed_at=turn.at))


def look_again(turn: Turn, step: Step) -> None:
    """Look at a soaking instance once more, at the end of its wave's soak."""
    order = OrderId(turn.scene.new_id())
    body = asking.health_for(turn, step, order)
    if body is None:
        turn.to(step, StepState.DONE, timings=replace(step.timings, ended_at=turn.at))
        return
    turn.then(BeginOrder(instance=step.instance, body=replace(body, passes=asking.PROBE_PASSES)))
    turn.put(replace(step, work=order, tries=step.tries + 1, progressed_at=turn.at))


def passed(turn: Turn, step: Step, work: Work | None = None) -> None:
    """Take a step on that has got what its state is there for; `work` is the run or order that did it."""
    match step.state:
        case StepState.PREFETCHING:
            _prefetched(turn, step, work)
        case StepState.WAITING:
            if turn.may_start() and gates.step_held(turn.rollout, step, turn.scene, turn.at) is None:
                leave(turn, step)
        case StepState.DRAINING:
            _drained(turn, turn.put(replace(step, drained=True)))
        case StepState.CONVERGING if not _is_proved(turn, step):
            reason = "it has been changed again since then"
            fail(turn, step, why(Cause.CONVERGE_FAILED, instance=step.instance, reason=reason))
        case StepState.CONVERGING:
            converged = replace(step.timings, converged_at=turn.at)
            verifying = turn.to(step, StepState.VERIFYING, timings=converged, leaving=None)
            ask(turn, verifying)
        case StepState.VERIFYING:
            ask(turn, turn.to(step, StepState.UNCORDONING))
        case StepState.UNCORDONING:
            _back(turn, replace(step, cordoned=False, drained=False))
        case StepState.SOAKING:
            turn.to(step, StepState.DONE, timings=replace(step.timings, ended_at=turn.at))
        case _:
            pass


def _is_proved(turn: Turn, step: Step) -> bool:
    """Tell whether what an instance last proved is what its converge was for; its answer may be old."""
    instance = turn.scene.instances.get(step.instance)
    return instance is not None and has(instance, step.goal)


def _prefetched(turn: Turn, step: Step, work: Work | None) -> None:
    result = work.result if isinstance(work, Run) else None
    found = None if result is None else result.diff_hash
    if step.approved is not None and found != step.approved:
        reason = f"approved was {step.approved[:12]}, found is {str(found)[:12]}"
        said = {"instance": step.instance, "reason": reason, "work": outcomes.step_work(work)}
        fail(turn, step, why(Cause.DIFF_DIFFERS, **said))
        return
    advance(turn, turn.to(step, StepState.WAITING))


def _drained(turn: Turn, step: Step) -> None:
    if step.leaving is None and turn.may_start():
        _change(turn, step)
    else:
        take_back(turn, step, step.leaving or Leaving.PENDING)


def give_up(turn: Turn, step: Step) -> None:
    """End a converge that was cut off, and is not begun again."""
    if step.touched:
        reason = "it was cut off, and is not begun again"
        fail(turn, step, why(Cause.CONVERGE_FAILED, instance=step.instance, reason=reason))
    else:
        give_up_converge(turn, step)


def give_up_converge(turn: Turn, step: Step) -> None:
    """Take a step back whose converge never began: its instance shall have what it had."""
    leave_as_it_was(turn, step)
    take_back(turn, step, step.leaving or Leaving.PENDING)


def leave_as_it_was(turn: Turn, step: Step) -> None:
    """Let an instance that was not changed go on being wanted as it is, whatever its role shall have."""
    if step.origin is not None and not step.touched:
        turn.then(Desire(instance=step.instance, digest=step.origin))


def take_back(turn: Turn, step: Step, leaving: Leaving, found: Why | None = None) -> None:
    """Lift the cordon of an instance that will not be changed, and leave it as `leaving` says."""
    moved = turn.to(step, StepState.UNCORDONING, why=found or step.why, leaving=leaving)
    ask(turn, moved)


def _back(turn: Turn, step: Step) -> None:
    """Take in that an instance is back among the available ones."""
    match step.leaving:
        case Leaving.PENDING:
            turn.then(FreeSlot(instance=step.instance))
            turn.to(step, StepState.PENDING, leaving=None, timings=replace(step.timings, away_at=None))
        case Leaving.SKIPPED:
            turn.then(FreeSlot(instance=step.instance))
            leave_as_it_was(turn, step)
            turn.to(step, StepState.SKIPPED, why=step.why, leaving=None)
        case Leaving.FAILED:
            fail(
                turn, replace(step, leaving=None), step.why or why(Cause.DRAIN_FAILED, instance=step.instance)
            )
        case None:
            _landed(turn, step)


def _landed(turn: Turn, step: Step) -> None:
    turn.then(FreeSlot(instance=step.instance))
    timings = replace(step.timings, back_at=turn.at)
    if step.back:
        turn.to(step, StepState.REVERTED, timings=replace(timings, ended_at=turn.at))
    else:
        turn.to(step, StepState.SOAKING, timings=timings)


def fail(turn: Turn, step: Step, found: Why) -> None:
    """End a step in failure. An instance that is away keeps its slot: it is not available to its role."""
    is_away = step.touched or step.cordoned or (step.state.is_away and step.work is not None)
    if not is_away and turn.scene.owner_of(step.instance) == turn.rollout.id:
        turn.then(FreeSlot(instance=step.instance))
    if step.work is not None:
        turn.then(CancelWork(instance=step.instance, work=step.work))
    ended = replace(step.timings, ended_at=turn.at)
    turn.to(step, StepState.FAILED, why=found, leaving=None, timings=ended)
