"""What a wing remembers of the commands that it accepted, each in exactly one of three states.

Waiting → Underway → Answered, or Waiting → Answered. A state holds only what can be true in it, so there is
no answered command without an answer and no waiting one with a process.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from broker.ids import MessageId, RunId
from broker.messages import Command, Converge
from wing.events import Process
from wing.facts import FactRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Accepted, and not started."""

    command: Command

    @property
    def id(self) -> MessageId:
        """The command's id."""
        return self.command.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway:
    """Started; `process` is its newest process group, `cancelled_by` the command that wants its end."""

    command: Command
    process: Process | None = None
    cancelled_by: MessageId | None = None

    @property
    def id(self) -> MessageId:
        """The command's id."""
        return self.command.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Finally answered by the fact `answer`; forgotten once that is acked and `not_after` has passed."""

    id: MessageId
    run: RunId | None
    not_after: datetime
    answer: FactRef
    acked: bool = False


Entry = Waiting | Underway | Answered


def run_of(entry: Entry) -> RunId | None:
    """Return the run that `entry` is about, None for a prefetch or a cancel."""
    match entry:
        case Waiting() | Underway():
            body = entry.command.body
            return body.run if isinstance(body, Converge) else None
        case Answered():
            return entry.run
        case _:
            assert_never(entry)


def changes_host(command: Command) -> bool:
    """Whether `command` may change the host, so that it runs alone."""
    return isinstance(command.body, Converge) and not command.body.noop
