"""Asking a person before anything disruptive; where nobody can be asked, `--yes` has to say it."""

import sys

from orchestrator.cli.output import note
from orchestrator.cli.stop import Code, StopError, usage


def confirm(what: str, *, question: str = "Go on?") -> None:
    """Go on if a person at the terminal says yes to `what`; StopError if not, or if nobody is there."""
    if not at_terminal():
        raise usage(what, action="confirm with --yes")
    note(what)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise StopError(Code.FAILED, "not confirmed; nothing was done")


def at_terminal() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()
