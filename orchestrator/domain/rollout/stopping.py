"""How a step is kept from disrupting its instance any further, and what is left to come to its end."""

from dataclasses import replace

from broker.ids import RunId
from orchestrator.domain.rollout import steps
from orchestrator.domain.rollout.effects import CancelWork
from orchestrator.domain.rollout.model import Leaving, Step, StepState
from orchestrator.domain.rollout.turn import Turn


def stop(turn: Turn, step: Step, leaving: Leaving) -> None:
    """Keep a step from disrupting its instance any further, because the rollout stops or goes on without it.

    What was sent and not started is cancelled, and a drain is taken back; a converge that has begun, and what
    brings an instance back, go on to their end.
    """
    if leaving is Leaving.PENDING and step.leaving is not None:
        leaving = step.leaving  # it was given up for good before
    match step.state:
        case StepState.PREFETCHING | StepState.WAITING if step.work is not None:
            turn.then(CancelWork(instance=step.instance, work=step.work))
        case StepState.DRAINING:
            turn.put(replace(step, leaving=leaving))
            _end_or_take_back(turn, replace(step, leaving=leaving))
        case StepState.CONVERGING if not _has_begun(turn, step):
            turn.put(replace(step, leaving=leaving))
            if step.work is not None:
                turn.then(CancelWork(instance=step.instance, work=step.work))
            else:
                steps.give_up_converge(turn, replace(step, leaving=leaving))
        case StepState.UNCORDONING if step.leaving is Leaving.PENDING:
            turn.put(replace(step, leaving=leaving))
        case _:
            pass


def _end_or_take_back(turn: Turn, step: Step) -> None:
    if step.work is not None:
        turn.then(CancelWork(instance=step.instance, work=step.work))
    elif step.leaving is not None:
        steps.take_back(turn, step, step.leaving)


def _has_begun(turn: Turn, step: Step) -> bool:
    if step.touched:
        return True
    instance = turn.scene.instances.get(step.instance)
    run = None if instance is None or step.work is None else instance.runs.get(RunId(step.work))
    return run is not None and run.started_at is not None
