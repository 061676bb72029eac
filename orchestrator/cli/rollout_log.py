"""How a rollout looks in a log: a line for each change, with its time, that makes sense alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import structs

from orchestrator.cli.output import encoded, note, out, printable
from orchestrator.cli.rollout_text import (
    HELD,
    UNDER_WAY,
    advised,
    goes_back,
    held,
    names,
    noteworthy,
    standing,
    step_line,
    step_why,
    timeless,
)
from orchestrator.domain.rollout.model import StepState
from orchestrator.domain.rollout_views import RolloutView, StepView

PATIENCE: Final = timedelta(seconds=3)


class Lines:
    """A line for each change of an instance, of the wave, or of the rollout, in that order.

    Why something waits is told once it has done so for a moment, since most of it passes. Whose turn has only
    to come waits for the same as all the others, and anew whenever one of them has moved; so that is told
    once for all of them, and only when none moves.
    """

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._rollout: tuple[str, ...] = ()
        self._wave = 0
        self._stands: dict[str, tuple[StepState, bool]] = {}
        self._patience = _Patience()

    def update(self, view: RolloutView) -> None:
        """Say what is otherwise than before."""
        now = self._clock()
        if not self._rollout:
            self._begin(now, view)
        changed = [step for step in view.steps if self._stands.get(step.instance) != (step.state, step.back)]
        for step in changed:
            if step.wave < view.wave:
                self._say_step(now, step)
        self._say_wave(now, view)
        for step in changed:
            if step.wave >= view.wave:
                self._say_step(now, step)
        self._say_reasons(now, view)
        self._say_rollout(now, view)

    def _begin(self, now: datetime, view: RolloutView) -> None:
        """Say how the rollout stands; of its instances only those that went wrong or are on their way."""
        self._say_rollout(now, view)
        told = [step for step in noteworthy(view) if step.state is not StepState.PENDING]
        self._stands = {step.instance: (step.state, step.back) for step in view.steps if step not in told}

    def _say_step(self, now: datetime, step: StepView) -> None:
        self._stands[step.instance] = (step.state, step.back)
        _say(
            now,
            step_line(step if step.state.is_over else structs.replace(step, reason="", command=None), None),
        )

    def _say_reasons(self, now: datetime, view: RolloutView) -> None:
        """Say why whatever needs a hand waits, if it has done so for a moment."""
        found: dict[str, tuple[str, str]] = {}
        for step in view.steps:
            if _needs_a_hand(step):
                found[step.instance] = (timeless(step.reason), step_line(step, now))
        for reason, steps in held(view).items():
            who = names([step.instance for step in steps])
            found[reason] = (reason, f"{who} waiting: {step_why(steps[0])}")
        for subject in self._patience.ripe({name: reason for name, (reason, _) in found.items()}, now):
            _say(now, found[subject][1])

    def _say_wave(self, now: datetime, view: RolloutView) -> None:
        if view.wave == self._wave or goes_back(view):
            return
        self._wave = view.wave
        for wave in view.waves:
            if wave.number == view.wave:
                what = f"{wave.role}, canary" if wave.canary else wave.role
                _say(now, f"wave {wave.number} of {len(view.waves)} ({what}): {names(wave.instances)}")

    def _say_rollout(self, now: datetime, view: RolloutView) -> None:
        stands = (view.state.value, timeless(view.reason))
        if stands != self._rollout:
            self._rollout = stands
            why = advised(view.reason, view.command)
            _say(now, f"rollout {view.id} {standing(view)}{f': {why}' if why else ''}")


class JsonLines:
    """Each change of a rollout as JSON, on stdout."""

    def __init__(self) -> None:
        self._said: RolloutView | None = None

    def update(self, view: RolloutView) -> None:
        """Print the view if it is otherwise than before."""
        if view != self._said:
            self._said = view
            out(encoded(view))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A reason, since when it is there, and whether it was told."""

    reason: str
    since: datetime
    told: bool = False


class _Patience:
    """Lets through, once, what has lasted for a moment."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def ripe(self, reasons: Mapping[str, str], now: datetime) -> list[str]:
        """Return the subjects whose reason has lasted and was not returned yet; `reasons` are all of now."""
        kept = {}
        for subject, reason in reasons.items():
            seen = self._seen.get(subject)
            kept[subject] = seen if seen and seen.reason == reason else _Seen(reason=reason, since=now)
        ripe = [name for name, seen in kept.items() if not seen.told and seen.since <= now - PATIENCE]
        self._seen = kept | {name: replace(kept[name], told=True) for name in ripe}
        return ripe


def _needs_a_hand(step: StepView) -> bool:
    """Tell whether a step on its way says why it does not go on, and what to do."""
    return step.state in UNDER_WAY and step.state not in HELD and bool(step.reason and step.command)


def _say(now: datetime, text: str) -> None:
    note(f"{now:%H:%M:%S} {printable(text)}")
