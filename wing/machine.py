"""The heart of a wing: `machine, effects = machine.handle(event)`, and nothing else decides anything.

Pure: time is in the events, ids are injected, and what is wanted of the world comes out as effects, of which
the shell writes the records in one transaction before it carries out the acts. So every promise of the mesh
protocol (what is accepted gets exactly one final answer; one change at a time; nothing of a lower epoch
starts; facts have no hole) is a property of this function, and a crash between any two of the shell's steps
leaves a journal that `Machine.restored` goes on from.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from broker.messages import RunWaiting, Truncated
from broker.presence import CONFLICT_MEMORY
from wing.commands import garbage, received, tidied
from wing.effects import (
    DropFacts,
    Effect,
    Leave,
    ReconnectSlowly,
    SendBirth,
    SendHeartbeat,
    StopWork,
    Warn,
)
from wing.endings import ended, interrupted
from wing.entries import Underway, run_of
from wing.events import (
    CommandReceived,
    Connected,
    Disconnected,
    Drop,
    Event,
    ForeignBirthSeen,
    ForeignStopSeen,
    GarbageReceived,
    JournalFailed,
    JournalMeasured,
    JournalRecovered,
    OrderTold,
    ProcessStarted,
    RunWaited,
    StopRequested,
    Ticked,
    WingStarted,
    WorkEnded,
)
from wing.facts import without
from wing.orders import bounded
from wing.queue import advanced
from wing.state import Identity, Remembered, Rival, State
from wing.step import NewId, Step, clipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A wing that can be told what happened; a value, so the one before stays as it was."""

    state: State
    new_id: NewId = field(repr=False, compare=False)

    @classmethod
    def restored(
        cls, identity: Identity, remembered: Remembered, *, at: datetime, new_id: NewId
    ) -> "Machine":
        """Return the machine of a wing that starts at `at`; its first event is `WingStarted`."""
        return cls(state=State.restored(identity, remembered, at=at), new_id=new_id)

    def handle(self, event: Event) -> tuple["Machine", tuple[Effect, ...]]:
        """Return the machine after `event`, and what that asks for, in order."""
        step = _handled(Step(state=self.state, at=event.at, new_id=self.new_id), event)
        return replace(self, state=step.state), step.effects


def _handled(step: Step, event: Event) -> Step:  # noqa: C901, PLR0911, PLR0912 — it only dispatches
    match event:
        case WingStarted():
            return _started(step, event)
        case CommandReceived():
            return received(step, event.command)
        case GarbageReceived():
            return garbage(step, event)
        case ForeignBirthSeen():
            return _conflicted(step, event)
        case ForeignStopSeen():
            return _left(step, event)
        case Connected():
            return step.moved(replace(step.state, connection=event.connection)).then(SendBirth())
        case Disconnected():
            return step
        case ProcessStarted() | RunWaited() | OrderTold() | WorkEnded():
            return _worked(step, event)
        case JournalMeasured():
            return _measured(step, event)
        case JournalFailed():
            return _unwritable(step, event)
        case JournalRecovered():
            return _writable(step)
        case Ticked():
            return advanced(_calmed(tidied(step)))
        case StopRequested():
            return _stopping(step)
        case _:
            assert_never(event)


def _started(step: Step, event: WingStarted) -> Step:
    ended_by_us = f"; ended: {', '.join(event.ended)}" if event.ended else ""
    for entry in step.state.underway:
        step = interrupted(step, entry, f"the wing went away in the middle of it{ended_by_us}")
    return advanced(tidied(step))


def _worked(step: Step, event: ProcessStarted | RunWaited | OrderTold | WorkEnded) -> Step:
    entry = step.state.entries.get(event.command)
    if not isinstance(entry, Underway):
        return step
    match event:
        case ProcessStarted():
            return step.kept(replace(entry, process=event.process))
        case RunWaited():
            return _delayed(step, entry, event)
        case OrderTold():
            return step.told(bounded(event.fact), caused_by=entry.id)
        case WorkEnded():
            step = advanced(ended(step, entry, event.end))
            return step.then(Leave()) if step.state.stopping and not step.state.underway else step
        case _:
            assert_never(event)


def _delayed(step: Step, entry: Underway, event: RunWaited) -> Step:
    run = run_of(entry)
    if run is None:
        return step
    return step.told(RunWaiting(command=entry.id, run=run, reason=clipped(event.reason)), caused_by=entry.id)


def _conflicted(step: Step, event: ForeignBirthSeen) -> Step:
    state = step.state
    step = step.moved(replace(state, rival=Rival(boot=event.boot, seen_at=step.at)))
    if state.conflicted:
        return step
    detail = f"{state.identity.instance} is also alive as boot {event.boot}; this is {state.boot}: stop one"
    return step.troubled("identity conflict", detail).then(ReconnectSlowly(slowly=True), SendHeartbeat())


def _left(step: Step, event: ForeignStopSeen) -> Step:
    rival = step.state.rival
    return step if rival is None or rival.boot != event.boot else advanced(_alone(step))


def _calmed(step: Step) -> Step:
    rival = step.state.rival
    return step if rival is None or step.at - rival.seen_at < CONFLICT_MEMORY else _alone(step)


def _alone(step: Step) -> Step:
    warning = Warn(what="identity conflict is over", detail=f"this is {step.state.boot}")
    return step.moved(replace(step.state, rival=None)).then(ReconnectSlowly(slowly=False), warning)


def _measured(step: Step, event: JournalMeasured) -> Step:
    for span in event.surplus:
        backlog = without(step.state.backlog, span)
        step = step.moved(replace(step.state, backlog=backlog)).then(DropFacts(span=span))
        step = step.told(Truncated(boot=span.boot, first=span.first, last=span.last))
    newly = event.full and not step.state.full
    step = step.moved(replace(step.state, full=event.full))
    return (
        step.troubled("journal full", "only final answers are left, and nobody acks them") if newly else step
    )


def _unwritable(step: Step, event: JournalFailed) -> Step:
    newly = step.state.unwritable is None
    step = step.moved(replace(step.state, unwritable=event.reason)).counted(Drop.UNRECORDED)
    if not newly:
        return step
    warning = Warn(what="journal can't be written, nothing is run", detail=clipped(event.reason))
    return step.then(warning, SendHeartbeat())


def _writable(step: Step) -> Step:
    reason = step.state.unwritable
    if reason is None:
        return step
    step = step.moved(replace(step.state, unwritable=None))
    return step.troubled("journal could not be written", reason)


def _stopping(step: Step) -> Step:
    step = step.moved(replace(step.state, stopping=True))
    if not step.state.underway:
        return step.then(Leave())
    return step.then(*(StopWork(command=entry.id) for entry in step.state.underway))
