"""What must hold of rollouts in a fleet that has come to rest, and what people do then.

Each rollout has ended, or says what it waits for in a sentence that ends in a command. Once somebody has done
that, each has ended, and no Node is cordoned by any of us.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from orchestrator.domain.model import Run
from orchestrator.domain.rollout import why as reasons
from orchestrator.domain.rollout.machine import next_wake
from orchestrator.domain.rollout.model import Cause, Rollout, RolloutState, StepState, Why
from orchestrator.domain.rollout.show import rollout_view
from orchestrator.domain.rollout.why import UNKNOWN
from orchestrator.service.assembly import Service
from orchestrator.service.explaining import explained
from tests.simulation import operators
from tests.simulation.clock import VirtualClock
from tests.simulation.fleet import Fleet

OPEN_ENDED: Final = frozenset({Cause.NOT_ONLINE, Cause.REPORT_DUE, Cause.WORKING, Cause.NOT_STARTED})
"""What nobody may wait for in a fleet at rest."""


def restless(fleet: Fleet) -> Iterator[str]:
    """Yield what still moves of rollouts."""
    service = fleet.orchestrator.service
    if service is None:
        yield "the orchestrator is not up"
        return
    state, at = service.core.state, VirtualClock().now()
    if state.leadership.restored is not None:
        fleet.ask("acknowledge", operators.acknowledging())
        yield "the journal is doubted"
    for rollout in state.upgrades.open.values():
        due = next_wake(rollout, state.upgrades.scene(), at)
        if due is not None:
            yield f"{rollout.id} is {rollout.state.value}, and will wake at {due}"


def broken(fleet: Fleet) -> Iterator[str]:
    """Yield each law of rollouts that a fleet at rest breaks."""
    service = fleet.orchestrator.service
    if service is None:
        return
    for rollout in service.core.state.upgrades.open.values():
        yield from _waits(service, rollout)
    for view in explained(service.core.state, None, VirtualClock().now()):
        if UNKNOWN in view.sentence or not view.command:
            yield f"why says: {view.sentence} ({view.command})"
    yield from _cordons(fleet, service)
    for run in _held_runs(service):
        if not run.reason or not fleet.ledger.watch.holds_up(run):
            yield f"run {run.id} of {run.instance} waits for its turn, and for nobody ({run.reason})"


def _held_runs(service: Service) -> list[Run]:
    every = (run for item in service.core.state.instances.values() for run in item.runs.values())
    return [run for run in every if not run.released]


def _waits(service: Service, rollout: Rollout) -> Iterator[str]:
    scene, at = service.core.state.upgrades.scene(), VirtualClock().now()
    state = f"{rollout.id} is {rollout.state.value}"
    reason = reasons.of_rollout(rollout, at)
    if rollout.state is RolloutState.PAUSED:
        yield from _said(state, reason)
    waiting = []
    for step in rollout.steps.values():
        if step.state.is_over:
            continue
        found = reasons.of_step(rollout, step, scene, at)
        waiting.append(found)
        yield from _said(f"{state}, {step.instance} is {step.state.value}", found)
    if rollout.state is not RolloutState.PAUSED and all(
        found is not None and found.cause is Cause.WAVE_NOT_OPEN for found in waiting
    ):
        yield f"{state}, and nothing holds it up"


def _said(what: str, reason: Why | None) -> Iterator[str]:
    if reason is None:
        yield f"{what}, and nothing says why"
        return
    sentence, command = reasons.sentence(reason, rollout="r"), reasons.command(reason, rollout="r")
    if reason.cause in OPEN_ENDED or not command or UNKNOWN in sentence + command:
        yield f"{what}, since {reason.cause.value}: {sentence} ({command})"


def _cordons(fleet: Fleet, service: Service) -> Iterator[str]:
    """Yield each cordon of ours that nobody names."""
    state, watch = service.core.state, fleet.ledger.watch
    if watch.is_restored:
        return
    cloned = {twin.identity.instance for twin in fleet.clones}
    for name, node in watch.nodes.items():
        owner = node.owner
        if not node.is_ours or owner is None or name in cloned:
            continue
        cordon = state.instances[name].cordon
        rollout = next((item for key, item in watch.rollouts.items() if key == owner), None)
        if cordon is None or cordon.owner != owner:
            yield f"{name} is cordoned for {owner}, known is {cordon}"
        elif rollout is not None and rollout.state.is_final:
            steps = {key: step for (of, key), step in watch.steps.items() if of == owner}
            if name in steps and steps[name].state in {StepState.DONE, StepState.REVERTED}:
                yield f"{name} is {steps[name].state.value} in {owner}, and still cordoned for it"
            whole = rollout_view(replace(rollout, steps=steps), state.upgrades.scene(), VirtualClock().now())
            if name not in {each.instance for each in whole.cordons}:
                yield f"{name} is cordoned for {owner}, which has ended and does not name it"


# What people do at the end ------------------------------------------------------------------------------


def end_some(fleet: Fleet) -> bool:
    """Let people go on with what waits for them, in one way or the other; return whether anything does."""
    service = fleet.orchestrator.service
    waiting = [] if service is None else list(service.core.state.upgrades.open)
    for rollout in waiting:
        fleet.ask(f"end {rollout}", operators.ending(rollout))
    return bool(waiting)


def clear_up(fleet: Fleet) -> bool:
    """Let people end every rollout, and lift every cordon of ours; return whether there is anything to do."""
    service = fleet.orchestrator.service
    if service is None:
        return False
    state = service.core.state
    waiting = list(state.upgrades.open)
    for rollout in waiting:
        fleet.ask(f"abort {rollout}", operators.aborting(rollout))
    cordoned = [name for name, item in state.instances.items() if item.cordon is not None]
    for name in cordoned:
        fleet.ask(f"uncordon {name}", operators.uncordoning(name))
    held = _held_runs(service)
    for run in held:
        fleet.ask(f"cancel {run.id}", operators.cancelling(run.id))
    return bool(waiting or cordoned or held)
