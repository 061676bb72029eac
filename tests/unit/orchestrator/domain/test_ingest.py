"""Facts count exactly once and in order, whatever the broker does to them."""

from dataclasses import replace
from datetime import timedelta

from broker.ids import Epoch
from broker.messages import Ack, Backlog, Birth, Replay, Trouble, Truncated
from orchestrator.domain.effects import Count, DoubtJournal, Effect, HoldFact
from orchestrator.domain.machine import next_wake
from tests.unit.orchestrator.domain.playbook import BOOT, NEXT_BOOT, Playbook, Wing, commands, told


def trouble(text: str) -> Trouble:
    return Trouble(what="test", detail=text)


def controls(effects: tuple[Effect, ...], kind: type[Ack | Replay]) -> list[object]:
    return [item.body for item in commands(effects) if isinstance(item.body, kind)]


def test_a_fact_that_comes_twice_counts_once() -> None:
    """The second delivery of a fact is silent."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(book.at))
    fact = wing.say(trouble("a"))
    assert told(book.hear(fact)) == ["trouble"]
    assert told(book.hear(fact)) == []


def test_what_stands_behind_a_gap_is_held_and_handled_when_it_is_closed() -> None:
    """A fact behind a gap is stored, the gap is asked for, and the order of the tail is the wing's."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(book.at))
    one, two, three = (wing.say(trouble(text)) for text in "abc")
    book.hear(one)
    effects = book.hear(three)
    assert told(effects) == []
    assert any(isinstance(effect, HoldFact) for effect in effects)
    assert controls(effects, Replay) == [Replay(boot=BOOT, first=2, limit=1)]
    effects = book.hear(two)
    assert told(effects) == ["trouble", "trouble"]
    assert book.instance.streams[BOOT].handled == 3
    assert book.instance.streams[BOOT].held == {}


def test_a_gap_is_asked_for_again_only_after_a_while() -> None:
    """One request is under way at a time; if it stays unanswered it is repeated after ten seconds."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(book.at))
    wing.say(trouble("lost"))
    assert len(controls(book.hear(wing.say(trouble("b"))), Replay)) == 1
    assert controls(book.hear(wing.say(trouble("c"))), Replay) == []
    assert len(controls(book.after(10).wake(), Replay)) == 1


def test_a_backlog_is_replayed_in_windows() -> None:
    """After an absence of ours a birth tells what we lack; at most 500 facts are asked for at once."""
    book, wing = Playbook(), Wing()
    for _ in range(3):
        wing.say(trouble("x"))
    effects = book.handle(wing.birth(book.at, (1, 1200)))
    assert controls(effects, Replay) == [Replay(boot=BOOT, first=1, limit=500)]


def test_replays_wait_for_room_among_all_wings() -> None:
    """When too many facts are on their way already, a wing is asked a little later."""
    book, wing = Playbook(), Wing()
    wing.say(trouble("x"))
    book.around = replace(book.around, replay_room=0)
    assert controls(book.handle(wing.birth(book.at, (1, 1))), Replay) == []
    book.around = replace(book.around, replay_room=10)
    assert next_wake(book.instance) == book.at + timedelta(seconds=1)
    assert len(controls(book.after(1).wake(), Replay)) == 1


def test_acks_are_cumulative_and_at_most_one_a_second() -> None:
    """The first fact is acknowledged at once, what follows within the second together."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(book.at))
    facts = [wing.say(trouble(str(index))) for index in range(4)]
    acks = [controls(book.hear(fact), Ack) for fact in facts]
    assert acks == [[Ack(boot=BOOT, seq=1)], [], [], []]
    assert controls(book.after(1).wake(), Ack) == [Ack(boot=BOOT, seq=4)]
    assert controls(book.after(1).wake(), Ack) == []


def test_a_lost_ack_is_repeated_at_the_next_heartbeat() -> None:
    """A backlog of facts that we have is answered with another ack."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(book.at))
    book.hear(wing.say(trouble("a")))
    effects = book.after(60).handle(wing.heartbeat(book.at, (1, 1)))
    assert controls(effects, Ack) == [Ack(boot=BOOT, seq=1)]


def test_what_is_known_as_truncated_is_not_waited_for() -> None:
    """A fact `truncated` closes the gap that it names, even from behind it."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(book.at))
    book.hear(wing.say(trouble("a")))
    for _ in range(3):
        wing.say(trouble("gone"))
    effects = book.hear(wing.say(Truncated(boot=BOOT, first=2, last=4)))
    assert told(effects) == ["truncated"]
    assert book.instance.streams[BOOT].handled == 5


def test_facts_that_went_with_a_disk_hold_nothing_up() -> None:
    """What a reinstalled wing does not have any more is not asked for, what it has now is."""
    book, wing, reborn = Playbook(), Wing(), Wing(boot=NEXT_BOOT)
    book.handle(wing.birth(book.at))
    wing.say(trouble("went with the disk"))
    book.hear(wing.say(trouble("b")))
    assert book.instance.streams[BOOT].missing() == (1, 1)
    reborn.say(trouble("not come yet"))
    effects = book.after(20).handle(reborn.birth(book.at, (1, 1)))
    assert controls(effects, Replay) == [Replay(boot=NEXT_BOOT, first=1, limit=1)]
    book.hear(Wing(boot=NEXT_BOOT).say(trouble("not come yet")))
    assert controls(book.after(20).wake(), Replay) == []


def test_an_earlier_boots_facts_are_asked_for_while_the_wing_has_them() -> None:
    """A restart loses nothing: what its birth still lists of the boot before is replayed."""
    book, wing, reborn = Playbook(), Wing(), Wing(boot=NEXT_BOOT)
    book.handle(wing.birth(book.at))
    wing.say(trouble("lost on its way"))
    book.hear(wing.say(trouble("b")))
    kept = (Backlog(boot=BOOT, first=1, last=2),)
    born = reborn.birth(book.after(20).at)
    assert isinstance(born.presence.body, Birth)
    body = replace(born.presence.body, standing=replace(born.presence.body.standing, backlog=kept))
    effects = book.handle(replace(born, presence=replace(born.presence, body=body)))
    assert controls(effects, Replay) == [Replay(boot=BOOT, first=1, limit=1)]


def test_what_was_truncated_hides_nothing_that_can_come() -> None:
    """Behind facts that the wing dropped the next stretch is asked for, and with it what explains them."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(book.at))
    book.hear(wing.say(trouble("a")))
    for _ in range(3):
        wing.say(trouble("gone"))
    held, explaining = wing.say(trouble("b")), wing.say(Truncated(boot=BOOT, first=2, last=4))
    book.hear(held)
    effects = book.after(60).handle(wing.heartbeat(book.at, (5, 6)))
    assert not any(isinstance(effect, DoubtJournal) for effect in effects)
    assert controls(effects, Replay) == [Replay(boot=BOOT, first=6, limit=1)]
    assert told(book.hear(explaining)) == ["trouble", "truncated"]


def test_a_gap_that_nothing_explains_doubts_the_journal_once_all_has_come() -> None:
    """When every fact that the wing has is here, what is missing before them will never come."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(book.at))
    book.hear(wing.say(trouble("a")))
    wing.say(trouble("acked by an older journal"))
    held, last = wing.say(trouble("b")), wing.say(trouble("c"))
    book.hear(held)
    effects = book.after(60).handle(wing.heartbeat(book.at, (3, 4)))
    assert "facts_missing" not in told(effects)
    book.hear(last)
    effects = book.after(60).handle(wing.heartbeat(book.at, (3, 4)))
    assert any(isinstance(effect, DoubtJournal) for effect in effects)
    assert told(effects) == ["facts_missing", "trouble", "trouble"]


def test_a_broken_chain_is_counted() -> None:
    """A fact whose `prev` is not the hash of the one before shows that history was rewritten."""
    book, wing, forked = Playbook(), Wing(), Wing()
    book.handle(wing.birth(book.at))
    book.hear(wing.say(trouble("a")))
    forked.say(trouble("another"))
    effects = book.hear(forked.say(trouble("b")))
    assert Count(name="chain_broken") in effects


def test_a_higher_epoch_on_a_wing_doubts_the_journal() -> None:
    """A wing that has seen an epoch above ours has obeyed a leader that our journal forgot."""
    book, wing = Playbook(epoch=3), Wing(epoch=9)
    effects = book.handle(wing.birth(book.at))
    (doubt,) = [effect for effect in effects if isinstance(effect, DoubtJournal)]
    assert doubt.epoch == Epoch(9)


def test_an_ack_beyond_ours_doubts_the_journal_and_goes_on() -> None:
    """Facts that were acknowledged and that we lack will never come: say so, and do not wait for them."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(book.at))
    book.hear(wing.say(trouble("a")))
    for _ in range(3):
        wing.say(trouble("acked by an older journal"))
    effects = book.after(60).handle(wing.heartbeat(book.at))
    assert any(isinstance(effect, DoubtJournal) for effect in effects)
    assert "facts_missing" in told(effects)
    assert book.instance.streams[BOOT].handled == 4


def test_silence_turns_into_a_loss_and_is_told() -> None:
    """Past 150 s without a sign of life the instance is lost, without any word of the broker."""
    book, wing = Playbook(), Wing()
    assert "instance_online" in told(book.handle(wing.birth(book.at)))
    assert told(book.after(timedelta(seconds=151).total_seconds()).wake()) == ["instance_lost"]


def test_a_retained_birth_makes_nobody_online() -> None:
    """What the broker kept is not about now."""
    book, wing = Playbook(), Wing()
    assert told(book.handle(wing.birth(book.at, retained=True))) == []
