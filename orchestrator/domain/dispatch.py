"""How a command is made out of work, and sent: always for one boot, and again after growing pauses."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from broker.ids import Boot, MessageId
from broker.messages import CommandBody, Converge
from orchestrator.domain.instance import Turn
from orchestrator.domain.model import Delivery, Order, Work

FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(seconds=60)


def body_of(work: Work) -> CommandBody:
    """Return what a command for `work` says."""
    if isinstance(work, Order):
        return work.body
    return Converge(
        run=work.id,
        digest=work.digest,
        size=work.size,
        url=work.url,
        noop=work.noop,
        diff=work.diff,
        timeout_s=work.timeout_s,
        confirm=work.confirm,
    )


def command(turn: Turn, body: CommandBody, *, not_after: datetime, cause: MessageId | None) -> Delivery:
    """Return a new command for the boot that is there, due now."""
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


def send(turn: Turn, delivery: Delivery) -> None:
    """Publish a command, and set when it is due again."""
    turn.publish(
        command_id=delivery.id,
        body=delivery.body,
        boot=delivery.boot,
        not_after=delivery.not_after,
        cause=delivery.caused_by,
    )
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(delivery.sends, 10))
    turn.put_delivery(replace(delivery, sends=delivery.sends + 1, next_at=turn.at + pause))
