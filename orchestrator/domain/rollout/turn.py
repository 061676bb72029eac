"""One event's way through a rollout: the rollout as it becomes, and the effects so far."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from broker.ids import InstanceId
from orchestrator.domain.rollout.effects import FreeSlot, RolloutEffect, TakeSlot, Tell
from orchestrator.domain.rollout.model import Cause, Rollout, RolloutState, Step, StepState, Why
from orchestrator.domain.rollout.scene import Scene


@dataclass(slots=True, kw_only=True)
class Turn:
    """Gathers what one event changes; `changed` names the steps that are other than before."""

    rollout: Rollout
    at: datetime
    scene: Scene
    effects: list[RolloutEffect] = field(default_factory=list)
    changed: dict[InstanceId, None] = field(default_factory=dict)
    _steps: dict[InstanceId, Step] | None = None

    def become(self, **changes: Any) -> None:
        """Change the rollout."""
        self.rollout = replace(self.rollout, **changes)

    def put(self, step: Step) -> Step:
        """Set a step, and return it."""
        if self._steps is None:
            self._steps = dict(self.rollout.steps)
            self.become(steps=self._steps)
        self._count(self._steps[step.instance].state, step.state)
        self._steps[step.instance] = step
        self.changed[step.instance] = None
        return step

    def _count(self, before: StepState, after: StepState) -> None:
        if before is after:
            return
        failed = (after is StepState.FAILED) - (before is StepState.FAILED)
        over = after.is_over - before.is_over
        if failed or over:
            self.become(failed=self.rollout.failed + failed, over=self.rollout.over + over)

    def step(self, instance: InstanceId) -> Step:
        """Return a step as it is now."""
        return self.rollout.steps[instance]

    def then(self, *effects: RolloutEffect) -> None:
        """Add effects; a slot that was taken or given back counts from now on."""
        for effect in effects:
            self.effects.append(effect)
            if isinstance(effect, TakeSlot):
                self.scene = self.scene.with_slot(effect.instance, effect.role, self.rollout.id, self.at)
            elif isinstance(effect, FreeSlot):
                self.scene = self.scene.without_slot(effect.instance)

    def tell(self, kind: str, instance: InstanceId | None = None, **body: Any) -> None:
        """Add a line to the tail."""
        self.then(Tell(kind=kind, instance=instance, body={"rollout": self.rollout.id, **body}))

    def to(self, step: Step, state: StepState, *, why: Why | None = None, **changes: Any) -> Step:
        """Move a step to a state, say so, and return it."""
        moved = replace(
            step,
            state=state,
            why=why,
            since=self.at,
            progressed_at=self.at,
            work=None,
            **{"tries": 0, **changes},
        )
        self.tell("step_moved", step.instance, state=state.value, wave=step.wave, back=step.back, **told(why))
        return self.put(moved)

    def move(self, state: RolloutState, why: Why | None = None) -> None:
        """Move the rollout to a state, and say so."""
        finished = self.at if state.is_final else None
        self.become(state=state, why=why, finished_at=finished)
        self.tell(f"rollout_{state.value}", **told(why))

    def may_start(self) -> bool:
        """Tell whether new disruption may start, as far as the rollout's own state says."""
        return self.rollout.state.may_start


def told(reason: Why | None) -> dict[str, Any]:
    """Return a reason as a line of the tail has it."""
    if reason is None:
        return {}
    return {"cause": reason.cause.value, "said": dict(reason.said)}


def why(cause: Cause, **said: str) -> Why:
    """Return a cause with what its sentence needs."""
    return Why(cause=cause, said=said)
