"""Commands are sent until answered, to the silent wing only, and nothing is run twice for it."""

from dataclasses import replace
from datetime import timedelta

from broker.ids import Epoch
from broker.messages import (
    Accepted,
    Cancel,
    Cancelled,
    Converge,
    Interrupted,
    Pong,
    Rejected,
    RejectReason,
    Started,
    Succeeded,
    Verdict,
)
from broker.presence import Sighting
from orchestrator.domain.effects import SaveRun
from orchestrator.domain.events import BrokerFound, BrokerLost, CancelRequested, PongHeard
from orchestrator.domain.instance import Shown
from orchestrator.domain.views import RunState
from tests.unit.orchestrator.domain.playbook import (
    NEXT_BOOT,
    NOW,
    Playbook,
    Wing,
    commands,
    result,
    run,
    sent,
    told,
)


def test_a_silent_wing_is_sent_the_same_command_again_with_growing_pauses() -> None:
    """Until it answers, the same id goes out after 2 s, then after 4 s more."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    assert sent(book.after(1.9).wake(), Converge) == []
    assert sent(book.after(0.1).wake(), Converge) == [command]
    assert sent(book.after(3.9).wake(), Converge) == []
    assert sent(book.after(0.1).wake(), Converge) == [command]


def test_an_answered_command_is_left_in_peace() -> None:
    """Once accepted, nothing is sent again."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    book.hear(wing.say(Accepted(command=command)))
    assert sent(book.after(60).wake(), Converge) == []


def test_a_command_names_the_boot_that_it_is_for() -> None:
    """What changes a host is bound to the boot that was heard."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(book.at))
    (command,) = commands(book.request(run()))
    assert command.target.boot == wing.boot
    assert command.not_after == run().not_after


def test_a_run_for_an_absent_instance_waits_and_says_so_and_goes_out_at_the_birth() -> None:
    """Nothing is sent to an instance that is not there; its birth sends what waits."""
    book, wing = Playbook(), Wing()
    assert sent(book.request(run()), Converge) == []
    assert book.instance.runs[run().id].reason == "not heard of"
    assert len(sent(book.handle(wing.birth(book.at)), Converge)) == 1


def test_a_run_that_was_never_sent_fails_when_it_expires() -> None:
    """At `not_after` the run is answered by ourselves: never reached, and since when."""
    book = Playbook()
    book.request(run())
    book.after(timedelta(hours=1).total_seconds())
    effects = book.wake()
    (saved,) = [effect.run for effect in effects if isinstance(effect, SaveRun)]
    assert (saved.state, saved.reason) == (RunState.FAILED, "never reached: not heard of")


def test_rejected_for_another_boot_before_it_was_accepted_is_sent_afresh() -> None:
    """A restarted wing gets a new command for the same run, bound to its new boot."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    reborn = Wing(boot=NEXT_BOOT)
    assert sent(book.after(5).handle(reborn.birth(book.at)), Converge) == [command]
    no = Rejected(command=command, reason=RejectReason.OTHER_BOOT, detail="", epoch=book.around.epoch)
    (again,) = commands(book.hear(reborn.say(no)))[:1]
    assert isinstance(again.body, Converge)
    assert again.id != command
    assert (again.body.run, again.target.boot) == (run().id, NEXT_BOOT)


def test_an_accepted_run_that_its_wing_does_not_know_any_more_was_interrupted() -> None:
    """A wing that lost its journal can't say what it did: the run ends, and is not run again."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    book.hear(wing.say(Accepted(command=command)))
    reborn = Wing(boot=NEXT_BOOT)
    assert sent(book.after(5).handle(reborn.birth(book.at)), Converge) == [command]
    no = Rejected(command=command, reason=RejectReason.OTHER_BOOT, detail="", epoch=book.around.epoch)
    effects = book.hear(reborn.say(no))
    assert sent(effects, Converge) == []
    (saved,) = [effect.run for effect in effects if isinstance(effect, SaveRun)]
    assert saved.state is RunState.INTERRUPTED
    assert "without its journal" in saved.reason


def test_another_boot_that_shows_by_a_pong_alone_is_asked_too() -> None:
    """Its birth may come later, or be the second sign of it: what has no answer is asked for at the first."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    book.hear(wing.say(Accepted(command=command)))
    later = book.after(60).at
    pong = Pong(boot=NEXT_BOOT, received_at=later)
    effects = book.handle(PongHeard(at=later, said=later, pong=pong, sent_at=later - timedelta(seconds=1)))
    assert sent(effects, Converge) == [command]


def test_the_promise_of_a_boot_that_is_gone_binds_nobody() -> None:
    """Its word may come after the next boot's birth, which then is asked until it answers itself."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    late = wing.say(Accepted(command=command))
    reborn = Wing(boot=NEXT_BOOT)
    assert sent(book.after(5).handle(reborn.birth(book.at)), Converge) == [command]
    book.hear(late)
    assert sent(book.after(60).wake(), Converge) == [command]
    book.hear(reborn.say(Accepted(command=command)))
    assert sent(book.after(60).wake(), Converge) == []


def test_an_answer_that_went_missing_with_a_journal_is_asked_for_again() -> None:
    """Its wing repeats what it had answered, which counts though later facts have been handled."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    book.hear(wing.say(Accepted(command=command)))
    answer = wing.say(Succeeded(command=command, result=result(run())))
    effects = book.after(60).handle(wing.heartbeat(book.at))
    assert "facts_missing" in told(effects)
    assert sent(effects, Converge) == [command]
    (saved,) = [effect.run for effect in book.hear(answer) if isinstance(effect, SaveRun)]
    assert saved.state is RunState.SUCCEEDED
    assert not any(isinstance(effect, SaveRun) for effect in book.hear(answer))


def test_a_no_to_another_leaders_command_means_nothing() -> None:
    """A stale epoch that is not ours was refused to someone else: ours is still sent."""
    book, wing = Playbook(epoch=7), Wing()
    command = book.converging(wing, run())
    no = Rejected(command=command, reason=RejectReason.STALE_EPOCH, detail="", epoch=Epoch(6))
    book.hear(wing.say(no))
    assert sent(book.after(2).wake(), Converge) == [command]


def test_a_bad_signature_keeps_the_command_going() -> None:
    """What was altered on its way is sent again, and the reason is shown meanwhile."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    no = Rejected(command=command, reason=RejectReason.BAD_SIGNATURE, detail="x", epoch=Epoch(0))
    book.hear(wing.say(no))
    assert "bad signature" in book.instance.runs[run().id].reason
    assert sent(book.after(2).wake(), Converge) == [command]


def test_expired_is_an_end() -> None:
    """A wing that got it too late says so, and the run fails."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    no = Rejected(command=command, reason=RejectReason.EXPIRED, detail="", epoch=book.around.epoch)
    book.hear(wing.say(no))
    assert book.instance.runs == {}
    assert book.instance.deliveries == {}


def test_a_run_has_exactly_one_final_answer() -> None:
    """A second final answer changes nothing but the tail."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    book.hear(wing.say(Accepted(command=command)))
    book.hear(wing.say(Started(command=command, run=run().id)))
    first = book.hear(wing.say(Succeeded(command=command, result=result(run()))))
    second = book.hear(wing.say(Interrupted(command=command, reason="later")))
    assert [effect.run.state for effect in first if isinstance(effect, SaveRun)] == [RunState.SUCCEEDED]
    assert [effect for effect in second if isinstance(effect, SaveRun)] == []
    assert told(second) == ["interrupted"]
    assert book.instance.observed is not None
    assert book.instance.observed.verdict is Verdict.CONVERGED


def test_a_noop_never_changes_what_was_proven() -> None:
    """A dry run that succeeds says nothing about its instance."""
    book, wing = Playbook(), Wing()
    dry = run(noop=True)
    command = book.converging(wing, dry)
    book.hear(wing.say(Succeeded(command=command, result=result(dry, verdict=None))))
    assert book.instance.observed is None
    assert not book.instance.ever_ran


def test_a_started_run_that_was_interrupted_leaves_the_instance_unproven() -> None:
    """Whatever it was before, after a cut-off run an instance is shown as failed: interrupted."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    book.hear(wing.say(Started(command=command, run=run().id)))
    book.hear(wing.say(Interrupted(command=command, reason="killed")))
    assert book.instance.observed is not None
    assert book.instance.observed.verdict is Verdict.FAILED
    assert book.instance.observed.reason == "interrupted: killed"


def test_a_run_cancelled_before_puppet_began_proves_nothing() -> None:
    """A run that was called off while it waited for Puppet's lock leaves the instance as it was."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    untouched = replace(result(run(), Verdict.FAILED), exit_codes=())
    book.hear(wing.say(Cancelled(command=command, reason="called off", result=untouched)))
    assert book.instance.runs == {}
    assert book.instance.observed is None


def test_the_wings_own_word_on_what_it_proved_counts() -> None:
    """Whether an interrupted run had touched the host only its wing knows: a heartbeat corrects us."""
    book, wing = Playbook(), Wing()
    first, second = run(1), run(2)
    before = replace(result(first), finished_at=NOW - timedelta(minutes=1))
    book.hear(wing.say(Succeeded(command=book.converging(wing, first), result=before)))
    proven = book.instance.observed
    command = sent(book.after(60).request(second), Converge)[0]
    book.hear(wing.say(Started(command=command, run=second.id)))
    wing.observed = proven
    overtaken = wing.heartbeat(book.at)
    book.hear(wing.say(Interrupted(command=command, reason="killed")))
    book.handle(overtaken)
    assert book.instance.observed != proven
    book.after(60).handle(wing.heartbeat(book.at))
    assert book.instance.observed == proven


def test_cancelling_what_was_not_sent_needs_no_wing() -> None:
    """A queued run is ended here and now."""
    book = Playbook()
    book.request(run())
    book.handle(CancelRequested(at=book.at, work=run().id, by="bob"))
    assert book.instance.runs == {}


def test_cancelling_what_was_sent_asks_its_wing_until_it_answers() -> None:
    """A cancel is a command like any other; the run ends by its wing's word."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    (cancel,) = sent(book.handle(CancelRequested(at=book.at, work=run().id, by="bob")), Cancel)
    assert cancel in sent(book.after(2).wake(), Cancel)
    book.hear(wing.say(Succeeded(command=cancel)))
    book.hear(wing.say(Cancelled(command=command, reason="bob")))
    assert book.instance.runs == {}
    assert book.instance.deliveries == {}


def test_after_the_broker_came_back_what_is_unanswered_is_due() -> None:
    """A broker may have forgotten everything: once the wing is heard again it is sent at once."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    book.handle(BrokerLost(at=book.at))
    assert sent(book.after(30).wake(), Converge) == []
    book.handle(BrokerFound(at=book.at))
    assert sent(book.handle(wing.birth(book.at)), Converge) == [command]


def test_neither_of_two_hosts_with_one_identity_is_sent_anything() -> None:
    """When two boots take turns, commands wait, and the reason names it."""
    book, wing, clone = Playbook(), Wing(), Wing(boot=NEXT_BOOT)
    book.handle(wing.birth(book.at))
    book.after(5).handle(clone.birth(book.at))
    effects = book.after(5).handle(wing.heartbeat(book.at))
    assert "identity_conflict" in told(effects)
    assert sent(book.request(run()), Converge) == []
    assert "two hosts" in book.instance.runs[run().id].reason


def test_a_run_can_be_cancelled_before_its_instance_was_heard_again() -> None:
    """After our own restart the boot is not known: the cancel is for the one that the run was sent to."""
    book, wing = Playbook(), Wing()
    command = book.converging(wing, run())
    book.instance = replace(book.instance, sighting=Sighting(), shown=Shown())
    book.handle(CancelRequested(at=book.at, work=run().id, by="ann"))
    (cancel,) = [item for key, item in book.instance.deliveries.items() if key != command]
    assert (cancel.body, cancel.boot) == (Cancel(run=run().id), wing.boot)
    assert len(sent(book.after(5).handle(wing.birth(book.at)), Cancel)) == 1


def test_a_cancel_that_came_in_another_boot_is_given_again() -> None:
    """A wing that restarted meanwhile knows the run and not the cancel, so it gets one for its new boot."""
    book, wing, reborn = Playbook(), Wing(), Wing(boot=NEXT_BOOT)
    command = book.converging(wing, run())
    book.hear(wing.say(Accepted(command=command)))
    (cancel,) = sent(book.handle(CancelRequested(at=book.at, work=run().id, by="ann")), Cancel)
    book.after(5).handle(reborn.birth(book.at))
    no = Rejected(command=cancel, reason=RejectReason.OTHER_BOOT, detail="", epoch=book.around.epoch)
    (again,) = [item for item in commands(book.hear(reborn.say(no))) if isinstance(item.body, Cancel)]
    assert again.id != cancel
    assert (again.body, again.target.boot) == (Cancel(run=run().id), NEXT_BOOT)


def test_a_cancelled_run_that_its_new_boot_never_got_is_not_sent_again() -> None:
    """A run that is decided afresh while its instance is away ends with its cancel, and never starts."""
    book, wing, reborn = Playbook(), Wing(), Wing(boot=NEXT_BOOT)
    command = book.converging(wing, run())
    (cancel,) = sent(book.handle(CancelRequested(at=book.at, work=run().id, by="ann")), Cancel)
    book.after(5).handle(reborn.birth(book.at))
    book.after(200).wake()
    for refused in (command, cancel):
        no = Rejected(command=refused, reason=RejectReason.OTHER_BOOT, detail="", epoch=book.around.epoch)
        assert commands(book.hear(reborn.say(no))) == []
    assert book.instance.runs == {}
    assert book.instance.deliveries == {}
