"""Another machine in an instance's place: what is kept of what was known, and what is not."""

from dataclasses import replace

from broker.ids import Boot, RunId
from broker.messages import Accepted, Observed, Started, Verdict
from orchestrator.domain.effects import DropDelivery
from orchestrator.domain.events import FactHeard, MachineReplaced, RunRequested
from orchestrator.domain.model import Cordon
from orchestrator.domain.views import PresenceState, RunState
from tests.unit.orchestrator.domain.playbook import DIGEST, NOW, Playbook, Wing, number, run


def rejoined(book: Playbook) -> MachineReplaced:
    return MachineReplaced(at=book.at, enrolment=replace(book.instance.enrolment, key="other"))


def test_what_shall_be_is_kept_and_what_was_proved_is_not() -> None:
    """Our cordon may still be on the Node of that name; the rest went with the machine."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(NOW))
    proof = Observed(digest=DIGEST, verdict=Verdict.CONVERGED, run=RunId(number(1)), at=NOW)
    cordon = Cordon(owner="r-1", since=NOW)
    book.instance = replace(
        book.instance, desired=DIGEST, observed=proof, tried=DIGEST, ever_ran=True, cordon=cordon, trouble="x"
    )
    book.handle(rejoined(book))
    known = book.instance
    assert (known.enrolment.key, known.desired, known.cordon) == ("other", DIGEST, cordon)
    assert (known.observed, known.tried, known.ever_ran, known.trouble) == (None, None, False, "")
    assert (known.shown.state, known.boot, known.standing) == (PresenceState.UNKNOWN, None, None)


def test_what_the_old_one_was_asked_has_ended_and_what_was_not_sent_is_the_new_ones() -> None:
    """Nobody waits for an answer that can't come, and nothing is sent to a boot that is no more."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(NOW))
    book.handle(RunRequested(at=NOW, run=run(id=RunId(number(5)), released=True)))
    (delivery,) = book.instance.deliveries.values()
    book.handle(RunRequested(at=NOW, run=run(id=RunId(number(6)), noop=True)))
    effects = book.handle(rejoined(book))
    assert DropDelivery(id=delivery.id) in effects
    assert [(each.id, each.command) for each in book.instance.work()] == [(number(6), None)]
    ended = [effect.run for effect in effects if hasattr(effect, "run")]
    assert [(each.id, each.state) for each in ended] == [(number(5), RunState.INTERRUPTED)]
    assert "another machine has joined" in ended[0].reason


def test_what_stood_behind_a_gap_counts_no_more() -> None:
    """Facts of the old machine that came without those before them say nothing of the new one."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(NOW))
    first = wing.say(Accepted(command=number(7)))
    second = wing.say(Started(command=number(7)))
    book.handle(FactHeard(at=NOW, arrived=second))
    assert book.instance.streams[wing.boot].held
    book.handle(rejoined(book))
    stream = book.instance.streams[wing.boot]
    assert (stream.held, stream.handled, stream.missing()) == ({}, 2, None)
    del first
    born = Wing(boot=Boot("1-ffffffff"))
    book.handle(born.birth(book.at))
    assert book.instance.shown.state is PresenceState.ONLINE
    assert book.instance.asked is None
