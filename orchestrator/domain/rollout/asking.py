"""What a wing is asked for on an instance's way: its drain, its cordon's end, a look at its health."""

from dataclasses import replace
from typing import Final

from broker.ids import OrderId
from broker.messages import Drain, EtcdCheck, Health, HealthChecks, OrderBody, Uncordon, VaultCheck
from orchestrator.domain.rollout.model import Step, StepState
from orchestrator.domain.rollout.strategy import QUORATE
from orchestrator.domain.rollout.turn import Turn

PROBE_PASSES: Final = 1
PROBE_S: Final = 30


def probe_for(turn: Turn, step: Step) -> HealthChecks | None:
    """Return what the members' quorum is asked by, None where proofs are counted or it is away already."""
    if turn.scene.owner_of(step.instance) == turn.rollout.id or step.role not in QUORATE:
        return None
    if len(turn.scene.members.get(step.role, ())) == 1:
        return None  # that outage was confirmed
    match turn.rollout.strategy.quorum_check(step.role):
        case EtcdCheck() as etcd:
            return HealthChecks(etcd=replace(etcd, leaving=True))
        case VaultCheck() | None:
            return None


def order_for(turn: Turn, step: Step, order: OrderId) -> OrderBody | None:
    """Return the order that a step's state is there for, None where there is nothing to ask."""
    strategy = turn.rollout.strategy
    match step.state:
        case StepState.DRAINING:
            policy = strategy.drain
            instance = turn.scene.instances[step.instance]
            left = None if instance.cordon is None else instance.cordon.owner
            before = None if left == turn.rollout.id else left
            if policy is None:
                return None
            return Drain(order=order, owner=turn.rollout.id, policy=policy, takes_over=before)
        case StepState.UNCORDONING:
            return Uncordon(order=order, owner=turn.rollout.id) if step.cordoned else None
        case _:
            return health_for(turn, step, order)


def health_for(turn: Turn, step: Step, order: OrderId) -> Health | None:
    """Return the look at an instance's health, None where its role has no checks."""
    strategy = turn.rollout.strategy
    checks = strategy.health_of(step.role)
    if checks.is_empty():
        return None
    return Health(
        order=order,
        checks=checks,
        passes=strategy.passes,
        interval_s=strategy.interval_s,
        timeout_s=strategy.health_timeout_s,
        since=step.timings.converged_at,
    )
