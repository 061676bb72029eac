"""What an orchestrator's command does to a wing: it is refused, known, obeyed at once, or accepted."""

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final, assert_never

from broker.ids import Epoch, MessageId
from broker.messages import (
    Accepted,
    Ack,
    Backlog,
    Cancel,
    Cancelled,
    Command,
    Converge,
    Drain,
    Failed,
    Health,
    Ping,
    Prefetch,
    Rejected,
    RejectReason,
    Replay,
    Report,
    Succeeded,
    Uncordon,
)
from wing.checks import Known, Refusal, check, check_control
from wing.effects import (
    ForgetBan,
    RecordAck,
    RecordBan,
    RecordEpoch,
    SendAnswers,
    SendBirth,
    SendFacts,
    SendPong,
    StopWork,
)
from wing.entries import Answered, Underway, Waiting, work_asked
from wing.events import Drop, GarbageReceived
from wing.facts import without
from wing.queue import advanced, fenced, queued
from wing.state import Ban
from wing.step import Step, clipped

REPLAY_WINDOW: Final = 500
BAN_MEMORY: Final = timedelta(days=1)  # the mesh keeps a command no longer than a session lives
MOST_BANS: Final = 1_000
_OVER: Final = "nothing of that id is under way any more: it has been answered"


def received(step: Step, command: Command) -> Step:
    """Return the step with `command` handled, whatever it is."""
    match command.body:
        case Ping() | Ack() | Replay() | Report():
            return _controlled(step, command)
        case Converge() | Prefetch() | Cancel() | Drain() | Uncordon() | Health():
            return _considered(step, command)
        case _:
            assert_never(command.body)


def garbage(step: Step, event: GarbageReceived) -> Step:
    """Return the step with something unbelievable counted, and answered at most once a second.

    The answer names epoch 0, since nothing that the message claims can be believed.
    """
    step = step.counted(event.why)
    if event.why is not Drop.UNSIGNED or event.id is None:
        return step
    room = step.state.strangers.take(step.at)
    if room is None:
        return step
    refusal = Refusal(reason=RejectReason.BAD_SIGNATURE, detail=event.detail)
    step = step.moved(replace(step.state, strangers=room))
    return step.told(_rejected(event.id, refusal, Epoch(0)), caused_by=event.id)


# Controls: fenced, never remembered, never answered -----------------------------------------------


def _controlled(step: Step, command: Command) -> Step:
    if check_control(step.state, command, step.at) is not None:
        return step.counted(Drop.REFUSED_CONTROL)
    step = _seen(step, command.epoch)
    match command.body:
        case Ping():
            return step.then(SendPong(ping=command.id, received_at=step.at))
        case Ack() as ack:
            return _acked(step, ack)
        case Replay() as replay:
            limit = min(replay.limit, REPLAY_WINDOW)
            return step.then(SendFacts(boot=replay.boot, first=replay.first, limit=limit))
        case _:
            return step.then(SendBirth())


def _acked(step: Step, ack: Ack) -> Step:
    ours = [stretch.last for stretch in step.state.backlog if stretch.boot == ack.boot]
    seq = min(ack.seq, max(ours, default=0))
    if not any(stretch.boot == ack.boot and stretch.first <= seq for stretch in step.state.backlog):
        return step
    backlog = without(step.state.backlog, Backlog(boot=ack.boot, first=1, last=seq))
    step = step.moved(replace(step.state, backlog=backlog)).then(RecordAck(boot=ack.boot, seq=seq))
    for entry in step.state.answered:
        if entry.answer.boot == ack.boot and entry.answer.seq <= seq and not entry.acked:
            step = step.kept(replace(entry, acked=True))
    return tidied(step)


def tidied(step: Step) -> Step:
    """Return the step without what need not be remembered any more."""
    for entry in step.state.answered:
        if entry.acked and entry.not_after < step.at:
            step = step.forgotten(entry.id)
    stale = [work for work, ban in step.state.bans.items() if ban.at + BAN_MEMORY < step.at]
    if not stale:
        return step
    return step.moved(step.state.without_bans(stale)).then(*(ForgetBan(work=work) for work in stale))


# Commands that are answered ----------------------------------------------------------------------


def _considered(step: Step, command: Command) -> Step:
    verdict = check(step.state, command, step.at)
    match verdict:
        case Known():
            return step.then(SendAnswers(command=command.id))
        case Refusal():
            if verdict.reason not in {RejectReason.WRONG_TARGET, RejectReason.STALE_EPOCH}:
                step = _seen(step, command.epoch)
            return advanced(_refused(step, command, verdict))
        case None:
            return advanced(_accepted(_seen(step, command.epoch), command))
        case _:
            assert_never(verdict)


def _seen(step: Step, epoch: Epoch) -> Step:
    if epoch <= step.state.epoch:
        return step
    step = step.moved(replace(step.state, epoch=epoch)).then(RecordEpoch(epoch=epoch))
    return fenced(step, epoch)


def _refused(step: Step, command: Command, refusal: Refusal) -> Step:
    room = step.state.rejections.take(step.at)
    if room is None:
        return step.counted(Drop.TOO_MANY_REJECTIONS)
    step = step.moved(replace(step.state, rejections=room))
    return step.told(_rejected(command.id, refusal, command.epoch), caused_by=command.id)


def _accepted(step: Step, command: Command) -> Step:
    entry = Waiting(command=command)
    step = step.told(Accepted(command=command.id), caused_by=command.id).kept(entry)
    if isinstance(command.body, Cancel):
        return _cancelled(step.started(entry), command, command.body)
    work = work_asked(command)
    if work is None:
        return queued(step, entry)
    if work in step.state.bans:
        reason = f"cancelled before it came, by command {step.state.bans[work].by}"
        return step.answered(entry, Cancelled(command=command.id, reason=reason))
    done = step.state.answer_of(work)
    return queued(step, entry) if done is None else step.answered(entry, replace(done, command=command.id))


def _cancelled(step: Step, command: Command, cancel: Cancel) -> Step:
    order = Underway(command=command)
    found = step.state.of_work(cancel.run)
    match found:
        case None:
            step = _banned(step, command, cancel)
        case Waiting():
            reason = f"cancelled by command {command.id}"
            for each in (found, *step.state.twins(found)):
                step = step.answered(each, Cancelled(command=each.id, reason=reason))
        case Underway():
            step = step.kept(replace(found, cancelled_by=command.id)).then(StopWork(command=found.id))
        case Answered():
            return step.answered(order, Failed(command=command.id, reason=_OVER))
        case _:
            assert_never(found)
    return step.answered(order, Succeeded(command=command.id))


def _banned(step: Step, command: Command, cancel: Cancel) -> Step:
    ban = Ban(by=command.id, at=step.at)
    surplus = list(step.state.bans)[: max(0, len(step.state.bans) + 1 - MOST_BANS)]
    state = step.state.without_bans(surplus)
    state = replace(state, bans=MappingProxyType({**state.bans, cancel.run: ban}))
    forgotten = (ForgetBan(work=work) for work in surplus)
    return step.moved(state).then(*forgotten, RecordBan(work=cancel.run, by=command.id, at=step.at))


def _rejected(command: MessageId, refusal: Refusal, epoch: Epoch) -> Rejected:
    return Rejected(command=command, reason=refusal.reason, detail=clipped(refusal.detail), epoch=epoch)
