"""What protocol.md says under Queue on the wing, and of stopping, crashing and coming back."""

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.ids import Boot
from broker.messages import (
    Accepted,
    Backlog,
    Cancelled,
    Failed,
    Interrupted,
    Ping,
    Rejected,
    RejectReason,
    RunWaiting,
    Started,
    Succeeded,
    Trouble,
    Truncated,
    Verdict,
)
from tests.unit.wing.wings import (
    BOOT,
    NOW,
    OTHER_BOOT,
    V2,
    Wing,
    acts,
    bodies,
    cancel,
    command,
    converge,
    fresh,
    run_id,
)
from wing.effects import (
    DropFacts,
    Leave,
    ReconnectSlowly,
    RunConverge,
    SendHeartbeat,
    StopWork,
)
from wing.entries import Underway, Waiting
from wing.events import (
    ForeignBirthSeen,
    ForeignStopSeen,
    JournalFailed,
    JournalMeasured,
    JournalRecovered,
    Process,
    ProcessStarted,
    RunWaited,
    Stopped,
    StopRequested,
    Ticked,
    WorkEnded,
)
from wing.state import Remembered

PROCESS = Process(pid=4, group=4, start=8, host_boot="a")


def test_a_second_converge_waits_and_runs_after_the_first() -> None:
    """A request that arrives during a run is never lost."""
    wing = Wing()
    first, second = command(converge(1)), command(converge(2))
    wing.receive(first)
    assert bodies(wing.receive(second)) == [Accepted(command=second.id)]
    assert wing.complete(first)[1:] == [Started(command=second.id, run=run_id(2))]


def test_a_newer_converge_replaces_the_one_that_waits() -> None:
    """Only the newest waits; the other is answered at once."""
    wing = Wing()
    wing.receive(command(converge(1)))
    old, new = command(converge(2)), command(converge(3), at=NOW + timedelta(seconds=1))
    wing.receive(old)
    assert bodies(wing.receive(new)) == [
        Accepted(command=new.id),
        Cancelled(command=old.id, reason=f"superseded by run {run_id(3)}"),
    ]


def test_an_older_converge_that_comes_late_does_not_replace_the_newer() -> None:
    """The mesh may reorder: what was asked last is what runs."""
    wing = Wing()
    wing.receive(command(converge(1)))
    new, old = command(converge(3), at=NOW + timedelta(seconds=1)), command(converge(2))
    wing.receive(new)
    assert bodies(wing.receive(old))[1] == Cancelled(command=old.id, reason=f"superseded by run {run_id(3)}")


def test_a_noop_does_not_wait_for_a_converge() -> None:
    """What changes nothing never waits."""
    wing = Wing()
    wing.receive(command(converge(1)))
    noop = command(converge(2, noop=True))
    assert acts(wing.receive(noop), RunConverge) == [
        RunConverge(command=noop.id, converge=converge(2, noop=True))
    ]


@pytest.mark.parametrize("noop", [False, True])
def test_a_run_that_two_commands_ask_for_is_done_once(*, noop: bool) -> None:
    """Each is answered as it ended: an orchestrator asks anew when a clone has refused the first."""
    wing, asked = Wing(), converge(1, noop=noop)
    first, again = command(asked), command(asked)
    wing.receive(first)
    assert bodies(wing.receive(again)) == [Accepted(command=again.id)]
    answer, same = wing.complete(first)
    assert isinstance(answer, Succeeded)
    assert same == replace(answer, command=again.id)


def test_a_run_that_has_ended_is_not_done_again_for_another_command() -> None:
    """It has one end, which answers whoever asks for it."""
    wing = Wing()
    first, again = command(converge(1)), command(converge(1))
    wing.receive(first)
    (answer,) = wing.complete(first, verdict=Verdict.FAILED, reason="File[/etc/motd] failed")
    assert isinstance(answer, Failed)
    told = [Accepted(command=again.id), replace(answer, command=again.id)]
    effects = wing.receive(again)
    assert (bodies(effects), acts(effects, RunConverge)) == (told, [])


def test_a_crash_ends_a_run_that_two_commands_ask_for() -> None:
    """It has begun once, so it is not begun again for the other one."""
    first, again = command(converge(1)), command(converge(1))
    entries = (Underway(command=first, process=PROCESS), Waiting(command=again))
    wing = Wing(machine=fresh(Remembered(boot=BOOT, entries=entries)))
    ended = bodies(wing.effects)
    assert [body.command for body in ended if isinstance(body, Interrupted)] == [first.id, again.id]
    assert not acts(tuple(wing.effects), RunConverge)


def test_a_cancel_ends_a_run_that_two_commands_ask_for() -> None:
    """What is under way is stopped, not what waits for the same."""
    wing = Wing()
    first, again = command(converge(1)), command(converge(1))
    wing.receive(first)
    wing.receive(again)
    assert acts(wing.receive(command(cancel(1))), StopWork) == [StopWork(command=first.id)]
    ended = bodies(wing.tell(WorkEnded(at=NOW, command=first.id, end=Stopped())))
    assert [type(body) for body in ended] == [Cancelled, Cancelled]


def test_a_noop_never_changes_what_is_observed() -> None:
    """A noop proves nothing about its instance."""
    wing, noop = Wing(), command(converge(2, noop=True))
    wing.receive(noop)
    (answer,) = wing.complete(noop)
    assert isinstance(answer, Succeeded)
    assert wing.machine.state.observed is None


def test_what_waits_is_looked_at_again_when_it_would_start() -> None:
    """A command whose date passed while it waited is answered, not started."""
    wing = Wing()
    first, second = command(converge(1)), command(converge(2))
    wing.receive(first)
    wing.receive(second)
    wing.pass_(hours=1)
    _, expired = wing.complete(first)
    assert isinstance(expired, Failed)
    assert expired.reason.startswith("expired: ")


def test_nothing_of_a_lower_epoch_starts() -> None:
    """What waits when a higher epoch is seen is answered at once."""
    wing = Wing()
    first, second = command(converge(1)), command(converge(2))
    wing.receive(first)
    wing.receive(second)
    (answer,) = bodies(wing.receive(command(Ping(), epoch=2)))
    assert isinstance(answer, Cancelled)
    assert answer.command == second.id
    assert acts(wing.effects, RunConverge) == [RunConverge(command=first.id, converge=converge(1))]


def test_a_run_that_waits_for_puppets_lock_says_for_whom() -> None:
    """Whoever holds the lock is named in a fact."""
    wing, order = Wing(), command(converge())
    wing.receive(order)
    told = bodies(wing.tell(RunWaited(at=NOW, command=order.id, reason="puppet agent (pid 12)")))
    assert told == [RunWaiting(command=order.id, run=run_id(1), reason="puppet agent (pid 12)")]


def test_after_a_crash_what_had_begun_is_interrupted_and_what_waited_runs() -> None:
    """A started run is answered `interrupted` with what was ended; a waiting one is started."""
    begun, waiting = command(converge(1)), command(converge(2))
    entries = (Underway(command=begun, process=PROCESS), Waiting(command=waiting))
    wing = Wing(machine=fresh(Remembered(boot=BOOT, entries=entries)))
    interrupted, started = bodies(wing.effects)
    assert isinstance(interrupted, Interrupted)
    assert started == Started(command=waiting.id, run=run_id(2))
    observed = wing.machine.state.observed
    assert observed is not None
    assert observed.verdict is Verdict.FAILED


def test_a_crash_before_puppet_began_leaves_what_was_observed() -> None:
    """Without a process nothing was touched, so the last proof still stands."""
    entries = (Underway(command=command(converge(1))),)
    wing = Wing(machine=fresh(Remembered(boot=BOOT, entries=entries)))
    assert wing.machine.state.observed is None


def test_stopping_ends_the_run_in_order() -> None:
    """The run is asked to end, answered `interrupted`, and only then the wing leaves; what waits stays."""
    wing = Wing()
    running, waiting = command(converge(1)), command(converge(2))
    wing.receive(running)
    wing.receive(waiting)
    wing.tell(ProcessStarted(at=NOW, command=running.id, process=PROCESS))
    assert wing.tell(StopRequested(at=NOW)) == (StopWork(command=running.id),)
    refused = bodies(wing.receive(command(converge(3))))[0]
    assert isinstance(refused, Rejected)
    assert refused.reason is RejectReason.STOPPING
    effects = wing.tell(WorkEnded(at=NOW, command=running.id, end=Stopped()))
    assert [type(body) for body in bodies(effects)] == [Interrupted]
    assert effects[-1] == Leave()
    assert [entry.id for entry in wing.machine.state.waiting] == [waiting.id]


def test_an_idle_wing_leaves_at_once() -> None:
    """Nothing has to end first."""
    assert Wing().tell(StopRequested(at=NOW)) == (Leave(),)


def test_a_second_host_with_this_identity_stops_all_work() -> None:
    """The wing says so, reconnects slowly, refuses to run, and goes on when the other has been silent."""
    wing = Wing()
    foreign = ForeignBirthSeen(at=NOW, boot=Boot("9-deadbeef"))
    effects = wing.tell(foreign)
    (trouble,) = bodies(effects)
    assert isinstance(trouble, Trouble)
    assert ReconnectSlowly(slowly=True) in effects
    assert wing.tell(foreign) == ()
    (refused,) = bodies(wing.receive(command(converge())))
    assert isinstance(refused, Rejected)
    assert refused.reason is RejectReason.IDENTITY_CONFLICT
    wing.pass_(minutes=16)
    assert ReconnectSlowly(slowly=False) in wing.tell(Ticked(at=wing.at))
    assert isinstance(bodies(wing.receive(command(converge(), at=wing.at)))[0], Accepted)


def test_a_second_host_that_was_stopped_in_order_is_no_rival_any_more() -> None:
    """Its `offline` ends the conflict at once; a third boot's, or a former one's of ours, does not."""
    wing = Wing()
    wing.tell(ForeignBirthSeen(at=NOW, boot=OTHER_BOOT))
    assert wing.tell(ForeignStopSeen(at=NOW, boot=Boot("1-0000cccc"))) == ()
    assert wing.machine.state.conflicted
    assert ReconnectSlowly(slowly=False) in wing.tell(ForeignStopSeen(at=NOW, boot=OTHER_BOOT))
    assert isinstance(bodies(wing.receive(command(converge())))[0], Accepted)


def test_truncated_facts_are_named() -> None:
    """What has to go from a journal is dropped and told in one transaction."""
    wing = Wing()
    for number in range(3):
        wing.receive(command(converge(number)))
    span = Backlog(boot=BOOT, first=2, last=3)
    effects = wing.tell(JournalMeasured(at=NOW, surplus=(span,)))
    assert effects[0] == DropFacts(span=span)
    assert bodies(effects) == [Truncated(boot=BOOT, first=2, last=3)]
    stretches = [(stretch.first, stretch.last) for stretch in wing.machine.state.backlog]
    assert stretches == [(1, 1), (4, wing.machine.state.log.seq)]


def test_a_full_journal_refuses_and_says_so_once() -> None:
    """Commands are rejected until there is room again."""
    wing = Wing()
    assert [type(body) for body in bodies(wing.tell(JournalMeasured(at=NOW, full=True)))] == [Trouble]
    assert bodies(wing.tell(JournalMeasured(at=NOW, full=True))) == []
    (refused,) = bodies(wing.receive(command(converge())))
    assert isinstance(refused, Rejected)
    assert refused.reason is RejectReason.JOURNAL_FULL
    wing.tell(JournalMeasured(at=NOW))
    assert isinstance(bodies(wing.receive(command(converge())))[0], Accepted)


def test_an_unwritable_journal_is_told_by_heartbeat_and_by_a_fact_when_it_can_be() -> None:
    """What can't be recorded has no number: a counter says it until a fact can."""
    wing = Wing()
    effects = wing.tell(JournalFailed(at=NOW, reason="disk full"))
    assert bodies(effects) == []
    assert SendHeartbeat() in effects
    assert wing.machine.state.counters == {"not recorded": 1}
    (trouble,) = bodies(wing.tell(JournalRecovered(at=NOW)))
    assert trouble == Trouble(what="journal could not be written", detail="disk full")


def test_a_stopped_run_of_a_cancelled_command_is_cancelled() -> None:
    """A cancel that came before the wing was stopped is what the run is answered with."""
    wing, running = Wing(), command(converge(1))
    wing.receive(running)
    order = command(cancel(1))
    wing.receive(order)
    wing.tell(StopRequested(at=NOW))
    (answer,) = bodies(wing.tell(WorkEnded(at=NOW, command=running.id, end=Stopped())))
    assert isinstance(answer, Cancelled)


def test_heartbeats_name_what_runs_and_what_is_not_acked() -> None:
    """A standing is what the orchestrator compares its own knowledge with."""
    wing = Wing()
    wing.receive(command(converge(1, digest=V2)))
    standing = replace(wing.machine.state, connection=1).standing()
    assert standing.running == run_id(1)
    assert standing.backlog == (Backlog(boot=BOOT, first=1, last=2),)
    assert (standing.head_seq, standing.head) == (2, wing.machine.state.log.head)
