"""A command may be lost on its way, so it is sent until its wing answers; one that answers is left in peace.

Runs and orders go the same way here: what a command carries is *work*, and only its end differs. Sent again
is always the same command with the same id, which the wing answers as it did before; so nothing
can run twice. An instance that is not there is not sent to: what waits for it says so, and goes out when it
comes.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from broker.ids import Boot, MessageId, OrderId, RunId
from broker.messages import Cancel, Converge, Rejected, RejectReason
from broker.messages.upkeep import Drain, Health, Uncordon
from orchestrator.domain import dispatch, orders
from orchestrator.domain.instance import Instance, Turn
from orchestrator.domain.model import Delivery, Order, Run, Work
from orchestrator.domain.views import PresenceState, RunState


def deliver(turn: Turn) -> None:
    """Send what is due: commands of released work to an instance that is there, and what stays unanswered."""
    _expire(turn)
    if not turn.instance.may_be_sent_to(turn.at):
        _explain(turn)
        return
    for work in turn.instance.work():
        if work.released and work.command is None and not _is_behind(turn, work):
            _send_work(turn, work)
    for delivery in list(turn.instance.deliveries.values()):
        if delivery.next_at is not None and delivery.next_at <= turn.at:
            dispatch.send(turn, delivery)


def returned(turn: Turn) -> None:
    """Ask again about whatever has no final answer: the instance came back in another boot."""
    for delivery in turn.instance.deliveries.values():
        if delivery.boot != turn.instance.boot:
            turn.put_delivery(replace(delivery, next_at=turn.at))


def asked_again(turn: Turn) -> None:
    """Ask again about whatever has no final answer: one may be among the facts that went missing."""
    for delivery in turn.instance.deliveries.values():
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


def hold(turn: Turn, run_id: RunId, reason: str) -> None:
    """Say what a run waits for whose turn has come."""
    run = turn.instance.runs.get(run_id)
    if run is not None and not run.released and run.reason != reason:
        turn.put_run(replace(run, reason=reason))


def order(turn: Turn, wanted: Order) -> None:
    """Take an order in; it goes out when the instance is there."""
    turn.put_order(wanted)
    turn.emit("order_requested", caused_by=wanted.caused_by, order=wanted.id, owner=wanted.owner)
    deliver(turn)


def cancel(turn: Turn, work_id: RunId | OrderId, *, by: str) -> None:
    """End work that was not sent, or ask its wing to end it; what has ended stays as it is."""
    work = find(turn.instance, work_id)
    if work is None:
        return
    turn.emit(f"{_word(work)}_cancel_requested", **_named(work), by=by)
    if work.command is None:
        end(turn, work, RunState.CANCELLED, f"cancelled by {by} before it was sent")
        return
    _ask_to_end(turn, work)
    deliver(turn)


def find(instance: Instance, work_id: str) -> Work | None:
    """Return the open run or order of that id, None if there is none."""
    return next((work for work in instance.work() if work.id == work_id), None)


def rejected(turn: Turn, answer: Rejected) -> None:
    """Decide afresh after a wing's no; one to another leader's command, or to no command of ours, is none."""
    delivery = turn.instance.deliveries.get(answer.command)
    foreign = answer.epoch != turn.around.epoch and answer.reason is not RejectReason.BAD_SIGNATURE
    if delivery is None or (foreign and answer.reason is RejectReason.STALE_EPOCH):
        return
    work = work_of(turn.instance, delivery)
    text = f"{answer.reason.value}: {answer.detail}" if answer.detail else answer.reason.value
    match answer.reason:
        case RejectReason.OTHER_BOOT:
            _decide_afresh(turn, delivery, work)
        case RejectReason.EXPIRED:
            turn.drop_delivery(delivery.id)
            if work is not None:
                reason = "expired before the instance could start it; ask for it again"
                end(turn, work, RunState.FAILED, reason)
            deliver(turn)
        case _:
            if work is not None and not work.accepted:
                turn.put_work(replace(work, reason=f"refused for now ({text}), sent again"))


def accepted(turn: Turn, command: MessageId, *, boot: Boot) -> None:
    """Note that a wing will answer a command; nothing is sent again until it comes back in another boot.

    The word of a boot that is there no more may come after that, and is no promise of the one that is.
    """
    delivery = turn.instance.deliveries.get(command)
    if delivery is None:
        return
    if turn.instance.boot in {None, boot}:
        turn.put_delivery(replace(delivery, next_at=None))
    work = work_of(turn.instance, delivery)
    if work is not None:
        reason = "" if work.state is RunState.QUEUED else work.reason
        turn.put_work(replace(work, accepted=True, reason=reason))
    deliver(turn)


def end(turn: Turn, work: Work, state: RunState, reason: str) -> None:
    """Give a run or an order an end that its wing could not give it."""
    ended = replace(work, state=state, reason=reason, finished_at=turn.at)
    orders.cut_off(turn, ended)
    turn.put_work(ended)
    tried(turn, ended)
    turn.emit(f"{_word(work)}_ended", **_named(work), state=state.value, reason=reason)


def tried(turn: Turn, work: Work) -> None:
    """Leave a bundle whose converge did not succeed to operators; one that was never begun was not tried."""
    if not isinstance(work, Run) or work.noop or work.state is RunState.SUCCEEDED:
        return
    if work.started_at is not None or work.state is RunState.CANCELLED:
        turn.become(tried=work.digest)


def deadline(instance: Instance) -> datetime | None:
    """Return when the next thing is due to be sent or to expire."""
    there = instance.shown.state is PresenceState.ONLINE and not instance.shown.disputed
    due = [item.next_at for item in instance.deliveries.values() if item.next_at is not None and there]
    due += [work.not_after for work in instance.work() if work.command is None]
    return min(due, default=None)


def work_of(instance: Instance, delivery: Delivery) -> Work | None:
    """Return the run or order that a command carries, None if it carries none that is open."""
    match delivery.body:
        case Converge(run=run):
            return instance.runs.get(run)
        case Drain(order=order) | Uncordon(order=order) | Health(order=order):
            return instance.orders.get(order)
        case _:
            return None


def _is_behind(turn: Turn, work: Work) -> bool:
    """Tell whether an order has to wait until it is known what became of an earlier one in another boot.

    That one may have to be sent afresh too, and an uncordon must not come before the drain that it undoes.
    """
    if not isinstance(work, Order):
        return False
    boots = {delivery.id: delivery.boot for delivery in turn.instance.deliveries.values()}
    return any(
        other.command is not None and not other.accepted and boots.get(other.command) != turn.instance.boot
        for other in turn.instance.orders.values()
        if other.created_at < work.created_at
    )


def _ask_to_end(turn: Turn, work: Work) -> None:
    not_after = max(work.not_after, turn.at + timedelta(hours=1))
    dispatch.command(turn, Cancel(run=RunId(work.id)), not_after=not_after, cause=None)


def _decide_afresh(turn: Turn, delivery: Delivery, work: Work | None) -> None:
    turn.drop_delivery(delivery.id)
    if isinstance(delivery.body, Cancel):
        _cancel_afresh(turn, delivery.body.run)
        return
    if work is None:
        return
    if work.accepted:
        reason = (
            "the instance came back without its journal, so what was done is not known; converge it again"
        )
        end(turn, work, RunState.INTERRUPTED, reason)
    else:
        turn.put_work(replace(work, command=None))
        deliver(turn)


def _cancel_afresh(turn: Turn, work_id: str) -> None:
    """Hold to a cancel that came in another boot than the one it was for: its work may still be open."""
    work = find(turn.instance, work_id)
    if work is None:
        return
    if work.command is None:
        end(turn, work, RunState.CANCELLED, "cancelled before it was sent again")
        return
    _ask_to_end(turn, work)
    deliver(turn)


def _send_work(turn: Turn, work: Work) -> None:
    delivery = dispatch.command(turn, dispatch.body_of(work), not_after=work.not_after, cause=work.caused_by)
    turn.put_work(replace(work, command=delivery.id, reason=""))


def _word(work: Work) -> str:
    return "run" if isinstance(work, Run) else "order"


def _named(work: Work) -> dict[str, Any]:
    return {_word(work): work.id}


def _expire(turn: Turn) -> None:
    for work in turn.instance.work():
        if work.command is None and work.not_after <= turn.at:
            reason = f"never reached: {_absence(turn) or 'it waited for its turn too long'}"
            end(turn, work, RunState.FAILED, reason)


def _explain(turn: Turn) -> None:
    reason = _absence(turn)
    for work in turn.instance.work():
        if work.command is None and work.reason != reason:
            turn.put_work(replace(work, reason=reason))


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
