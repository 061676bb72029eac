"""Ctrl-C while Terraform works: it is passed on once, and then waited for.

Terraform that is killed forgets what it was making; asked once, it ends what is under way and records it. It
runs in a session of its own, since a terminal would send the signal to it as well, and Terraform takes a
second one for "at once".
"""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORDS: Final = (
    "stopping: waiting for Terraform to end what is under way and record it (once more: at once)",
    "stopping at once: what is under way may not be recorded",
    "killed",
)


class Interrupts:
    """How often an end was asked for while a process ran."""

    def __init__(self, process: "subprocess.Popen[str]", say: Callable[[str], None]) -> None:
        self._process = process
        self._say = say
        self.count = 0

    def take(self, _number: int, _frame: FrameType | None) -> None:
        """Pass an interrupt on: twice as Terraform knows it, then as nobody can fail to."""
        self.count += 1
        self._say(WORDS[min(self.count, len(WORDS)) - 1])
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT if self.count < len(WORDS) else signal.SIGKILL)


@contextmanager
def passed_on(process: "subprocess.Popen[str]", say: Callable[[str], None]) -> Iterator[Interrupts]:
    """Pass signals on to `process` for as long as the block lasts; the caller is in the main thread."""
    interrupts = Interrupts(process, say)
    before = {number: signal.signal(number, interrupts.take) for number in SIGNALS}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
