"""What a wing remembers of the commands that it accepted, each in exactly one of three states.

Waiting → Underway → Answered, or Waiting → Answered. A state holds only what can be true in it, so there is
no answered command without an answer and no waiting one with a process.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from broker.ids import MessageId, OrderId, RunId
from broker.messages import Command, Converge, Drain, FinalAnswer, Health, Uncordon
from wing.events import Process
from wing.facts import FactRef

WorkId = RunId | OrderId
"""What a piece of work is known by, and cancelled by."""


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
    """Finally answered by the fact `answer`; forgotten once that is acked and `not_after` has passed.

    `said` is what that fact says: it answers any other command that asks for the same work.
    """

    work: WorkId | None
    not_after: datetime
    answer: FactRef
    said: FinalAnswer
    acked: bool = False

    @property
    def id(self) -> MessageId:
        """The command's id."""
        return self.said.command


Entry = Waiting | Underway | Answered


def work_of(entry: Entry) -> WorkId | None:
    """Return the run or order that `entry` is about, None for a prefetch or a cancel."""
    match entry:
        case Waiting() | Underway():
            return work_asked(entry.command)
        case Answered():
            return entry.work
        case _:
            assert_never(entry)


def work_asked(command: Command) -> WorkId | None:
    """Return the run or order that `command` asks for, if it asks for one."""
    match command.body:
        case Converge(run=run):
            return run
        case Drain(order=order) | Uncordon(order=order) | Health(order=order):
            return order
        case _:
            return None


def run_of(entry: Waiting | Underway) -> RunId | None:
    """Return the run of Puppet that `entry` is about, None for all that is no run."""
    body = entry.command.body
    return body.run if isinstance(body, Converge) else None


def changes_host(command: Command) -> bool:
    """Whether `command` may change the host, or what it carries, so that it runs alone."""
    match command.body:
        case Converge(noop=noop):
            return not noop
        case Drain() | Uncordon():
            return True
        case _:
            return False
