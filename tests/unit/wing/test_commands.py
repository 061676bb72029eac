"""What protocol.md says under Commands: what is checked, in which order, and what is remembered."""

from datetime import timedelta

import pytest

from broker.ids import ClusterName, Epoch, InstanceId, Role
from broker.messages import (
    Accepted,
    Ack,
    Cancelled,
    Command,
    Failed,
    Ping,
    Prefetch,
    Rejected,
    RejectReason,
    Replay,
    Report,
    Started,
    Succeeded,
    Target,
)
from tests.unit.wing.wings import (
    BOOT,
    EVERY_WORKER,
    NOW,
    OTHER_BOOT,
    US,
    V1,
    Wing,
    acts,
    aimed,
    bodies,
    cancel,
    command,
    converge,
    facts,
    new_id,
    run_id,
)
from wing.effects import (
    ForgetBan,
    ForgetEntry,
    RecordAck,
    RecordEpoch,
    RunConverge,
    RunPrefetch,
    SendAnswers,
    SendBirth,
    SendFacts,
    SendPong,
    StopWork,
)
from wing.events import Drop, Fetched, GarbageReceived, Ticked, Unable, WorkEnded


def refusal(wing: Wing, received: Command) -> Rejected:
    """Return how `wing` refused the command, and that it did nothing else."""
    (body,) = bodies(wing.receive(received))
    assert isinstance(body, Rejected)
    assert received.id not in wing.machine.state.entries
    return body


def test_an_accepted_converge_is_answered_and_started_at_once() -> None:
    """`accepted` comes first, then `started`, then the work; each fact names the command as its cause."""
    wing, order = Wing(), command(converge())
    effects = wing.receive(order)
    assert bodies(effects) == [Accepted(command=order.id), Started(command=order.id, run=run_id(1))]
    assert {fact.caused_by for fact in facts(effects)} == {order.id}
    assert acts(effects, RunConverge) == [RunConverge(command=order.id, converge=converge())]


def test_a_converge_that_proved_it_succeeds() -> None:
    """The final answer carries what the run proved, and becomes what is observed."""
    wing, order = Wing(), command(converge())
    wing.receive(order)
    (answer,) = wing.complete(order)
    assert isinstance(answer, Succeeded)
    observed = wing.machine.state.observed
    assert observed is not None
    assert (observed.digest, observed.verdict.value) == (V1, "converged")


@pytest.mark.parametrize(
    "target",
    [
        aimed(US, instance=InstanceId("worker-2")),
        aimed(US, role=Role("master")),
        aimed(US, cluster=ClusterName("test")),
        aimed(US, instance=None),
    ],
)
def test_a_change_for_another_target_is_refused(target: Target) -> None:
    """A command for another instance, role or cluster is not run, nor a change that names no instance."""
    assert refusal(Wing(), command(converge(), target=target)).reason is RejectReason.WRONG_TARGET


@pytest.mark.parametrize("body", [converge(noop=True), Prefetch(digest=V1, size=1, url="file:///b")])
def test_what_changes_no_host_may_go_to_a_whole_role(body: Prefetch) -> None:
    """A noop and a prefetch name neither instance nor boot, and are accepted."""
    wing = Wing()
    accepted, *_ = bodies(wing.receive(command(body, target=EVERY_WORKER)))
    assert isinstance(accepted, Accepted)


def test_a_lower_epoch_is_fenced() -> None:
    """After epoch 3 nothing of epoch 2 is accepted, and the refusal carries the refused epoch."""
    wing = Wing()
    assert RecordEpoch(epoch=Epoch(3)) in wing.receive(command(Ping(), epoch=3))
    refused = refusal(wing, command(converge(), epoch=2))
    assert (refused.reason, refused.epoch) == (RejectReason.STALE_EPOCH, 2)


def test_a_refused_command_fences_all_the_same() -> None:
    """An expired command of a higher epoch is a sign of its leader: the epoch is recorded."""
    wing = Wing()
    late = command(converge(), at=NOW - timedelta(hours=1), epoch=7)
    refusal(wing, late)
    assert wing.machine.state.epoch == 7


@pytest.mark.parametrize("boot", [OTHER_BOOT, None])
def test_a_change_for_another_boot_is_refused(boot: object) -> None:
    """A change is meant for one boot: another, or none at all, is answered `other boot`."""
    assert refusal(Wing(), command(converge(), target=aimed(US, boot=boot))).reason is RejectReason.OTHER_BOOT


def test_an_expired_command_is_refused() -> None:
    """Past `not_after` nothing starts."""
    late = command(converge(), at=NOW - timedelta(hours=1))
    assert refusal(Wing(), late).reason is RejectReason.EXPIRED


def test_checks_come_in_the_protocols_order() -> None:
    """With everything wrong at once, the refusals name target, epoch, boot and date, in that order."""
    wing = Wing()
    wing.receive(command(Ping(), epoch=5))
    past = NOW - timedelta(hours=1)
    other = aimed(US, instance=InstanceId("worker-2"), boot=OTHER_BOOT)
    asked = [
        command(converge(), target=other, epoch=1, at=past),
        command(converge(), target=aimed(US, boot=OTHER_BOOT), epoch=1, at=past),
        command(converge(), target=aimed(US, boot=OTHER_BOOT), epoch=5, at=past),
        command(converge(), epoch=5, at=past),
    ]
    assert [refusal(wing, one).reason for one in asked] == [
        RejectReason.WRONG_TARGET,
        RejectReason.STALE_EPOCH,
        RejectReason.OTHER_BOOT,
        RejectReason.EXPIRED,
    ]


def test_a_known_command_repeats_its_answer_and_nothing_else() -> None:
    """The same id again, even expired and of an old epoch by now, runs nothing twice."""
    wing, order = Wing(), command(converge())
    wing.receive(order)
    wing.complete(order)
    wing.receive(command(Ping(), epoch=9))
    wing.pass_(hours=1)
    assert wing.receive(order) == (SendAnswers(command=order.id),)


def test_a_rejection_is_not_remembered() -> None:
    """A command that was refused for its boot is judged afresh when it comes again."""
    wing = Wing()
    order = command(converge(), target=aimed(US, boot=OTHER_BOOT))
    refusal(wing, order)
    assert refusal(wing, order).reason is RejectReason.OTHER_BOOT


def test_a_command_is_remembered_until_acked_and_expired() -> None:
    """Neither the ack nor the date alone forgets a command; both together do."""
    wing, order = Wing(), command(converge())
    wing.receive(order)
    wing.complete(order)
    wing.receive(command(Ack(boot=BOOT, seq=3)))
    assert order.id in wing.machine.state.entries
    wing.pass_(hours=1)
    assert ForgetEntry(command=order.id) in wing.tell(Ticked(at=wing.at))


def test_an_expired_but_unacked_command_stays_remembered() -> None:
    """Its answer may still have to be repeated."""
    wing, order = Wing(), command(converge())
    wing.receive(order)
    wing.complete(order)
    wing.pass_(hours=1)
    assert wing.tell(Ticked(at=wing.at)) == ()


def test_an_ack_prunes_up_to_its_number_and_no_further_than_what_there_is() -> None:
    """Acks are cumulative; one past the newest fact acks what there is, an old one does nothing."""
    wing = Wing()
    wing.receive(command(converge()))
    assert RecordAck(boot=BOOT, seq=1) in wing.receive(command(Ack(boot=BOOT, seq=1)))
    assert RecordAck(boot=BOOT, seq=2) in wing.receive(command(Ack(boot=BOOT, seq=99)))
    assert wing.machine.state.backlog == ()
    assert wing.receive(command(Ack(boot=BOOT, seq=2))) == ()


def test_controls_are_obeyed_and_leave_no_trace() -> None:
    """A ping is ponged, a replay is sent in a bounded window, a report is a birth: no fact, no memory."""
    wing = Wing()
    wing.receive(command(Ping()))
    ping = command(Ping())
    assert wing.receive(ping) == (SendPong(ping=ping.id, received_at=NOW),)
    assert wing.receive(command(Replay(boot=BOOT, first=7, limit=9000))) == (
        SendFacts(boot=BOOT, first=7, limit=500),
    )
    assert wing.receive(command(Report())) == (SendBirth(),)
    assert wing.machine.state.entries == {}


@pytest.mark.parametrize(
    "changes", [{"epoch": 1}, {"target": aimed(US, role=Role("etcd"))}, {"at": NOW - timedelta(days=1)}]
)
def test_a_refused_control_is_only_counted(changes: dict[str, object]) -> None:
    """Controls are never answered: not for a stale epoch, nor for another target, nor too late."""
    wing = Wing()
    wing.receive(command(Ping(), epoch=2))
    asked = {"epoch": 2, **changes}
    assert wing.receive(command(Ping(), **asked)) == ()  # type: ignore[arg-type]
    assert wing.machine.state.counters == {Drop.REFUSED_CONTROL.value: 1}


def test_a_waiting_run_is_cancelled_without_starting() -> None:
    """Cancel answers the run and itself."""
    wing = Wing()
    wing.receive(command(converge(1)))
    waiting, order = command(converge(2)), command(cancel(2))
    wing.receive(waiting)
    answers = bodies(wing.receive(order))
    assert answers[2:] == [
        Cancelled(command=waiting.id, reason=f"cancelled by command {order.id}"),
        Succeeded(command=order.id),
    ]


def test_a_running_run_is_ended_and_then_answered_cancelled() -> None:
    """Cancel asks for the end at once; the run's own answer comes when its last process is gone."""
    from wing.events import Stopped  # noqa: PLC0415

    wing = Wing()
    running, order = command(converge(1)), command(cancel(1))
    wing.receive(running)
    assert StopWork(command=running.id) in wing.receive(order)
    answers = bodies(wing.tell(WorkEnded(at=NOW, command=running.id, end=Stopped())))
    assert answers == [Cancelled(command=running.id, reason=f"cancelled by command {order.id}")]


def test_a_run_that_ended_before_its_cancel_bit_is_answered_as_it_ended() -> None:
    """A cancel that comes too late takes nothing back."""
    wing = Wing()
    running = command(converge(1))
    wing.receive(running)
    wing.receive(command(cancel(1)))
    (answer,) = wing.complete(running)
    assert isinstance(answer, Succeeded)


def test_a_cancel_for_a_run_that_is_over_fails() -> None:
    """There is nothing left to cancel, and the answer says so."""
    wing = Wing()
    running = command(converge(1))
    wing.receive(running)
    wing.complete(running)
    answer = bodies(wing.receive(command(cancel(1))))[-1]
    assert isinstance(answer, Failed)
    assert "already" not in answer.reason
    assert "has been answered" in answer.reason


def test_a_cancel_for_an_unknown_run_is_remembered() -> None:
    """The run is accepted when it comes, answered `cancelled`, and never started."""
    wing = Wing()
    order = command(cancel(5))
    assert isinstance(bodies(wing.receive(order))[-1], Succeeded)
    late = command(converge(5))
    effects = wing.receive(late)
    assert bodies(effects) == [
        Accepted(command=late.id),
        Cancelled(command=late.id, reason=f"cancelled before it came, by command {order.id}"),
    ]
    assert acts(effects, RunConverge) == []


def test_a_ban_is_forgotten_when_no_command_can_be_late_any_more() -> None:
    """A session keeps a command for a day; a ban lasts no longer."""
    wing = Wing()
    wing.receive(command(cancel(5)))
    wing.pass_(hours=25)
    assert ForgetBan(work=run_id(5)) in wing.tell(Ticked(at=wing.at))
    assert wing.machine.state.bans == {}


def test_a_prefetch_is_answered_when_the_bundle_is_there() -> None:
    """Prefetch: accepted, started, work, succeeded; or failed with the reason."""
    wing = Wing()
    body = Prefetch(digest=V1, size=1, url="file:///b")
    first, second = command(body), command(body)
    assert acts(wing.receive(first), RunPrefetch) == [RunPrefetch(command=first.id, prefetch=body)]
    assert bodies(wing.tell(WorkEnded(at=NOW, command=first.id, end=Fetched()))) == [
        Succeeded(command=first.id)
    ]
    wing.receive(second)
    assert bodies(wing.tell(WorkEnded(at=NOW, command=second.id, end=Unable(reason="no such bundle")))) == [
        Failed(command=second.id, reason="no such bundle")
    ]


def test_unsigned_garbage_is_answered_at_most_once_a_second() -> None:
    """Whoever floods a wing with forgeries gets one answer a second; all of them are counted."""
    wing = Wing()
    forged = [
        GarbageReceived(at=wing.at, why=Drop.UNSIGNED, detail="unsigned", id=new_id()) for _ in range(9)
    ]
    told = [body for one in forged for body in bodies(wing.tell(one))]
    assert [body.reason for body in told if isinstance(body, Rejected)] == [RejectReason.BAD_SIGNATURE]
    assert wing.machine.state.counters == {"unsigned": 9}
    wing.pass_(seconds=1)
    later = GarbageReceived(at=wing.at, why=Drop.UNSIGNED, detail="unsigned", id=new_id())
    assert len(bodies(wing.tell(later))) == 1


def test_other_garbage_is_only_counted() -> None:
    """An unknown kind, a malformed or retained message is counted and dropped."""
    wing = Wing()
    for why in (Drop.UNKNOWN_KIND, Drop.MALFORMED, Drop.RETAINED):
        assert wing.tell(GarbageReceived(at=NOW, why=why, detail="", id=new_id())) == ()
    assert wing.machine.state.counters == {"unknown kind": 1, "malformed": 1, "retained command": 1}


def test_replayed_captures_can_not_flood_the_journal() -> None:
    """Signed commands for others, sent again without end, are refused in bounded number and then counted."""
    wing = Wing()
    captured = command(converge(), target=aimed(US, instance=InstanceId("worker-2")))
    told = [body for _ in range(500) for body in bodies(wing.receive(captured))]
    assert len(told) == 100
    assert wing.machine.state.counters == {Drop.TOO_MANY_REJECTIONS.value: 400}
