"""What Puppet says, live, without costing the mesh more than a few small messages a second.

Lines are gathered for a fifth of a second; when more come than may wait, the oldest go: the complete log
reaches the orchestrator with the run's facts, so nothing depends on these. Each is cut to what a person reads
at a glance, so that a batch fits into a message whatever Puppet says, in whatever bytes.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from broker.ids import RunId
from broker.limits import MAX_INTEGER
from broker.messages import LiveBody, LogLine, LogLines, Progress
from wing.step import clipped

PERIOD_S: Final = 0.2
MOST_LINES: Final = 200
LINES_A_MESSAGE: Final = 20
LONGEST_MESSAGE: Final = 1_500
LONGEST_NAME: Final = 500
"""Of a resource, a file, or who said it; in characters of at most 4 bytes, so 20 lines are under 256 KiB."""


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
        self._lines.append(_cut(line))
        self._schedule()

    def progressed(self, progress: Progress) -> None:
        """Gather the newest progress; the one before is old news."""
        self._progress = replace(progress, resource=clipped(progress.resource, LONGEST_NAME))
        self._schedule()

    def flush(self) -> None:
        """Send what has been gathered."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        while self._lines:
            batch = [self._lines.popleft() for _ in range(min(LINES_A_MESSAGE, len(self._lines)))]
            self._send(LogLines(run=self._run, lines=tuple(batch)))
        if self._progress is not None:
            self._send(self._progress)
            self._progress = None

    def _schedule(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(PERIOD_S, self.flush)


def _cut(line: LogLine) -> LogLine:
    return replace(
        line,
        message=clipped(line.message, LONGEST_MESSAGE),
        source=clipped(line.source, LONGEST_NAME),
        file=None if line.file is None else clipped(line.file, LONGEST_NAME),
        line=None if line.line is None or abs(line.line) > MAX_INTEGER else line.line,
    )
