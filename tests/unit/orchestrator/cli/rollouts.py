"""Rollouts that go as a test says."""

from dataclasses import replace
from typing import Any

from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout_views import RolloutView
from tests.unit.orchestrator.faces import Memory, a_rollout, stepped


def ends(memory: Memory, *views: RolloutView) -> None:
    """Let r-7 be each of `views` in turn, whenever it is looked at."""
    memory.rollouts.news["r-7"] = list(views)


def done(**changes: Any) -> RolloutView:
    """Return r-7 as it is when both of its instances are done."""
    both = stepped(a_rollout(7, "worker-1", "worker-2"), worker_1=StepState.DONE, worker_2=StepState.DONE)
    return replace(both, **{"state": RolloutState.SUCCEEDED, "wave": 2, **changes})
