"""A command may be lost on its way, so it is sent until its wing answers; one that answers is left in peace.

Sent again is always the same command with the same id, which the wing answers as it did before; so nothing
can run twice. An instance that is not there is not sent to: what waits for it says so, and goes out when it
comes.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from broker.ids import Boot, MessageId, RunId
from broker.messages import Cancel, CommandBody, Converge, Rejected, RejectReason
from orchestrator.domain.instance import Instance, Turn
from orchestrator.domain.model import Delivery, Run
from orchestrator.domain.views import PresenceState, RunState

FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(seconds=60)


def deliver(turn: Turn) -> None:
    """Send what is due: commands of released runs to an instance that is there, and what stays unanswered."""
    _expire(turn)
    if not turn.instance.may_be_sent_to(turn.at):
        _explain(turn)
        return
    for run in list(turn.instance.runs.values()):
        if run.released and run.command is None:
            _send_run(turn, run)
    for delivery in list(turn.instance.deliveries.values()):
        if delivery.next_at is not None and delivery.next_at <= turn.at:
            _send(turn, delivery)


def returned(turn: Turn) -> None:
    """Ask again about whatever has no final answer: the instance came back in another boot."""
    for delivery in turn.instance.deliveries.values():
        if delivery.boot != turn.instance.boot:
            turn.put_delivery(replace(delivery, next_at=turn.at))


def reconnected(turn: Turn) -> None:
    """Make whatever is unanswered due now: what was sent may be lost with the broker."""
    for delivery in turn.instance.deliveries.values():
        if delivery.next_at is not None:
            turn.put_delivery(replace(delivery, next_at=turn.at, sends=0))


def request(turn: Turn, run: Run) -> None:
    """Take a run in; it goes out when its ticket releases it and the instance is there."""
    turn.put_run(run)
    if not run.noop:
        turn.become(ever_ran=True)
    turn.emit(
        "run_requested",
        caused_by=run.caused_by,
        run=run.id,
        digest=run.digest,
        noop=run.noop,
        by=run.requested_by,
        automatic=run.automatic,
    )
    deliver(turn)


def release(turn: Turn, run_id: RunId) -> None:
    """Let a run go that waited for its turn."""
    run = turn.instance.runs.get(run_id)
    if run is not None and not run.released:
        turn.put_run(replace(run, released=True, reason=""))
        deliver(turn)


def cancel(turn: Turn, run_id: RunId, *, by: str) -> None:
    """End a run that was not sent, or ask its wing to end it."""
    run = turn.instance.runs[run_id]
    turn.emit("run_cancel_requested", run=run_id, by=by)
    if run.command is None:
        end(turn, run, RunState.CANCELLED, f"cancelled by {by} before it was sent")
        return
    _order_end(turn, run)
    deliver(turn)


def rejected(turn: Turn, answer: Rejected) -> None:
    """Decide afresh after a wing's no; one to another leader's command, or to no command of ours, is none."""
    delivery = turn.instance.deliveries.get(answer.command)
    foreign = answer.epoch != turn.around.epoch and answer.reason is not RejectReason.BAD_SIGNATURE
    if delivery is None or (foreign and answer.reason is RejectReason.STALE_EPOCH):
        return
    run = run_of(turn.instance, delivery)
    text = f"{answer.reason.value}: {answer.detail}" if answer.detail else answer.reason.value
    match answer.reason:
        case RejectReason.OTHER_BOOT:
            _decide_afresh(turn, delivery, run)
        case RejectReason.EXPIRED:
            turn.drop_delivery(delivery.id)
            if run is not None:
                end(
                    turn, run, RunState.FAILED, "expired before the instance could start it; ask for it again"
                )
        case _:
            if run is not None and not run.accepted:
                turn.put_run(replace(run, reason=f"refused for now ({text}), sent again"))


def accepted(turn: Turn, command: MessageId) -> None:
    """Note that a wing will answer a command; nothing is sent again until it comes back in another boot."""
    delivery = turn.instance.deliveries.get(command)
    if delivery is None:
        return
    turn.put_delivery(replace(delivery, next_at=None))
    run = run_of(turn.instance, delivery)
    if run is not None:
        turn.put_run(replace(run, accepted=True, reason="" if run.state is RunState.QUEUED else run.reason))


def end(turn: Turn, run: Run, state: RunState, reason: str) -> None:
    """Give a run an end that its wing could not give it."""
    turn.put_run(replace(run, state=state, reason=reason, finished_at=turn.at))
    turn.emit("run_ended", run=run.id, state=state.value, reason=reason)


def deadline(instance: Instance) -> datetime | None:
    """Return when the next thing is due to be sent or to expire."""
    there = instance.shown.state is PresenceState.ONLINE and not instance.shown.disputed
    due = [item.next_at for item in instance.deliveries.values() if item.next_at is not None and there]
    due += [run.not_after for run in instance.runs.values() if run.command is None]
    return min(due, default=None)


def run_of(instance: Instance, delivery: Delivery) -> Run | None:
    """Return the run that a command carries, None if it carries none that is open."""
    body = delivery.body
    return instance.runs.get(body.run) if isinstance(body, Converge) else None


def _order_end(turn: Turn, run: Run) -> None:
    not_after = max(run.not_after, turn.at + timedelta(hours=1))
    _command(turn, Cancel(run=run.id), not_after=not_after, cause=None)


def _decide_afresh(turn: Turn, delivery: Delivery, run: Run | None) -> None:
    turn.drop_delivery(delivery.id)
    if isinstance(delivery.body, Cancel):
        _cancel_afresh(turn, delivery.body.run)
        return
    if run is None:
        return
    if run.accepted:
        reason = (
            "the instance came back without its journal, so what was done is not known; converge it again"
        )
        end(turn, run, RunState.INTERRUPTED, reason)
    else:
        turn.put_run(replace(run, command=None))
        deliver(turn)


def _cancel_afresh(turn: Turn, run_id: RunId) -> None:
    """Hold to a cancel that came in another boot than the one it was for: its run may still be open."""
    run = turn.instance.runs.get(run_id)
    if run is None:
        return
    if run.command is None:
        end(turn, run, RunState.CANCELLED, "cancelled before it was sent again")
        return
    _order_end(turn, run)
    deliver(turn)


def _send_run(turn: Turn, run: Run) -> None:
    body = Converge(
        run=run.id,
        digest=run.digest,
        size=run.size,
        url=run.url,
        noop=run.noop,
        timeout_s=run.timeout_s,
        confirm=run.confirm,
    )
    delivery = _command(turn, body, not_after=run.not_after, cause=run.caused_by)
    turn.put_run(replace(run, command=delivery.id, reason=""))


def _command(turn: Turn, body: CommandBody, *, not_after: datetime, cause: MessageId | None) -> Delivery:
    boot = turn.instance.boot or _last_boot(turn)
    delivery = Delivery(
        id=turn.around.new_id(),
        instance=turn.instance.enrolment.id,
        boot=boot,
        body=body,
        caused_by=cause,
        created_at=turn.at,
        not_after=not_after,
        next_at=turn.at,
    )
    turn.put_delivery(delivery)
    return delivery


def _last_boot(turn: Turn) -> Boot:
    """Return the boot that was last sent to: the instance was not heard since our own start."""
    boots = [delivery.boot for delivery in turn.instance.deliveries.values()]
    if not boots:
        raise ValueError("a command needs the boot that it is for")
    return boots[-1]


def _send(turn: Turn, delivery: Delivery) -> None:
    turn.publish(
        command_id=delivery.id,
        body=delivery.body,
        boot=delivery.boot,
        not_after=delivery.not_after,
        cause=delivery.caused_by,
    )
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(delivery.sends, 10))
    turn.put_delivery(replace(delivery, sends=delivery.sends + 1, next_at=turn.at + pause))


def _expire(turn: Turn) -> None:
    for run in list(turn.instance.runs.values()):
        if run.command is None and run.not_after <= turn.at:
            end(
                turn,
                run,
                RunState.FAILED,
                f"never reached: {_absence(turn) or 'it waited for its turn too long'}",
            )


def _explain(turn: Turn) -> None:
    reason = _absence(turn)
    for run in list(turn.instance.runs.values()):
        if run.command is None and run.reason != reason:
            turn.put_run(replace(run, reason=reason))


def _absence(turn: Turn) -> str:
    instance = turn.instance
    if instance.sighting.conflict(turn.at) is not None:
        return "two hosts hold this identity; stop one of them"
    if instance.sighting.is_online(turn.at):
        return ""
    shown = instance.shown
    since = f" since {shown.since:%Y-%m-%d %H:%M:%S} UTC" if shown.since else ""
    word = "not heard of" if shown.state is PresenceState.UNKNOWN else shown.state.value
    return f"{word}{since}"
