"""For whatever waits or failed: one causal sentence, and the next safe command. The table of all of them.

An operator at three in the morning shall not have to put the reason together from a state and a log. So each
cause has a sentence here, and `of_step` and `of_rollout` find the cause of any state that can be reached.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.messages import Drain, Health
from orchestrator.domain.model import Order, Run, Work
from orchestrator.domain.rollout.gates import step_held
from orchestrator.domain.rollout.model import Cause, Rollout, Step, StepState, Wave, Why
from orchestrator.domain.rollout.scene import Scene, presence
from orchestrator.domain.rollout.turn import why
from orchestrator.domain.views import RunState

UNKNOWN: Final = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A cause's sentence and next safe command, both with places for what is known; None: only wait."""

    sentence: str
    command: str | None = None


_SHOW: Final = "tarmak rollout show {rollout}"
_RETRY: Final = "tarmak rollout retry {rollout} {instance}"
_SKIP: Final = "tarmak rollout skip {rollout} {instance}"
_RESUME: Final = "tarmak rollout resume {rollout}"
_INSTANCE: Final = "tarmak instance show {instance}"
_NODE: Final = "kubectl describe node {node}"

TABLE: Final[Mapping[Cause, Explanation]] = {
    Cause.WINDOW_CLOSED: Explanation(
        sentence="the window for disruption is closed and opens at {opens}",
        command="tarmak rollout abort {rollout}",
    ),
    Cause.PAUSED_BY_OPERATOR: Explanation(sentence="{by} paused it; nothing new starts", command=_RESUME),
    Cause.TOO_MANY_FAILED: Explanation(
        sentence="{failed} of {total} failed ({who}), as many as it bears; {instance}: {reason}",
        command=_RETRY,
    ),
    Cause.SOME_FAILED: Explanation(
        sentence="all others are done, but {failed} of {total} failed ({who}); {instance}: {reason}",
        command=_RETRY,
    ),
    Cause.REVERT_FAILED: Explanation(
        sentence="revert failed: {instance} could not be taken back: {reason}; its cordon stays",
        command=_RETRY,
    ),
    Cause.FAILED_TAKE_ROOM: Explanation(
        sentence="{instance} can't go: {who} failed and counts as away; mend that one, or go past it with"
        " --beyond-failed",
        command="tarmak rollout retry {rollout} {culprit}",
    ),
    Cause.INVARIANT_BROKEN: Explanation(
        sentence="its next move would have broken law {law}, so it was not made; that is a mistake of"
        " Tarmak's: report it with the output of the command",
        command="tarmak rollout show {rollout} -o json",
    ),
    Cause.ABORTING: Explanation(
        sentence="{by} aborted it; it ends once what has begun is over", command=_SHOW
    ),
    Cause.ROLLOUT_STOPPED: Explanation(
        sentence="its turn comes when the rollout goes on, which is {state}", command="tarmak why {rollout}"
    ),
    Cause.WAVE_NOT_OPEN: Explanation(sentence="its wave {wave} opens after wave {open}", command=_SHOW),
    Cause.NOT_ONLINE: Explanation(
        sentence="{instance} is {presence}; see whether its host and wing run", command=_INSTANCE
    ),
    Cause.DISPUTED: Explanation(
        sentence="two hosts hold the identity {instance}; stop one of them", command=_INSTANCE
    ),
    Cause.OWNED: Explanation(
        sentence="{instance} is away for {owner}, and one at a time disrupts it", command=_INSTANCE
    ),
    Cause.OTHER_RUN: Explanation(
        sentence="{work}, which {by} asked for, is under way on {instance}", command=_INSTANCE
    ),
    Cause.CORDONED: Explanation(
        sentence="{instance} is cordoned by {owner}", command="tarmak uncordon {instance}"
    ),
    Cause.NOT_READY: Explanation(sentence="Node {node} of {instance} is not Ready ({reason})", command=_NODE),
    Cause.NO_ROOM: Explanation(
        sentence="{count} of {total} of role {role} are not available ({who}), and at most {most} may be;"
        " bring them back first",
        command="tarmak instances --role {role}",
    ),
    Cause.NO_QUORUM: Explanation(
        sentence="without {instance} the members of role {role} would lose their quorum: {reason}",
        command="tarmak instances --role {role}",
    ),
    Cause.QUORUM_NOT_SEEN: Explanation(
        sentence="{instance} could not say whether its members keep their quorum without it: {reason}",
        command=_INSTANCE,
    ),
    Cause.BROKER_GONE: Explanation(sentence="the broker can't be reached", command="tarmak status"),
    Cause.JOURNAL_DOUBTED: Explanation(
        sentence="the journal seems restored from a backup; compare it with the fleet",
        command="tarmak status --acknowledge",
    ),
    Cause.NOT_SENT: Explanation(sentence="{work} waits to be sent: {reason}", command=_INSTANCE),
    Cause.NOT_STARTED: Explanation(
        sentence="{work} was sent, and its wing has not begun yet", command=_INSTANCE
    ),
    Cause.WORKING: Explanation(sentence="{doing} is under way", command=None),
    Cause.LOST_ON_THE_WAY: Explanation(
        sentence="{instance} is {presence}, in the middle of {doing}; it goes on when it is back",
        command=_INSTANCE,
    ),
    Cause.PUPPET_BUSY: Explanation(sentence="its run waits on the host: {reason}", command=_INSTANCE),
    Cause.DRAIN_BLOCKED: Explanation(
        sentence="pod {reason}; scale it up, or leave the instance out", command=_SKIP
    ),
    Cause.HEALTH_FAILING: Explanation(sentence="not healthy yet: {reason}", command=_INSTANCE),
    Cause.BACKING_OUT: Explanation(
        sentence="its drain is taken back, since the rollout stopped or goes on without it", command=_SHOW
    ),
    Cause.REPORT_DUE: Explanation(sentence="its last answer is being handled", command=None),
    Cause.WAVE_UNDER_WAY: Explanation(sentence="it is back; others of its wave are not yet", command=_SHOW),
    Cause.SOAKING: Explanation(sentence="its wave is watched until {until}", command=None),
    Cause.PREFETCH_FAILED: Explanation(
        sentence="the dry run before the drain failed: {reason}; nothing was changed",
        command="tarmak run show {work}",
    ),
    Cause.DIFF_DIFFERS: Explanation(
        sentence="diff differs from what was approved ({reason}); nothing was changed: plan again, read it,"
        " and approve that",
        command="tarmak run show {work}",
    ),
    Cause.DRAIN_FAILED: Explanation(
        sentence="the drain failed: {reason}; nothing was changed", command=_RETRY
    ),
    Cause.CONVERGE_FAILED: Explanation(
        sentence="the converge failed: {reason}", command="tarmak run show {work}"
    ),
    Cause.HEALTH_FAILED: Explanation(
        sentence="it converged and did not become healthy: {reason}", command=_RETRY
    ),
    Cause.UNCORDON_FAILED: Explanation(
        sentence="its cordon could not be lifted: {reason}", command="tarmak uncordon {instance}"
    ),
    Cause.SILENT: Explanation(
        sentence="nothing was heard of its {state} for {silent}, though it is online", command=_RETRY
    ),
    Cause.FAILED_IN_SOAK: Explanation(sentence="it failed while it was watched: {reason}", command=_RETRY),
    Cause.NOTHING_TO_GO_BACK_TO: Explanation(
        sentence="it is not known what {instance} had before, so it can't be taken back", command=_SKIP
    ),
    Cause.REVOKED: Explanation(sentence="{instance} was taken off the roster", command=_SHOW),
    Cause.DIFFERS: Explanation(
        sentence="it differs from what is desired of it ({desired}…), and was tried once",
        command="tarmak converge --instance {instance}",
    ),
    Cause.HAS_IT_ALREADY: Explanation(sentence="it has the bundle already, as its last report proves"),
    Cause.SKIPPED_BY_OPERATOR: Explanation(sentence="{by} left it out"),
    Cause.NEVER_BEGUN: Explanation(sentence="the rollout ended before its turn; it has what it had"),
    Cause.REVERTED_BY_OPERATOR: Explanation(
        sentence="{by} had it reverted; all that it changed is back", command=_SHOW
    ),
    Cause.REVERTED_AFTER_FAILURE: Explanation(
        sentence="{instance} failed ({reason}), and all that was changed is back", command=_SHOW
    ),
    Cause.ABORTED_BY_OPERATOR: Explanation(
        sentence="{by} aborted it; what it had not reached has what it had", command=_SHOW
    ),
}


def sentence(reason: Why, **more: str) -> str:
    """Return a cause as a sentence."""
    return TABLE[reason.cause].sentence.format_map(_places(reason, more))


def command(reason: Why, **more: str) -> str | None:
    """Return the next safe command, None if there is nothing to do but wait."""
    found = TABLE[reason.cause].command
    places = _places(reason, more)
    if found is not None and "{work}" in found and not places.get("work"):
        found = _SHOW
    if reason.cause is Cause.CORDONED and "node" in reason.said:
        found = _NODE  # somebody else's cordon is not ours to lift
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
