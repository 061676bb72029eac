"""How a run or an order of a rollout ended, as far as that decides what follows."""

from typing import Final

from orchestrator.domain.model import Run, Work
from orchestrator.domain.rollout.model import Cause, StepState
from orchestrator.domain.views import RunState

MOST_TRIES: Final = 3
MOST_CONVERGES: Final = 2
"""A converge that a death of host or wing cut off is asked for once more: the instance is away anyway."""

DIFF_DIFFERS: Final = "diff differs"
FAILURES: Final = {
    StepState.PREFETCHING: Cause.PREFETCH_FAILED,
    StepState.DRAINING: Cause.DRAIN_FAILED,
    StepState.CONVERGING: Cause.CONVERGE_FAILED,
    StepState.VERIFYING: Cause.HEALTH_FAILED,
    StepState.UNCORDONING: Cause.UNCORDON_FAILED,
    StepState.SOAKING: Cause.FAILED_IN_SOAK,
}


def changed(work: Work) -> bool:
    """Tell whether a run began to change its host, or may have."""
    if not isinstance(work, Run) or work.noop or work.started_at is None:
        return False
    result = work.result
    return result is None or (result.verdict is not None and bool(result.exit_codes))


def was_cut_off(work: Work) -> bool:
    """Tell whether work ended without having been done, so that it can be asked for again."""
    never_begun = work.state is RunState.FAILED and work.started_at is None and not work.accepted
    return work.state is RunState.INTERRUPTED or never_begun


def step_work(work: Work | None) -> str:
    """Return the id by which a person can look at what was done."""
    return "" if work is None else work.id
