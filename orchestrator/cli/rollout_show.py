"""How a rollout looks while it goes, on a terminal: redrawn in place, where a log has a line for each change.

A fleet has more instances than a terminal has lines, so the live view has those that are on their way, wait
or failed, and counts the others.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from orchestrator.cli.amounts import spent
from orchestrator.cli.rollout_log import Lines
from orchestrator.cli.rollout_text import advised, noteworthy, standing, step_line, took
from orchestrator.domain.rollout.model import StepState
from orchestrator.domain.rollout_views import RolloutView

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

A_SECOND: Final = 4
ROOM: Final = 6
BAR: Final = 30
STYLES: Final = {
    StepState.PENDING: ("·", "dim"),
    StepState.WAITING: ("…", "yellow"),
    StepState.DONE: ("✓", "green"),
    StepState.FAILED: ("✗", "red"),
    StepState.SKIPPED: ("-", "dim"),
    StepState.REVERTED: ("↩", "yellow"),
}
GOING: Final = ("▶", "yellow")


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
