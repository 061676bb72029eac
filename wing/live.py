"""What Puppet says, live, without costing the mesh more than a few small messages a second.

Lines are gathered for a fifth of a second; when more come than may wait, the oldest go: the complete log
reaches the orchestrator with the run's facts, so nothing depends on these.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from broker.ids import RunId
from broker.messages import LiveBody, LogLine, LogLines, Progress
from wing.step import clipped

PERIOD_S: Final = 0.2
MOST_LINES: Final = 200
_LINES_A_MESSAGE: Final = 20


class LiveLog:
    """The live lines and progress of one run, handed to `send` in batches."""

    def __init__(self, run: RunId, send: Callable[[LiveBody], None]) -> None:
        self._run = run
        self._send = send
        self._lines: deque[LogLine] = deque(maxlen=MOST_LINES)
        self._progress: Progress | None = None
        self._due: asyncio.TimerHandle | None = None

    def said(self, line: LogLine) -> None:
        """Gather one line."""
        self._lines.append(replace(line, message=clipped(line.message), source=clipped(line.source)))
        self._schedule()

    def progressed(self, progress: Progress) -> None:
        """Gather the newest progress; the one before is old news."""
        self._progress = progress
        self._schedule()

    def flush(self) -> None:
        """Send what has been gathered."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        while self._lines:
            batch = [self._lines.popleft() for _ in range(min(_LINES_A_MESSAGE, len(self._lines)))]
            self._send(LogLines(run=self._run, lines=tuple(batch)))
        if self._progress is not None:
            self._send(self._progress)
            self._progress = None

    def _schedule(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(PERIOD_S, self.flush)
