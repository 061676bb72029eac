"""How a rollout looks while it goes: a live view on a terminal, a line for each change elsewhere.

A fleet has more instances than a terminal has lines, so the live view has those that are on their way, wait
or failed, and counts the others. The lines are for logs: each has its time and makes sense alone.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from orchestrator.cli.amounts import spent
from orchestrator.cli.output import encoded, note, out, printable
from orchestrator.cli.rollout_text import UNDER_WAY, advised, names, standing, step_line, step_why, took
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.views import RolloutView, StepView

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

A_SECOND: Final = 4
ROOM: Final = 6
BAR: Final = 30
LENGTH: Final = re.compile(r"\d+(\.\d+)? ?(s|m|h|d|seconds?|minutes?|hours?|days?)\b")
STYLES: Final = {
    StepState.PENDING: ("·", "dim"),
    StepState.WAITING: ("…", "yellow"),
    StepState.DONE: ("✓", "green"),
    StepState.FAILED: ("✗", "red"),
    StepState.SKIPPED: ("-", "dim"),
    StepState.REVERTED: ("↩", "yellow"),
}
GOING: Final = ("▶", "yellow")
HELD: Final = frozenset({StepState.PENDING, StepState.WAITING})


class Show(Protocol):
    """Shows a rollout as it is now."""

    def update(self, view: RolloutView) -> None:
        """Show `view`."""


@contextmanager
def showing() -> Iterator[Show]:
    """Show a rollout on stderr, live if that is a terminal."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console  # noqa: PLC0415 - 0.1 s that only a terminal shall pay
    from rich.live import Live  # noqa: PLC0415 - as above

    with Live(console=Console(stderr=True), refresh_per_second=A_SECOND, transient=True) as live:
        yield _Screen(live)


class Lines:
    """A line for each change of an instance, of the wave, or of the rollout, in that order.

    Whose turn has only to come says the same as all the others, anew whenever one of them has moved; so why
    instances wait is told once for all of them, and only when none moves.
    """

    def __init__(self) -> None:
        self._rollout: tuple[str, ...] = ()
        self._wave = 0
        self._steps: dict[str, StepView] = {}
        self._held: set[str] = set()

    def update(self, view: RolloutView) -> None:
        """Say what is otherwise than before."""
        now, first = datetime.now(UTC), not self._rollout
        if first:
            self._say_rollout(now, view)
        changed = [step for step in view.steps if self._is_news(step)]
        for step in changed:
            if step.wave < view.wave:
                self._say_step(now, step)
        self._say_wave(now, view)
        for step in changed:
            if step.wave >= view.wave:
                self._say_step(now, step)
        self._say_held(now, view)
        self._say_rollout(now, view)

    def _is_news(self, step: StepView) -> bool:
        before = self._steps.get(step.instance)
        if before is None:
            return step.state is not StepState.PENDING
        if step.state in HELD and before.state is step.state:
            return False
        return _essence(before) != _essence(step)

    def _say_step(self, now: datetime, step: StepView) -> None:
        before = self._steps.get(step.instance)
        self._steps[step.instance] = step
        lasts = before is not None and before.state is step.state
        _say(now, step_line(step, now if lasts else None))

    def _say_held(self, now: datetime, view: RolloutView) -> None:
        reasons = {} if view.state is not RolloutState.PROGRESSING else held(view)
        for reason, steps in reasons.items():
            if reason not in self._held:
                _say(now, f"{names([step.instance for step in steps])} waiting: {step_why(steps[0])}")
        self._held = set(reasons)

    def _say_wave(self, now: datetime, view: RolloutView) -> None:
        if view.wave == self._wave:
            return
        self._wave = view.wave
        for wave in view.waves:
            if wave.number == view.wave:
                what = f"{wave.role}, canary" if wave.canary else wave.role
                _say(now, f"wave {wave.number} of {len(view.waves)} ({what}): {names(wave.instances)}")

    def _say_rollout(self, now: datetime, view: RolloutView) -> None:
        stands = (view.state.value, _timeless(view.reason))
        if stands != self._rollout:
            self._rollout = stands
            why = advised(view.reason, view.command)
            _say(now, f"rollout {view.id} {standing(view)}{f': {why}' if why else ''}")


def held(view: RolloutView) -> dict[str, list[StepView]]:
    """Return why instances of the open wave wait for their turn, if none is on its way; with who they are."""
    if any(step.state in UNDER_WAY and step.state is not StepState.WAITING for step in view.steps):
        return {}
    found: dict[str, list[StepView]] = {}
    for step in view.steps:
        if step.state in HELD and step.wave == view.wave and step.reason:
            found.setdefault(_timeless(step.reason), []).append(step)
    return found


class JsonLines:
    """Each change of a rollout as JSON, on stdout."""

    def __init__(self) -> None:
        self._said: RolloutView | None = None

    def update(self, view: RolloutView) -> None:
        """Print the view if it is otherwise than before."""
        if view != self._said:
            self._said = view
            out(encoded(view))


class _Screen:
    """What is on its way, waits or failed, redrawn in place, below how far all of it is."""

    def __init__(self, live: "Live") -> None:
        self._live = live
        self._view: RolloutView | None = None
        live.get_renderable = self._drawn  # type: ignore[method-assign] # so that the clock goes on between updates

    def update(self, view: RolloutView) -> None:
        """Redraw."""
        self._view = view
        self._live.refresh()

    def _drawn(self) -> "Group":
        from rich.console import Group  # noqa: PLC0415 - as in `showing`

        if self._view is None:
            return Group()
        return Group(*screen(self._view, datetime.now(UTC), room=self._live.console.height - ROOM))


def screen(view: RolloutView, now: datetime, *, room: int) -> "list[Text]":
    """Return the lines of the live view, of which those for instances have `room`."""
    from rich.text import Text  # noqa: PLC0415 - as in `showing`

    over = sum(step.state.is_over for step in view.steps)
    filled = BAR * over // max(1, len(view.steps))
    expected = "" if view.expected_s is None else f" of about {spent(view.expected_s)}"
    lines = [
        Text(f"rollout {view.id} {standing(view)}", style="bold"),
        Text(
            f"{'█' * filled}{'░' * (BAR - filled)} {over} of {len(view.steps)}, {took(view, now)}{expected}"
        ),
    ]
    if view.reason:
        lines.append(Text(advised(view.reason, view.command), style="yellow"))
    shown = noteworthy(view)
    for step in shown[: max(1, room)]:
        mark, style = STYLES.get(step.state, GOING)
        lines.append(Text(f"{mark} {step_line(step, now)}", style=style, no_wrap=True, overflow="ellipsis"))
    if len(shown) > max(1, room):
        lines.append(Text(f"  and {len(shown) - max(1, room)} more", style="dim"))
    return lines


def noteworthy(view: RolloutView) -> list[StepView]:
    """Return the steps that a person looks for: failed, on their way, or why none of the wave is."""
    failed = [step for step in view.steps if step.state is StepState.FAILED]
    going = [step for step in view.steps if step.state in UNDER_WAY]
    waiting = [steps[0] for steps in held(view).values() if steps[0] not in going]
    return [*failed, *going, *waiting]


def _say(now: datetime, text: str) -> None:
    note(f"{now:%H:%M:%S} {printable(text)}")


def _essence(step: StepView) -> tuple[object, ...]:
    return (step.state, step.back, _timeless(step.reason))


def _timeless(reason: str) -> str:
    """Return a reason without its lengths of time, which change when nothing else does."""
    return LENGTH.sub("", reason)
