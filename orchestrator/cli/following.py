"""Following a rollout until it has ended or paused, and what its end means for the exit code."""

from datetime import UTC, datetime
from typing import Final

from broker.ids import RolloutId
from orchestrator.cli.amounts import brief
from orchestrator.cli.output import printable
from orchestrator.cli.rollout_show import Show
from orchestrator.cli.rollout_text import counted
from orchestrator.cli.stop import Code, StopError
from orchestrator.cli.waiting import LateError, Wait, wait
from orchestrator.client import Client
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout_views import RolloutView, StepView

ENDED: Final = {
    RolloutState.PAUSED: "is paused",
    RolloutState.FAILED: "failed",
    RolloutState.ABORTED: "was aborted",
    RolloutState.SUCCEEDED: "succeeded",
}


def followed(client: Client, rollout: RolloutId, *, timeout_s: int | None, show: Show) -> RolloutView:
    """Return the rollout once it has ended or paused; StopError after `timeout_s`, or when interrupted."""
    asked = Wait(
        ask=lambda: client.rollout(rollout),
        ended=lambda view: view.state.is_final or view.state is RolloutState.PAUSED,
        show=show.update,
        since=datetime.now(UTC),
        what=f"rollout {rollout} goes on when it is back",
    )
    try:
        return wait(client, asked, timeout_s=timeout_s)
    except LateError:
        what = f"rollout {rollout} has not ended within {brief(timeout_s or 0)}; it goes on in the daemon"
        raise StopError(Code.FAILED, what, action=_hands(rollout)) from None
    except KeyboardInterrupt:
        what = f"interrupted; rollout {rollout} goes on in the daemon"
        raise StopError(Code.INTERRUPTED, what, action=_hands(rollout)) from None


def judge(view: RolloutView) -> None:
    """Raise StopError unless the rollout succeeded."""
    if view.state is not RolloutState.SUCCEEDED:
        raise _stopped(view)


def judge_reverted(view: RolloutView) -> None:
    """Raise StopError unless each instance that the rollout had touched is back."""
    away = [step for step in view.steps if not _is_back(step)]
    if away or not view.state.is_final:
        raise _stopped(view)


def _is_back(step: StepView) -> bool:
    match step.state:
        case StepState.REVERTED:
            return True
        case StepState.PENDING | StepState.SKIPPED | StepState.FAILED:
            return not (step.touched or step.back)
        case _:
            return False


def _stopped(view: RolloutView) -> StopError:
    ended = ENDED.get(view.state, view.state.value)
    failed = [
        f"{step.instance}: {printable(step.reason)}" for step in view.steps if step.state is StepState.FAILED
    ]
    return StopError(
        Code.FAILED,
        f"rollout {view.id} {ended}: {counted(view.steps)}",
        why=view.reason or "; ".join(failed),
        action=view.command or f"see `tarmak rollout show {view.id}` and `tarmak why {view.id}`",
    )


def _hands(rollout: RolloutId) -> str:
    return f"pause it with `tarmak rollout pause {rollout}`, look with `tarmak rollout watch {rollout}`"
