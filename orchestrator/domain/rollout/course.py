"""What holds for a rollout as a whole: its waves, how many failures it bears, the way back, and its ends."""

from dataclasses import replace
from datetime import timedelta

from orchestrator.domain.rollout import acts, gates, replacing, steps
from orchestrator.domain.rollout.effects import CancelWork, DesireOfRole
from orchestrator.domain.rollout.model import (
    Cause,
    RolloutState,
    Step,
    StepState,
    Timings,
    Wave,
    Why,
)
from orchestrator.domain.rollout.strategy import OnFailure
from orchestrator.domain.rollout.turn import Turn, why

_SETTLED = frozenset({StepState.SOAKING})


def start(turn: Turn) -> None:
    """Begin, or say for when."""
    window = turn.rollout.strategy.window
    if window is not None and not window.is_open(turn.at):
        opens = f"{window.opens(turn.at):%Y-%m-%d %H:%M} UTC"
        turn.move(RolloutState.PENDING, why(Cause.WINDOW_CLOSED, opens=opens))
        return
    turn.move(RolloutState.PROGRESSING)


def settle(turn: Turn) -> None:
    """Take on whatever can go on now: what waits in the open wave, the next wave, or the end."""
    _open_window(turn)
    _judge_first(turn)
    while not turn.rollout.state.is_final:
        if turn.rollout.aborted_by:
            _finish_abort(turn)
            return
        if turn.rollout.state is RolloutState.REVERTING:
            _turn_back(turn)
            _bring_back(turn)
        state = turn.rollout.state
        judge(turn)
        if turn.rollout.state is not state:
            continue
        if not turn.may_start():
            _bring_back(turn)
            return
        wave = turn.rollout.open_wave
        if wave is None:
            _finish(turn)
            return
        _advance(turn, wave)
        if turn.rollout.open_wave is not wave:
            continue
        if not turn.may_start():
            return
        if not _is_through(turn, wave):
            _stop_if_stuck(turn, wave)
            return
        turn.become(wave=wave.number + 1, soak_until=None)


def _advance(turn: Turn, wave: Wave) -> None:
    """Take a wave's steps on, one after the other, for as long as the rollout bears what became of them."""
    for name in wave.instances:
        step = turn.step(name)
        if not steps.may_advance(step):
            continue  # most of a large wave, at most of its events
        if not turn.may_start() or turn.rollout.open_wave is not wave:
            return
        steps.advance(turn, step)
        judge(turn)


def _stop_if_stuck(turn: Turn, wave: Wave) -> None:
    """Stop a rollout whose own failures take the room that it waits for: by itself it would wait for ever."""
    members = [turn.step(name) for name in wave.instances]
    waiting = next((step for step in members if step.state is StepState.WAITING), None)
    if waiting is None or any(step.work is not None or step.state.is_away for step in members):
        return
    held = gates.step_held(turn.rollout, waiting, turn.scene, turn.at)
    if held is None or held.cause not in {Cause.NO_ROOM, Cause.NO_QUORUM}:
        return
    absent = turn.scene.absent.get(wave.role, {})
    forgiven = gates.overlooked(turn.rollout) if held.cause is Cause.NO_ROOM else frozenset()
    culprits = sorted(
        name
        for name in absent
        if name in turn.rollout.steps
        and turn.step(name).state in {StepState.FAILED, StepState.SKIPPED}
        and name not in forgiven
    )
    if culprits:
        said = {"instance": waiting.instance, "who": ", ".join(culprits), "culprit": culprits[0]}
        acts.pause(turn, why(Cause.FAILED_TAKE_ROOM, **said))


def _open_window(turn: Turn) -> None:
    window = turn.rollout.strategy.window
    if turn.rollout.state is RolloutState.PENDING and window is not None and window.is_open(turn.at):
        turn.move(RolloutState.PROGRESSING)


def _judge_first(turn: Turn) -> None:
    """See to failures before anything is begun, which would only be cancelled again.

    On the way back that has to wait until those that failed have been turned round.
    """
    if not turn.rollout.reverting:
        judge(turn)


def _bring_back(turn: Turn) -> None:
    """Go on with what brings instances back, though nothing new starts."""
    for step in list(turn.rollout.steps.values()):
        if step.state in steps.GOING_BACK:
            steps.advance(turn, step)


def _is_through(turn: Turn, wave: Wave) -> bool:
    """Tell whether a wave has ended, its soak included; begins and ends that."""
    members = [turn.step(name) for name in wave.instances]
    if not all(step.state.is_over or step.state in _SETTLED for step in members):
        return False
    soaking = [step for step in members if step.state is StepState.SOAKING]
    if not soaking:
        return True
    if turn.rollout.soak_until is None:
        strategy = turn.rollout.strategy
        soak_s = strategy.canary_soak_s if wave.canary else strategy.soak_s
        turn.become(soak_until=turn.at + timedelta(seconds=soak_s))
        if soak_s:
            turn.tell("wave_soaking", wave=wave.number, soak_s=soak_s)
    until = turn.rollout.soak_until
    if until is None or turn.at < until:
        return False
    return _end_soak(turn, wave, soaking)


def _end_soak(turn: Turn, wave: Wave, soaking: list[Step]) -> bool:
    strategy = turn.rollout.strategy
    watched = strategy.canary_soak_s if wave.canary else strategy.soak_s
    for step in soaking:
        if step.work is None and (not watched or turn.scene.is_there(step.instance)):
            if watched:
                steps.look_again(turn, step)
            else:
                turn.to(step, StepState.DONE, timings=replace(step.timings, ended_at=turn.at))
    return all(turn.step(step.instance).state.is_over for step in soaking)


# Failures -----------------------------------------------------------------------------------------------


def judge(turn: Turn) -> None:
    """See whether the rollout bears the failures that nobody has looked at yet."""
    rollout = turn.rollout
    if not turn.may_start() or rollout.failed <= rollout.forgiven:
        return
    if rollout.automatic:
        _end(turn, RolloutState.FAILED, why(Cause.SOME_FAILED, **acts.counted(turn)))
    elif rollout.reverting:
        acts.pause(turn, why(Cause.REVERT_FAILED, **acts.counted(turn)))
    elif not _is_over_budget(turn):
        return
    elif rollout.strategy.on_failure is OnFailure.REVERT:
        acts.revert(turn, by="")
    else:
        acts.pause(turn, why(Cause.TOO_MANY_FAILED, **acts.counted(turn)))


def _is_over_budget(turn: Turn) -> bool:
    strategy = turn.rollout.strategy
    finished = turn.rollout.over
    failed = turn.rollout.failed - turn.rollout.forgiven
    if strategy.max_failures.percent:
        return finished >= strategy.min_finished and failed >= strategy.max_failures.of(finished)
    return failed >= strategy.max_failures.value


def _finish_abort(turn: Turn) -> None:
    _bring_back(turn)
    for step in list(turn.rollout.steps.values()):
        if step.state is StepState.CONVERGING and step.work is None:
            steps.give_up(turn, step)
        elif step.state is StepState.REPLACING:
            steps.fail(turn, step, replacing.left(step))
    if any(step.work is not None or step.state.is_away for step in turn.rollout.steps.values()):
        return
    for step in list(turn.rollout.steps.values()):
        if step.state is StepState.SOAKING:
            turn.to(step, StepState.DONE, timings=replace(step.timings, ended_at=turn.at))
        elif not step.state.is_over:
            turn.to(step, StepState.SKIPPED, why=why(Cause.NEVER_BEGUN))
    _end(turn, RolloutState.ABORTED, why(Cause.ABORTED_BY_OPERATOR, by=turn.rollout.aborted_by))


def _turn_back(turn: Turn) -> None:
    """Turn those steps round that are in the middle of nothing any more."""
    for wave in turn.rollout.back_waves:
        for name in wave.instances:
            step = turn.step(name)
            if not step.back and step.touched and step.work is None and step.leaving is None:
                turn.to(step, StepState.PENDING, back=True, timings=Timings(away_at=step.timings.away_at))
            elif not step.back and step.state is StepState.VERIFYING and step.work is not None:
                turn.then(CancelWork(instance=name, work=step.work))
                turn.to(step, StepState.PENDING, back=True, touched=True)


# Ends ---------------------------------------------------------------------------------------------------


def _finish(turn: Turn) -> None:
    by = turn.rollout.reverted_by
    if turn.rollout.over < len(turn.rollout.steps):
        _bring_back(turn)
        return  # a drain is still being taken back
    if turn.rollout.reverting:
        if any(step.back for step in acts.failed(turn)):
            acts.pause(turn, why(Cause.REVERT_FAILED, **acts.counted(turn)))
        elif by:
            _end(turn, RolloutState.ABORTED, why(Cause.REVERTED_BY_OPERATOR, by=by))
        else:
            _end(turn, RolloutState.FAILED, why(Cause.REVERTED_AFTER_FAILURE, **acts.counted(turn)))
        return
    if turn.rollout.failed:
        acts.pause(turn, why(Cause.SOME_FAILED, **acts.counted(turn)))
        return
    for role in turn.rollout.whole_roles:
        turn.then(DesireOfRole(role=role, digest=turn.rollout.bundle))
    _end(turn, RolloutState.SUCCEEDED, None)


def _end(turn: Turn, state: RolloutState, reason: Why | None) -> None:
    """End for good: nothing is held any more, and a cordon that stays is named wherever it is shown."""
    for step in turn.rollout.steps.values():
        turn.then(*acts.freed(turn, step))
    turn.move(state, reason)
