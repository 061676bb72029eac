"""What the outside is shown of rollouts and drains, and of why they wait; shapes as in `views`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from broker.ids import Digest, InstanceId, Role, RolloutId, RunId
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.views import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyView:
    """Why something waits or failed: one causal sentence about `subject`, and the next safe command.

    `command` is None where there is nothing to do but wait.
    """

    subject: str
    cause: str
    sentence: str
    command: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveView:
    """Instances that are released together; `expected_s` is how long that takes by past runs, if known."""

    number: int
    role: Role
    instances: tuple[InstanceId, ...]
    canary: bool
    expected_s: float | None = None


class StepView(msgspec.Struct, frozen=True, kw_only=True, rename={"origin": "from", "target": "to"}):
    """One instance's way: `from` the bundle it had, `to` the one it is taken to now; `timings` by name.

    `reason` is a causal sentence for whatever waits or failed, `command` the next safe one. `touched` says
    that its converge was asked for, or another machine, so that a revert takes it back. `replaced` is None
    while nobody makes its machine anew, False until the new one has joined, and then True.
    """

    instance: InstanceId
    role: Role
    wave: int
    state: StepState
    reason: str
    command: str | None
    origin: Digest | None
    target: Digest | None
    back: bool
    since: datetime | None
    timings: Mapping[str, datetime]
    run: RunId | None = None
    touched: bool = False
    replaced: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CordonView:
    """A cordon of ours that was left, why, and the command that lifts it."""

    instance: InstanceId
    owner: str
    reason: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    """A rollout; `needs` says what each gate asks for, `confirmations` the outages that a person confirms.

    `warnings` says, in a plan alone, what its drains would meet if they came now.
    As a plan it has no id yet, and its steps are pending or skipped.
    """

    id: RolloutId | None
    state: RolloutState
    reason: str
    command: str | None
    bundle: Digest
    strategy: Mapping[str, Any]
    automatic: bool
    requested_by: str
    created_at: datetime
    finished_at: datetime | None
    wave: int
    waves: tuple[WaveView, ...]
    steps: tuple[StepView, ...]
    cordons: tuple[CordonView, ...] = ()
    needs: tuple[str, ...] = ()
    confirmations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    expected_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainView:
    """A bare drain, or the lifting of its cordon: `evicted` pods went, `left` did not (each with why)."""

    id: str
    instance: InstanceId
    action: str
    state: RunState
    reason: str
    total: int | None
    evicted: int
    blocked: tuple[str, ...]
    left: tuple[str, ...]
    created_at: datetime
    finished_at: datetime | None
    requested_by: str
