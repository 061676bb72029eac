"""What an instance says of itself when it comes, and each minute after, is compared with what we know.

A birth shows a new boot, facts that we lack, a journal of ours that is older than the mesh remembers, and an
instance that has never converged. All of it is signed; what the broker had retained is not about now.
"""

from dataclasses import replace
from typing import assert_never

from broker.ids import Boot
from broker.messages import CHAIN_START, Backlog, Birth, Heartbeat, Lost, Offline, Standing
from orchestrator.domain import answers, delivery
from orchestrator.domain.effects import CatchUp, ConvergeAutomatically, Count, DoubtJournal, SaveStream
from orchestrator.domain.events import PongHeard, PresenceHeard
from orchestrator.domain.instance import Offset, Shown, Turn
from orchestrator.domain.stream import MOST_HELD, Stream
from orchestrator.domain.views import PresenceState

_KINDS = {
    PresenceState.ONLINE: "instance_online",
    PresenceState.OFFLINE: "instance_offline",
    PresenceState.LOST: "instance_lost",
}


def heard(turn: Turn, event: PresenceHeard) -> None:
    """Take in a word about presence."""
    body = event.presence.body
    before = turn.instance.boot
    sighting = turn.instance.sighting.heard(event.presence, at=event.at, retained=event.retained)
    turn.become(sighting=sighting)
    look(turn)
    if turn.instance.boot != before:
        delivery.returned(turn)
    match body:
        case Birth():
            turn.become(version=body.version, host=body.host)
            _standing(turn, event, body.standing)
        case Heartbeat():
            _standing(turn, event, body.standing)
        case Offline() | Lost():
            delivery.deliver(turn)
        case _:
            assert_never(body)


def ponged(turn: Turn, event: PongHeard) -> None:
    """Take a pong as a sign of life, and measure the wing's clock by the round trip."""
    if event.sent_at is not None:
        sighting = turn.instance.sighting.answered(
            event.pong, said=event.said, at=event.at, asked_at=event.sent_at
        )
        before = turn.instance.boot
        turn.become(sighting=sighting)
        if turn.instance.boot != before:
            delivery.returned(turn)
        middle = event.sent_at + (event.at - event.sent_at) / 2
        ahead = (event.pong.received_at - middle).total_seconds()
        trip = (event.at - event.sent_at).total_seconds()
        turn.become(offset=Offset(seconds=ahead, error=trip / 2))
    look(turn)
    delivery.deliver(turn)


def look(turn: Turn) -> None:
    """Say in the tail where the presence has changed, be it by silence alone."""
    sighting, shown = turn.instance.sighting, turn.instance.shown
    state = PresenceState(sighting.state(turn.at).value)
    conflict = sighting.conflict(turn.at)
    boot = turn.instance.boot
    if (state, boot, conflict is not None) == (shown.state, shown.boot, shown.disputed):
        return
    turn.become(shown=Shown(state=state, boot=boot, since=turn.at, disputed=conflict is not None))
    if conflict is not None and not shown.disputed:
        turn.emit("identity_conflict", boot=boot, boots=list(conflict.boots))
    if conflict is None and shown.disputed:
        turn.emit("identity_conflict_over", boot=boot)
    if (state, boot) != (shown.state, shown.boot) and state in _KINDS:
        turn.emit(_KINDS[state], boot=boot)


def _standing(turn: Turn, event: PresenceHeard, standing: Standing) -> None:
    if event.retained:
        if turn.instance.standing is None:
            turn.become(standing=standing)
        return
    if standing.boot != turn.instance.boot or not turn.instance.may_be_sent_to(event.at):
        return
    _describe(turn, standing)
    if standing.epoch > turn.around.epoch:
        who = turn.instance.enrolment.id
        reason = f"{who} has seen epoch {standing.epoch}, the journal knew {turn.around.epoch}"
        turn.then(DoubtJournal(epoch=standing.epoch, reason=reason))
    _compare(turn, standing)
    reconcile(turn, event)
    delivery.deliver(turn)


def _describe(turn: Turn, standing: Standing) -> None:
    """Take the wing's word for what it proved, unless it was said before facts that we have handled."""
    turn.become(standing=standing)
    stream = turn.instance.streams.get(standing.boot)
    is_newest = stream is None or stream.handled <= standing.head_seq
    if standing.observed is not None and is_newest:
        turn.become(observed=standing.observed)


def _compare(turn: Turn, standing: Standing) -> None:
    boots = dict.fromkeys(backlog.boot for backlog in standing.backlog)
    for boot in boots:
        _catch_up(turn, boot, [item for item in standing.backlog if item.boot == boot])
    _look_back(turn, standing)
    stream = turn.instance.streams.get(standing.boot)
    if standing.boot not in boots and standing.head_seq:
        if stream is None:
            _begin(turn, Stream(boot=standing.boot, handled=standing.head_seq, head=standing.head))
        elif stream.handled < standing.head_seq:
            _gone(turn, stream, standing.head_seq)
    elif (
        stream is not None
        and stream.handled == standing.head_seq
        and stream.head not in {None, standing.head}
    ):
        turn.then(Count(name="chain_broken"))
    answers.ask(turn)
    answers.acknowledge(turn)


def _catch_up(turn: Turn, boot: Boot, backlog: list[Backlog]) -> None:
    first, last = backlog[0].first, backlog[-1].last
    stream = turn.instance.streams.get(boot)
    if stream is None:
        head = CHAIN_START if first == 1 else None
        _begin(turn, Stream(boot=boot, handled=first - 1, head=head, announced=last))
        return
    turn.become(streams={**turn.instance.streams, boot: stream.announce(last)})
    if last <= stream.handled:
        turn.become(to_ack=turn.instance.to_ack | {boot})


def _look_back(turn: Turn, standing: Standing) -> None:
    """Pass over what stands before a backlog, once all of it has come and no `truncated` explains the gap.

    While the journal is doubted, so is what it lacks of a boot before this one that has no backlog any more;
    else that went with a disk.
    """
    streams = turn.instance.streams
    if not all(_has_come(streams[stretch.boot], stretch) for stretch in standing.backlog):
        return
    firsts = {stretch.boot: stretch.first for stretch in reversed(standing.backlog)}
    for boot, first in firsts.items():
        stream = turn.instance.streams[boot]
        if first > stream.handled + 1:
            _gone(turn, stream, first - 1)
    if not turn.around.may_reconcile:
        for boot in [boot for boot in turn.instance.streams if boot not in {*firsts, standing.boot}]:
            while (missing := turn.instance.streams[boot].missing()) is not None:
                _gone(turn, turn.instance.streams[boot], missing[1])


def _has_come(stream: Stream, stretch: Backlog) -> bool:
    return len(stream.held) >= MOST_HELD or stream.missing(((stretch.first, stretch.last),)) is None


def _begin(turn: Turn, stream: Stream) -> None:
    turn.become(streams={**turn.instance.streams, stream.boot: stream})
    turn.then(SaveStream(boot=stream.boot))


def _gone(turn: Turn, stream: Stream, last: int) -> None:
    first = stream.handled + 1
    who = turn.instance.enrolment.id
    reason = f"{who} was told that facts {first} to {last} of boot {stream.boot} are stored, and they are not"
    turn.then(DoubtJournal(epoch=turn.around.epoch, reason=reason))
    turn.emit("facts_missing", boot=stream.boot, first=first, last=last)
    answers.lose(turn, stream.boot, first, last)
    delivery.asked_again(turn)


def reconcile(turn: Turn, event: PresenceHeard) -> None:
    """Have an instance brought to what it shall have: at once if it never converged, else by a rollout.

    One whose Node is in the cluster may serve already, whatever is known of its runs.
    It is done at most once for a bundle: a run that failed waits for an operator, or it would go round for
    ever.
    """
    instance = turn.instance
    desired = instance.desired or turn.around.role_desired
    if desired is None or instance.work() or not turn.around.may_reconcile:
        return
    if instance.observed is None and not instance.ever_ran and instance.node is None:
        turn.then(ConvergeAutomatically(digest=desired, caused_by=event.presence.id))
    elif (instance.observed is None or instance.observed.digest != desired) and instance.tried != desired:
        turn.then(CatchUp(digest=desired))


def disconnected(turn: Turn) -> None:
    """Forget who is there: nothing is heard any more."""
    turn.become(sighting=turn.instance.sighting.disconnected(), asked=None)
    state = PresenceState(turn.instance.sighting.state(turn.at).value)
    turn.become(shown=replace(turn.instance.shown, state=state))
