"""How runs look while they go: a live table on a terminal, a line for each step of one elsewhere."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from orchestrator.cli.amounts import brief
from orchestrator.cli.output import note, printable
from orchestrator.domain.views import RunState, RunView

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

MARKS: Final = {
    RunState.QUEUED: ("·", "dim"),
    RunState.RUNNING: ("▶", "yellow"),
    RunState.SUCCEEDED: ("✓", "green"),
    RunState.FAILED: ("✗", "red"),
    RunState.CANCELLED: ("✗", "yellow"),
    RunState.INTERRUPTED: ("✗", "yellow"),
}
A_SECOND: Final = 4


class Show(Protocol):
    """Shows runs as they are now."""

    def update(self, runs: Sequence[RunView]) -> None:
        """Show `runs`."""


@contextmanager
def showing() -> Iterator[Show]:
    """Show runs on stderr, live if that is a terminal."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console  # noqa: PLC0415 - 0.1 s that only a terminal shall pay
    from rich.live import Live  # noqa: PLC0415 - as above

    with Live(console=Console(stderr=True), refresh_per_second=A_SECOND) as live:
        yield _Table(live)


class Lines:
    """A line whenever a run has come a step further."""

    def __init__(self) -> None:
        self._said: dict[str, RunState] = {}

    def update(self, runs: Sequence[RunView]) -> None:
        """Say which runs are in another state than before."""
        for run in runs:
            if self._said.get(run.id) is not run.state:
                self._said[run.id] = run.state
                note(f"{run.instance}: {run.state.value}{_ending(run)}")


class _Table:
    """One line an instance, redrawn in place, and the count below."""

    def __init__(self, live: "Live") -> None:
        self._live = live
        self._begun = time.monotonic()
        self._runs: Sequence[RunView] = ()
        live.get_renderable = self._drawn  # type: ignore[method-assign] # so that the clock goes on between updates

    def update(self, runs: Sequence[RunView]) -> None:
        """Redraw."""
        self._runs = runs
        self._live.refresh()

    def _drawn(self) -> "Group":
        from rich.console import Group  # noqa: PLC0415 - as in `showing`
        from rich.text import Text  # noqa: PLC0415 - as above

        lines = [Text(_line(run), style=MARKS[run.state][1]) for run in self._runs]
        done = sum(run.state.is_final for run in self._runs)
        elapsed = brief(time.monotonic() - self._begun)
        return Group(*lines, Text(f"{done} of {len(self._runs)} ended, {elapsed}"))


def _line(run: RunView) -> str:
    return f"{MARKS[run.state][0]} {run.instance:20} {run.state.value:12}{_ending(run) or _progress(run)}"


def _progress(run: RunView) -> str:
    return "" if run.progress is None else f" {run.progress[0]} of {run.progress[1]}"


def _ending(run: RunView) -> str:
    if not run.state.is_final:
        return f" ({printable(run.reason)})" if run.reason else ""
    proved = run.verdict or run.outcome or ""
    words = [proved, f"{run.changed} changed" if run.state is RunState.SUCCEEDED else printable(run.reason)]
    return f" {', '.join(word for word in words if word)}"
