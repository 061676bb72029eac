"""Another machine in an instance's place: of what was known of the one before, only what still holds is kept.

What shall be stays, and so does our cordon, for the Kubernetes Node may be there under the same name. What
the old machine proved, was asked, or had still to tell went with it. Its late words are signed with a key
that is believed no more.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from broker.presence import Sighting
from orchestrator.domain import delivery
from orchestrator.domain.effects import SaveStream
from orchestrator.domain.instance import Shown, Turn
from orchestrator.domain.model import Enrolment
from orchestrator.domain.stream import Stream
from orchestrator.domain.views import RunState

ENDED: Final = "another machine has joined as this instance"


def replaced(turn: Turn, enrolment: Enrolment) -> None:
    """Take the instance for a machine that is new: nothing is known of it yet, and it has done nothing."""
    _end_work(turn)
    for stream in _closed(turn):
        turn.become(streams={**turn.instance.streams, stream.boot: stream})
        turn.then(SaveStream(boot=stream.boot))
    turn.become(
        enrolment=replace(enrolment, former=turn.instance.enrolment.key),
        observed=None,
        ever_ran=False,
        tried=None,
        sighting=Sighting(),
        shown=Shown(since=turn.at),
        standing=None,
        version=None,
        host=None,
        asked=None,
        ask_at=None,
        to_ack=frozenset(),
        offset=None,
        trouble="",
    )
    turn.emit("machine_replaced")


def _end_work(turn: Turn) -> None:
    """End what the old machine was asked for; what was not sent yet is the new one's."""
    for work in turn.instance.work():
        if work.command is not None:
            delivery.end(turn, work, RunState.INTERRUPTED, ENDED)
    for command in list(turn.instance.deliveries):
        turn.drop_delivery(command)


def _closed(turn: Turn) -> Iterator[Stream]:
    """Yield the streams that are not whole, as they are left: what stood behind a gap counts no more."""
    for stream in turn.instance.streams.values():
        if stream.held or stream.missing() is not None:
            end = max(stream.announced, stream.handled)
            yield replace(stream, handled=end, announced=end, head=None, gone=(), held={})
