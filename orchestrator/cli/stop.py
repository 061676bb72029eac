"""How a command ends early: an exit code from the table in the documentation, and at most three lines."""

from enum import IntEnum


class Code(IntEnum):
    """The exit codes that scripts may rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    PENDING = 4
    INTERRUPTED = 130


class StopError(Exception):
    """End the command: what happened, why, and what to do (each one line, the last two may be empty)."""

    def __init__(self, code: Code, what: str, *, why: str = "", action: str = "") -> None:
        self.code = code
        self.what = what
        self.why = why
        self.action = action
        super().__init__(what)


class ReaderGoneError(Exception):
    """Whoever read our output (`| head`) has had enough."""


def usage(what: str, *, action: str = "") -> StopError:
    """Return the error for a command line that can't be meant so."""
    return StopError(Code.USAGE, what, action=action)
