"""For whatever waits or failed: one causal sentence, and the next safe command.

An operator at three in the morning shall not have to put the reason together from a state and a log. So each
cause has its sentence (`sentences`), and `of_step` and `of_rollout` find the cause of any state that can be
reached.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from broker.messages import Drain, Health
from orchestrator.domain.model import Order, Run, Work
from orchestrator.domain.rollout import replacing
from orchestrator.domain.rollout.gates import step_held
from orchestrator.domain.rollout.model import Cause, Rollout, Step, StepState, Wave, Why
from orchestrator.domain.rollout.scene import Scene, presence
from orchestrator.domain.rollout.sentences import NODE, SHOW, TABLE
from orchestrator.domain.rollout.turn import why
from orchestrator.domain.views import RunState

UNKNOWN: Final = "?"


def sentence(reason: Why, **more: str) -> str:
    """Return a cause as a sentence."""
    return TABLE[reason.cause].sentence.format_map(_places(reason, more))


def command(reason: Why, **more: str) -> str | None:
    """Return the next safe command, None if there is nothing to do but wait."""
    found = TABLE[reason.cause].command
    places = _places(reason, more)
    if found is not None and "{work}" in found and not places.get("work"):
        found = SHOW
    if reason.cause is Cause.CORDONED and "node" in reason.said:
        found = NODE  # somebody else's cordon is not ours to lift
    return None if found is None else " ".join(found.format_map(places).split())


def _places(reason: Why, more: Mapping[str, str]) -> Mapping[str, str]:
    return defaultdict(lambda: UNKNOWN, {"instance": "", **more, **reason.said})


def of_rollout(rollout: Rollout, at: datetime) -> Why | None:
    """Return why a rollout waits, stopped, or ended other than well; None if it goes on or succeeded."""
    if rollout.why is not None:
        return rollout.why
    window = rollout.strategy.window
    if not rollout.state.is_final and window is not None and not window.is_open(at):
        return why(Cause.WINDOW_CLOSED, opens=f"{window.opens(at):%Y-%m-%d %H:%M} UTC")
    return None


def of_step(rollout: Rollout, step: Step, scene: Scene, at: datetime) -> Why | None:
    """Return why a step is where it is; None only for one that is done or reverted."""
    match step.state:
        case StepState.DONE | StepState.REVERTED:
            return None
        case StepState.FAILED | StepState.SKIPPED:
            return step.why or why(Cause.NEVER_BEGUN)
        case StepState.PENDING | StepState.WAITING:
            return _before(rollout, step, scene, at)
        case StepState.SOAKING:
            return _soaking(rollout, step, scene, at)
        case StepState.REPLACING:
            return replacing.waits(rollout, step, scene)
        case _:
            return _on_the_way(rollout, step, scene)


def _before(rollout: Rollout, step: Step, scene: Scene, at: datetime) -> Why:
    if not rollout.state.may_start:
        return why(Cause.ROLLOUT_STOPPED, state=rollout.state.value, rollout=rollout.id)
    wave = rollout.open_wave
    if wave is not None and step.instance not in wave.instances:
        number = next((each.number for each in _waves(rollout) if step.instance in each.instances), step.wave)
        return why(Cause.WAVE_NOT_OPEN, wave=str(number), open=str(wave.number))
    if step.work is not None:
        return why(Cause.WORKING, doing="the look at its members' quorum")
    return step_held(rollout, step, scene, at) or step.why or why(Cause.REPORT_DUE)


def _waves(rollout: Rollout) -> tuple[Wave, ...]:
    return rollout.back_waves if rollout.reverting else rollout.waves


def _soaking(rollout: Rollout, step: Step, scene: Scene, at: datetime) -> Why:
    if not rollout.state.may_start:
        return of_rollout(rollout, at) or why(Cause.WAVE_UNDER_WAY)
    instance = scene.instances.get(step.instance)
    if instance is not None and not scene.is_there(step.instance):
        return why(Cause.NOT_ONLINE, instance=step.instance, presence=presence(instance))
    if rollout.soak_until is None:
        return why(Cause.WAVE_UNDER_WAY)
    return why(Cause.SOAKING, until=f"{rollout.soak_until:%H:%M:%S} UTC")


_DOING: Final = {
    StepState.PREFETCHING: "its dry run",
    StepState.DRAINING: "its drain",
    StepState.CONVERGING: "its converge",
    StepState.VERIFYING: "the look at its health",
    StepState.UNCORDONING: "the lifting of its cordon",
}


def _on_the_way(rollout: Rollout, step: Step, scene: Scene) -> Why:
    instance = scene.instances.get(step.instance)
    doing = _DOING[step.state]
    if instance is None:
        return why(Cause.REVOKED, instance=step.instance)
    if not scene.connected:
        return why(Cause.BROKER_GONE)
    if not scene.is_there(step.instance):
        return why(Cause.LOST_ON_THE_WAY, instance=step.instance, presence=presence(instance), doing=doing)
    work = next((each for each in instance.work() if each.id == step.work), None)
    if work is None:
        return rollout.why or why(Cause.REPORT_DUE)
    return _at_work(step, work, doing)


def _at_work(step: Step, work: Work, doing: str) -> Why:
    if work.command is None:
        return why(Cause.NOT_SENT, work=work.id, reason=work.reason or "its turn comes")
    if step.leaving is not None:
        return why(Cause.BACKING_OUT)
    if work.state is RunState.QUEUED:
        return why(Cause.NOT_STARTED, work=work.id)
    return _held_up(step, work) if work.reason else why(Cause.WORKING, doing=doing)


def _held_up(step: Step, work: Work) -> Why:
    match work:
        case Run():
            return why(Cause.PUPPET_BUSY, reason=work.reason, work=work.id)
        case Order(body=Drain()):
            return why(Cause.DRAIN_BLOCKED, instance=step.instance, reason=work.reason)
        case Order(body=Health()):
            return why(Cause.HEALTH_FAILING, instance=step.instance, reason=work.reason)
        case _:
            return why(Cause.WORKING, doing=work.reason)
