"""What an operator may do to a rollout, and when: a request becomes an event, or is refused."""

from datetime import datetime
from typing import assert_never

from broker.ids import InstanceId
from orchestrator.domain.rollout.acts import may_skip
from orchestrator.domain.rollout.events import (
    AbortAsked,
    PauseAsked,
    ResumeAsked,
    RetryAsked,
    RevertAsked,
    RolloutEvent,
    SkipAsked,
)
from orchestrator.domain.rollout.model import Rollout, RolloutState, StepState
from orchestrator.nearest import nearest
from orchestrator.operations import ActRequest, RefusedError, RolloutAction


def asked(request: ActRequest, rollout: Rollout, at: datetime) -> RolloutEvent:
    """Return the event that a request is; refuses one that the rollout's state does not allow."""
    by = request.requested_by
    if rollout.state.is_final:
        raise _refused(rollout, f"it has ended: it is {rollout.state.value}", "begin another: tarmak upgrade")
    if rollout.aborted_by:
        raise _refused(rollout, f"{rollout.aborted_by} is ending it already", "wait until it has ended")
    for name in request.instances:
        _known(rollout, name)
    match request.action:
        case RolloutAction.PAUSE:
            _demand(rollout, rollout.state is not RolloutState.PAUSED, "it is paused already", "resume")
            return PauseAsked(at=at, by=by)
        case RolloutAction.RESUME:
            _demand(rollout, rollout.state is RolloutState.PAUSED, "it is not paused", "show")
            return ResumeAsked(at=at, by=by, beyond=request.beyond_failed)
        case RolloutAction.ABORT:
            return AbortAsked(at=at, by=by)
        case RolloutAction.RETRY:
            return _retry(request, rollout, at)
        case RolloutAction.SKIP:
            return _skip(request, rollout, at)
        case RolloutAction.REVERT:
            reverting = rollout.state is RolloutState.REVERTING
            _demand(rollout, not reverting, "it is being reverted already", "watch")
            return RevertAsked(at=at, by=by)
        case _:
            assert_never(request.action)


def _retry(request: ActRequest, rollout: Rollout, at: datetime) -> RetryAsked:
    named = request.instances or tuple(rollout.steps)
    steps = (rollout.steps[name] for name in named)
    failed = [
        step.instance for step in steps if step.state is StepState.FAILED and step.back is rollout.reverting
    ]
    _demand(rollout, bool(failed), "none of these has failed", "show")
    beyond = request.beyond_failed
    return RetryAsked(at=at, by=request.requested_by, instances=tuple(failed), beyond=beyond)


def _skip(request: ActRequest, rollout: Rollout, at: datetime) -> SkipAsked:
    _demand(rollout, bool(request.instances), "no instance is named", "show")
    for name in request.instances:
        step = rollout.steps[name]
        if not may_skip(step):
            raise _refused(
                rollout,
                f"{name} is {step.state.value}, which can't be left out",
                f"see tarmak rollout show {rollout.id}",
            )
    return SkipAsked(at=at, by=request.requested_by, instances=request.instances)


def _known(rollout: Rollout, name: InstanceId) -> None:
    if name not in rollout.steps:
        raise RefusedError(
            kind="not-in-the-rollout",
            status=404,
            title=f"{name} is not in rollout {rollout.id}",
            detail=nearest(name, rollout.steps),
            action=f"see tarmak rollout show {rollout.id}",
        )


def _demand(rollout: Rollout, holds: bool, detail: str, instead: str) -> None:  # noqa: FBT001 - what is demanded
    if not holds:
        raise _refused(rollout, detail, f"tarmak rollout {instead} {rollout.id}")


def _refused(rollout: Rollout, detail: str, action: str) -> RefusedError:
    return RefusedError(
        kind="not-in-this-state",
        status=409,
        title=f"that can't be done to rollout {rollout.id} now",
        detail=detail,
        action=action,
    )
