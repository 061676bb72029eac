"""Facts become knowledge once, in order: what each says of a command, of a run, and of its instance.

Only what stands in an unbroken, signed stream gets here. A final answer is taken once; what repeats or
contradicts it is an event of the tail like any other, and changes nothing.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

import msgspec

from broker.ids import Boot, MessageId
from broker.messages import (
    FACT_KINDS,
    Accepted,
    Ack,
    Cancelled,
    Checked,
    CordonChanged,
    DrainBlocked,
    DrainFinished,
    DrainStarted,
    Fact,
    Failed,
    FinalAnswer,
    Interrupted,
    Observed,
    PodEvicted,
    Rejected,
    Replay,
    RunChunk,
    RunResult,
    RunWaiting,
    Started,
    Succeeded,
    Trouble,
    Truncated,
    Verdict,
)
from orchestrator.domain import delivery, orders
from orchestrator.domain.effects import Count, Emit, HoldFact, KeepChunk, SaveStream
from orchestrator.domain.instance import Asked, Instance, Turn
from orchestrator.domain.model import Event, Run
from orchestrator.domain.stream import EVERY_FACT, Arrived, Stream, Taken
from orchestrator.domain.views import PresenceState, RunState

ACK_PAUSE: Final = timedelta(seconds=1)
ROOM_PAUSE: Final = timedelta(seconds=1)
REPLAY_PATIENCE: Final = timedelta(seconds=10)
_KIND: Final = {body: kind.partition(".")[0] for kind, body in FACT_KINDS.items()}
_STATES: Final = {
    Succeeded: RunState.SUCCEEDED,
    Failed: RunState.FAILED,
    Cancelled: RunState.CANCELLED,
    Interrupted: RunState.INTERRUPTED,
}


def arrived(turn: Turn, fact: Arrived) -> None:
    """Take a fact in: handle what is due, hold what stands behind a gap, and ask for what is missing."""
    boot = fact.fact.boot
    stream = turn.instance.streams.get(boot, Stream(boot=boot))
    is_late = fact.fact.seq <= stream.handled
    stream, taken = stream.take(fact)
    if taken.held:
        turn.then(HoldFact(arrived=fact))
    settle(turn, stream, taken)
    body = fact.fact.body
    if is_late and _is_owed(turn, fact.fact):
        _handle(turn, fact.fact)
    if isinstance(body, Truncated):
        lose(turn, body.boot, body.first, body.last)
    ask(turn)


def _is_owed(turn: Turn, fact: Fact) -> bool:
    """Tell whether a fact from before what was handled is the final answer that a command still waits for.

    It is repeated by a wing that was asked again, after it had gone missing with a journal.
    """
    body = fact.body
    return isinstance(body, FinalAnswer) and body.command in turn.instance.deliveries


def lose(turn: Turn, boot: Boot, first: int, last: int) -> None:
    """Go on without facts that are gone for good."""
    stream = turn.instance.streams.get(boot, Stream(boot=boot))
    settle(turn, *stream.without(first, last))


def settle(turn: Turn, stream: Stream, taken: Taken) -> None:
    """Set a stream of the instance, handle what became due, and owe an ack."""
    turn.become(streams={**turn.instance.streams, stream.boot: stream})
    turn.then(SaveStream(boot=stream.boot))
    for _ in range(taken.broken):
        turn.then(Count(name="chain_broken"))
    for ready in taken.ready:
        _handle(turn, ready.fact)
    if stream.handled:
        turn.become(to_ack=turn.instance.to_ack | {stream.boot})
    acknowledge(turn)


def acknowledge(turn: Turn) -> None:
    """Say how far facts are stored, at most once a second."""
    instance = turn.instance
    if not instance.to_ack or not instance.may_be_sent_to(turn.at):
        return
    if instance.acked_at is not None and turn.at < instance.acked_at + ACK_PAUSE:
        return
    for boot in sorted(instance.to_ack):
        turn.control(Ack(boot=boot, seq=instance.streams[boot].handled))
    turn.become(to_ack=frozenset(), acked_at=turn.at)


def ask(turn: Turn) -> None:
    """Ask for the first facts that are missing, unless that was just done."""
    instance = turn.instance
    asked = instance.asked
    if not instance.may_be_sent_to(turn.at):
        turn.become(asked=None, ask_at=None)
        return
    if asked is not None and turn.at < asked.at + REPLAY_PATIENCE:
        unfilled = instance.streams[asked.boot].missing(((asked.first, asked.last),)) is not None
        if unfilled:
            return
    for boot, stream in instance.streams.items():
        missing = stream.missing(_kept(instance, boot))
        if missing is not None:
            first, last = missing
            room = turn.around.replay_room + (asked.size if asked is not None else 0)
            if last - first + 1 > room:
                turn.become(asked=None, ask_at=turn.at + ROOM_PAUSE)
                return
            turn.control(Replay(boot=boot, first=first, limit=last - first + 1))
            turn.become(asked=Asked(boot=boot, first=first, last=last, at=turn.at), ask_at=None)
            return
    turn.become(asked=None, ask_at=None)


def _kept(instance: Instance, boot: Boot) -> tuple[tuple[int, int], ...]:
    """Return which facts of `boot` the wing may still have: what it listed last, and what it told since.

    What it has not is truncated, or went with its disk: asking for that would hold up what can come.
    """
    standing = instance.standing
    if standing is None or (boot == instance.boot != standing.boot):
        return (EVERY_FACT,)
    listed = tuple((stretch.first, stretch.last) for stretch in standing.backlog if stretch.boot == boot)
    return (*listed, (standing.head_seq + 1, EVERY_FACT[1])) if boot == standing.boot else listed


def deadlines(instance: Instance) -> list[datetime]:
    """Return when an ack or another request for replay is due."""
    due: list[datetime] = []
    if instance.shown.state is not PresenceState.ONLINE or instance.shown.disputed:
        return due
    if instance.to_ack and instance.acked_at is not None:
        due.append(instance.acked_at + ACK_PAUSE)
    if instance.ask_at is not None:
        due.append(instance.ask_at)
    if instance.asked is not None:
        due.append(instance.asked.at + REPLAY_PATIENCE)
    return due


def _handle(turn: Turn, fact: Fact) -> None:
    turn.then(Emit(event=_event(turn.instance, fact)))
    body = fact.body
    match body:
        case Accepted():
            delivery.accepted(turn, body.command, boot=fact.boot)
        case Rejected():
            turn.emit("command_refused", caused_by=fact.id, command=body.command, reason=body.reason.value)
            delivery.rejected(turn, body)
        case Started():
            _started(turn, fact, body)
        case RunWaiting():
            _waiting(turn, body)
        case RunChunk():
            turn.then(KeepChunk(chunk=body))
        case Succeeded() | Failed() | Cancelled() | Interrupted():
            _final(turn, fact, body)
        case CordonChanged() | DrainStarted() | PodEvicted() | DrainBlocked() | DrainFinished() | Checked():
            orders.heard(turn, fact, body)
        case Truncated():
            pass
        case Trouble():
            turn.become(trouble=f"{body.what}: {body.detail}")
        case _:
            assert_never(body)


def _run(turn: Turn, command: MessageId) -> Run | None:
    return next((run for run in turn.instance.runs.values() if run.command == command), None)


def _started(turn: Turn, fact: Fact, body: Started) -> None:
    work = next((each for each in turn.instance.work() if each.command == body.command), None)
    if work is not None:
        turn.put_work(replace(work, state=RunState.RUNNING, accepted=True, started_at=fact.at, reason=""))


def _waiting(turn: Turn, body: RunWaiting) -> None:
    run = _run(turn, body.command)
    if run is not None:
        turn.put_run(replace(run, reason=body.reason))


def _final(turn: Turn, fact: Fact, body: FinalAnswer) -> None:
    run = _run(turn, body.command)
    if body.command in turn.instance.deliveries:
        turn.drop_delivery(body.command)
    if run is None:
        orders.ended(turn, fact, body.command, _STATES[type(body)])
        return
    result = None if isinstance(body, Interrupted) else body.result
    reason = body.reason if not isinstance(body, Succeeded) else (result.reason if result else "")
    ended = replace(
        run,
        state=_STATES[type(body)],
        accepted=True,
        reason=reason,
        result=result,
        started_at=result.started_at if result else run.started_at,
        finished_at=result.finished_at if result else fact.at,
        papers_due=bool(result and result.attachments),
    )
    turn.put_run(ended)
    delivery.tried(turn, ended)
    _prove(turn, fact, ended, result)


def _prove(turn: Turn, fact: Fact, run: Run, result: RunResult | None) -> None:
    if run.noop:
        return
    if run.state is RunState.CANCELLED and not (result and result.exit_codes):
        return  # Puppet never began: it waited for its lock, or for its turn
    if result is not None and result.verdict is not None:
        proof = Observed(
            digest=result.digest,
            verdict=result.verdict,
            run=run.id,
            at=result.finished_at,
            reason=result.reason,
        )
    elif run.state is RunState.INTERRUPTED and run.started_at is not None:
        proof = Observed(
            digest=run.digest,
            verdict=Verdict.FAILED,
            run=run.id,
            at=fact.at,
            reason=f"interrupted: {run.reason}",
        )
    else:
        return
    known = turn.instance.observed
    if known is None or known.at <= proof.at:
        turn.become(observed=proof)


def _event(instance: Instance, fact: Fact) -> Event:
    return Event(
        id=fact.id,
        kind=_KIND[type(fact.body)],
        at=fact.at,
        instance=instance.enrolment.id,
        role=instance.enrolment.role,
        boot=fact.boot,
        seq=fact.seq,
        caused_by=fact.caused_by,
        body=_shown(fact),
    )


def _shown(fact: Fact) -> dict[str, Any]:
    body = fact.body
    if isinstance(body, RunChunk):
        return {
            "run": body.run,
            "name": body.name,
            "index": body.index,
            "count": body.count,
            "size": len(body.content),
        }
    shown: dict[str, Any] = msgspec.to_builtins(body)
    return shown
