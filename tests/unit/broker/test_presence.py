"""Who is there, told from what a lossy and reordering broker delivers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ids import Boot, Epoch, MessageId
from broker.messages import (
    CHAIN_START,
    Birth,
    Heartbeat,
    Host,
    Lost,
    Offline,
    Pong,
    Presence,
    PresenceBody,
    Standing,
)
from broker.presence import CONFLICT_MEMORY, Mirror, Sighting, State

START = datetime(2026, 3, 1, tzinfo=UTC)
ID = MessageId("01a205a0-75c6-724d-a0de-719b51947d97")
HOST = Host(hostname="h", addresses=(), os="Debian", kernel="6", puppet="7.23", cores=2, memory=1)
A = Boot("5-aaaaaaaa")
B = Boot("6-bbbbbbbb")
CLONE = Boot("6-cccccccc")


def time(second: float) -> datetime:
    return START + timedelta(seconds=second)


def standing(boot: Boot, connection: int) -> Standing:
    return Standing(boot=boot, connection=connection, epoch=Epoch(1), head_seq=0, head=CHAIN_START)


def message(said: float, body: PresenceBody) -> Presence:
    return Presence(id=ID, at=time(said), body=body)


def birth(said: float, boot: Boot = A, connection: int = 1) -> Presence:
    body = Birth(standing=standing(boot, connection), version="1", host=HOST)
    return message(said, body)


def beat(said: float, boot: Boot = A, connection: int = 1) -> Presence:
    return message(said, Heartbeat(standing=standing(boot, connection)))


def lost(said: float, boot: Boot = A, connection: int = 1) -> Presence:
    return message(said, Lost(boot=boot, connection=connection))


def offline(said: float, boot: Boot = A, connection: int = 1) -> Presence:
    return message(said, Offline(boot=boot, connection=connection))


@dataclass(frozen=True)
class Arrival:
    """A presence message, and the second of its arrival if that is not the one in which it was said."""

    message: Presence
    at: float | None = None
    retained: bool = False


def seen(*arrivals: Presence | Arrival, before: Sighting | None = None) -> Sighting:
    """Return the sighting after all `arrivals`, in order."""
    sighting = before or Sighting()
    for arrival in arrivals:
        match arrival:
            case Presence():
                sighting = sighting.heard(arrival, at=arrival.at)
            case Arrival(message=said, at=at, retained=retained):
                came = said.at if at is None else time(at)
                sighting = sighting.heard(said, at=came, retained=retained)
    return sighting


def ponged(sighting: Sighting, *, asked: float, at: float, boot: Boot = A) -> Sighting:
    pong = Pong(boot=boot, received_at=time(asked))
    return sighting.answered(pong, said=time(at), at=time(at), asked_at=time(asked))


def current_boot(sighting: Sighting) -> Boot:
    assert sighting.current is not None
    return sighting.current.boot


class TestOnline:
    """An instance is online as long as it shows that it lives."""

    def test_nobody_has_been_heard_at_first(self) -> None:
        """Without a word an instance is unknown, and its death or silence means nothing."""
        assert Sighting().state(START) is State.UNKNOWN
        assert not Sighting().is_online(START)
        assert Sighting().disconnected() == Sighting()
        assert Sighting().conflict(START) is None

    @pytest.mark.parametrize("sign", [birth(0), beat(0)])
    def test_a_live_sign_counts_for_150_seconds(self, sign: Presence) -> None:
        """A birth or a heartbeat keeps an instance online for 150 s, to the second."""
        assert seen(sign).is_online(time(150))
        assert seen(sign).state(time(150.001)) is State.LOST
        assert seen(sign, beat(100)).is_online(time(250))

    @pytest.mark.parametrize("sign", [birth(0), beat(0)])
    def test_a_retained_sign_proves_nothing(self, sign: Presence) -> None:
        """What the broker had kept tells which boot it was, but not that it lives."""
        kept = seen(Arrival(sign, at=1, retained=True))
        assert kept.state(time(1)) is State.UNKNOWN
        assert current_boot(kept) == A
        assert seen(Arrival(sign, at=1, retained=True), beat(2)).is_online(time(2))

    def test_a_queued_sign_counts_from_when_it_was_said(self) -> None:
        """A heartbeat that waited 100 s in the broker is good for 50 s more, an older one for nothing."""
        assert seen(Arrival(beat(0), at=100)).is_online(time(150))
        assert not seen(Arrival(beat(0), at=100)).is_online(time(151))
        assert seen(Arrival(beat(0), at=200)).state(time(200)) is State.UNKNOWN

    def test_a_sign_from_the_future_counts_from_when_it_came(self) -> None:
        """A wing whose clock is ahead is not online for longer than others."""
        sighting = seen(Arrival(beat(3600), at=0))
        assert sighting.is_online(time(150))
        assert not sighting.is_online(time(151))

    def test_signs_in_another_order_count_by_the_latest(self) -> None:
        """A heartbeat that overtook another is not undone by it."""
        assert seen(birth(0), beat(60), Arrival(beat(30), at=61)).is_online(time(210))
        assert seen(Arrival(beat(60), at=60), Arrival(birth(0), at=61)).is_online(time(210))


class TestDeath:
    """A death counts against its own boot and connection, and nothing but a later one undoes it."""

    def test_the_brokers_word_ends_it(self) -> None:
        """The will of the current connection makes an instance lost, a clean stop makes it offline."""
        assert seen(birth(0), Arrival(lost(0), at=10)).state(time(10)) is State.LOST
        assert seen(birth(0), offline(10)).state(time(10)) is State.OFFLINE

    def test_a_late_will_of_an_earlier_connection_is_ignored(self) -> None:
        """The will comes 5 s after the connection broke, when the wing may be back already."""
        sighting = seen(birth(0), birth(8, connection=2), Arrival(lost(0, connection=1), at=10))
        assert sighting.is_online(time(10))

    def test_a_late_will_of_an_earlier_boot_is_ignored(self) -> None:
        """A wing that was restarted outlives its former self's will."""
        assert seen(birth(0), birth(8, B), Arrival(lost(0), at=10)).is_online(time(10))
        assert seen(birth(0), birth(8, B), Arrival(offline(7), at=10)).is_online(time(10))
        assert seen(birth(8, B), Arrival(lost(0), at=10)).is_online(time(10))

    def test_a_heartbeat_of_a_dead_connection_does_not_revive_it(self) -> None:
        """What was said before a death and comes after it is late."""
        sighting = seen(birth(0), Arrival(lost(0), at=20), Arrival(beat(19), at=21))
        assert sighting.state(time(21)) is State.LOST

    def test_the_next_connection_revives_it(self) -> None:
        """A birth on a later connection is a new life, in the same boot or in the next."""
        dead = seen(birth(0), Arrival(lost(0), at=20))
        assert seen(birth(30, connection=2), before=dead).is_online(time(30))
        assert seen(birth(30, B), before=dead).is_online(time(30))

    def test_the_death_of_an_unheard_connection_counts(self) -> None:
        """A later connection whose birth was lost ends the first by its death: there is but one at a time."""
        assert seen(birth(0), Arrival(lost(5, connection=2), at=20)).state(time(20)) is State.LOST

    def test_the_death_of_an_unheard_boot_counts(self) -> None:
        """When a restarted wing's birth was lost, its end still is the end, and its boot the current one."""
        sighting = seen(birth(0), offline(20, B))
        assert sighting.state(time(20)) is State.OFFLINE
        assert current_boot(sighting) == B

    def test_a_retained_death_is_known_and_undone_by_any_sign(self) -> None:
        """A newly started reader learns who had stopped, and a pong tells it otherwise at once."""
        stopped = seen(Arrival(offline(0), at=100, retained=True))
        assert stopped.state(time(100)) is State.OFFLINE
        assert ponged(stopped, asked=99, at=101).is_online(time(101))
        assert seen(birth(101, connection=2), before=stopped).is_online(time(101))

    def test_a_death_that_comes_twice_ends_only_one_life(self) -> None:
        """A pong after a death shows a later connection, which a second copy of that death doesn't end."""
        sighting = seen(birth(0), Arrival(lost(0), at=20))
        sighting = ponged(sighting, asked=30, at=31)
        assert seen(Arrival(lost(0), at=32), before=sighting).is_online(time(32))


class TestPong:
    """A pong is a sign of life, from the moment when its ping was sent."""

    def test_it_counts_from_the_ping(self) -> None:
        """The wing lived some time after the ping was sent, so that is what is known."""
        sighting = ponged(Sighting(), asked=10, at=20)
        assert sighting.is_online(time(160))
        assert not sighting.is_online(time(161))

    def test_it_counts_whatever_the_wings_clock_says(self) -> None:
        """A wing whose clock is hours behind is heard by its pongs, though its heartbeats seem old."""
        assert not seen(Arrival(beat(-7200), at=0)).is_online(START)
        pong = Pong(boot=A, received_at=time(-7200))
        sighting = Sighting().answered(pong, said=time(-7200), at=time(1), asked_at=START)
        assert sighting.is_online(time(1))

    def test_it_revives_only_after_the_death(self) -> None:
        """A pong to a ping from before the death may have been sent before it, too."""
        dead = seen(birth(0), Arrival(lost(0), at=20))
        assert ponged(dead, asked=19, at=21).state(time(21)) is State.LOST
        assert ponged(dead, asked=21, at=22).is_online(time(22))


class TestReconnection:
    """A reader that was away knows nothing until it hears."""

    def test_everyone_is_unknown_until_heard(self) -> None:
        """After a reconnection neither old signs, nor retained ones, nor old deaths say how it is now."""
        for before in (seen(birth(0)), seen(birth(0), offline(1)), seen(birth(0), Arrival(lost(0), at=1))):
            away = before.disconnected()
            assert away.state(time(2)) is State.UNKNOWN
            assert seen(Arrival(birth(0), at=2, retained=True), before=away).state(time(2)) is State.UNKNOWN

    def test_whoever_is_heard_is_back(self) -> None:
        """A live sign or a pong ends it."""
        away = seen(birth(0)).disconnected()
        assert seen(beat(60), before=away).is_online(time(60))
        assert ponged(away, asked=60, at=61).is_online(time(61))
        assert ponged(seen(birth(0), offline(9)).disconnected(), asked=60, at=61).is_online(time(61))

    def test_a_queued_sign_of_a_connection_that_is_dead_is_no_life(self) -> None:
        """The broker's queue may hold a heartbeat from before a death that was already heard."""
        away = seen(birth(0), offline(30)).disconnected()
        assert not seen(Arrival(beat(29), at=60), before=away).is_online(time(60))

    def test_an_old_sign_from_the_queue_is_no_life(self) -> None:
        """What was said longer ago than 150 s leaves the instance unknown."""
        away = seen(birth(0)).disconnected()
        assert seen(Arrival(beat(10), at=500), before=away).state(time(500)) is State.UNKNOWN

    def test_a_restart_in_the_meantime_is_learnt_from_what_is_retained(self) -> None:
        """The retained birth of a new boot names it, so that its life is proven by the next sign only."""
        away = seen(birth(0)).disconnected()
        kept = seen(Arrival(birth(50, B), at=100, retained=True), before=away)
        assert current_boot(kept) == B
        assert kept.state(time(100)) is State.UNKNOWN
        assert seen(beat(110, B), before=kept).is_online(time(110))

    def test_a_death_in_the_meantime_is_learnt_from_what_is_retained(self) -> None:
        """The retained word on the current connection counts, on an earlier one it doesn't."""
        away = seen(birth(0, connection=3)).disconnected()
        gone = seen(Arrival(lost(0, connection=3), at=9, retained=True), before=away)
        assert gone.state(time(9)) is State.LOST
        stale = seen(Arrival(lost(0, connection=2), at=9, retained=True), before=away)
        assert stale.state(time(9)) is State.UNKNOWN


class TestConflict:
    """Two hosts with one identity are told from one host that was restarted."""

    def test_a_restart_is_no_conflict(self) -> None:
        """A new boot simply follows, however often, and with any count (a reinstalled host starts at 1)."""
        sighting = seen(birth(0), beat(60), birth(70, B), beat(130, B), birth(200, Boot("1-dddddddd")))
        assert sighting.conflict(time(200)) is None
        assert sighting.is_online(time(200))
        assert current_boot(sighting) == "1-dddddddd"

    def test_a_late_heartbeat_of_the_former_boot_is_no_conflict(self) -> None:
        """Queued in the broker before the restart, delivered after it: the clock in the message tells."""
        sighting = seen(birth(0), birth(70, B), Arrival(beat(69), at=71))
        assert sighting.conflict(time(71)) is None
        assert current_boot(sighting) == B
        assert sighting.is_online(time(71))

    def test_a_late_first_word_of_the_former_boot_is_no_conflict(self) -> None:
        """The same holds for a reader that never heard the former boot before, or learnt it last."""
        sighting = seen(birth(70, B), Arrival(birth(0), at=71), Arrival(beat(69), at=72), beat(130, B))
        assert sighting.conflict(time(130)) is None
        assert current_boot(sighting) == B

    def test_a_clock_set_back_at_the_restart_is_no_conflict(self) -> None:
        """A host without a battery clock may wake up minutes before it went to sleep."""
        sighting = seen(birth(0), beat(600), Arrival(birth(300, B), at=610), Arrival(beat(360, B), at=670))
        assert sighting.conflict(time(670)) is None
        assert current_boot(sighting) == B

    def test_a_silent_life_makes_way_even_for_an_earlier_clock(self) -> None:
        """A reinstalled host whose old clock was an hour ahead is not taken for late for an hour."""
        sighting = seen(Arrival(birth(3600), at=0), Arrival(birth(200, B), at=200))
        assert current_boot(sighting) == B
        assert sighting.is_online(time(200))

    @pytest.mark.parametrize("ends", [offline, lost])
    def test_a_boot_that_counts_on_from_a_dead_one_follows_it_at_once(
        self, ends: Callable[[float, Boot], Presence]
    ) -> None:
        """A clock that was an hour ahead and is put right doesn't hide the restart that put it right."""
        ahead = seen(Arrival(birth(3600), at=0), Arrival(ends(3610, A), at=10))
        sighting = seen(birth(12, B), before=ahead)
        assert current_boot(sighting) == B
        assert sighting.is_online(time(12))
        assert sighting.conflict(time(12)) is None

    def test_a_late_word_of_a_former_boot_revives_nothing(self) -> None:
        """Neither one that counts less than the dead one, nor any while the current one lives."""
        ahead = seen(Arrival(birth(3600, B), at=0))
        assert current_boot(seen(birth(12, Boot("7-dddddddd")), before=ahead)) == B
        dead = seen(Arrival(offline(3610, B), at=10), before=ahead)
        assert current_boot(seen(birth(12), before=dead)) == B

    def test_two_boots_in_turns_are_a_conflict(self) -> None:
        """The earlier boot speaks again after the later one began: neither is a restart of the other."""
        sighting = seen(birth(0), birth(70, CLONE), birth(71, connection=2))
        conflict = sighting.conflict(time(71))
        assert conflict is not None
        assert set(conflict.boots) == {A, CLONE}
        assert not sighting.is_online(time(71))
        assert sighting.state(time(71)) is State.ONLINE

    def test_a_heartbeat_or_a_pong_shows_the_other_as_well_as_a_birth(self) -> None:
        """Any sign of life will do."""
        both = seen(birth(0), birth(70, B))
        assert seen(beat(71), before=both).conflict(time(71)) is not None
        assert ponged(both, asked=71, at=72).conflict(time(72)) is not None

    def test_a_boot_began_when_it_says_not_when_it_was_first_heard(self) -> None:
        """A birth that its heartbeat overtook dates the boot, so what the other said in between is a turn."""
        late_birth = seen(birth(0), beat(60, B), Arrival(birth(10, B), at=61))
        assert seen(Arrival(beat(30), at=62), before=late_birth).conflict(time(62)) is not None

    def test_a_retained_message_or_a_death_of_the_other_is_no_turn(self) -> None:
        """Only life counts."""
        both = seen(birth(0), birth(70, B))
        assert seen(Arrival(beat(71), at=72, retained=True), before=both).conflict(time(72)) is None
        assert seen(Arrival(lost(71), at=72), before=both).conflict(time(72)) is None

    def test_what_a_dead_connection_said_is_no_turn(self) -> None:
        """The former boot closed its connection in order: a heartbeat of it is late, whatever its clock."""
        sighting = seen(birth(0), offline(80), Arrival(birth(50, B), at=90), Arrival(beat(79), at=91))
        assert sighting.conflict(time(91)) is None
        assert current_boot(sighting) == B

    def test_it_lasts_until_no_turns_were_taken_for_15_minutes(self) -> None:
        """Wings in conflict pause for minutes, so a shorter memory would call it settled in each pause."""
        sighting = seen(birth(0), birth(70, B), birth(71, connection=2))
        for minute in range(2, 15):
            sighting = seen(beat(minute * 60, connection=2), before=sighting)
        assert sighting.conflict(time(71) + CONFLICT_MEMORY) is not None
        assert sighting.conflict(time(72) + CONFLICT_MEMORY) is None
        again = seen(birth(800, B, connection=2), before=sighting)
        assert again.conflict(time(72) + CONFLICT_MEMORY) is not None

    @pytest.mark.parametrize("end", [offline(80, connection=2), offline(80, B)])
    def test_it_ends_when_one_has_stopped_in_order(self, end: Presence) -> None:
        """The operator stops one of the two: what is left is one."""
        sighting = seen(birth(0), birth(70, B), birth(71, connection=2), end)
        assert sighting.conflict(time(80)) is None

    def test_it_outlasts_a_will_and_a_reconnection(self) -> None:
        """An evicted wing's will, and the reader's own absence, settle nothing."""
        sighting = seen(birth(0), birth(70, B), birth(71, connection=2), Arrival(lost(70, B), at=75))
        assert sighting.conflict(time(75)) is not None
        assert sighting.disconnected().conflict(time(80)) is not None

    def test_a_clone_that_keeps_restarting_is_found(self) -> None:
        """The stable one of the two speaks between the births of the other."""
        sighting = seen(birth(0), birth(10, B), birth(20, CLONE), birth(30, B, connection=2))
        assert sighting.conflict(time(30)) is not None

    @given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.randoms(use_true_random=False))
    def test_no_order_of_one_hosts_messages_is_a_conflict(self, lives: list[int], random: Random) -> None:
        """However the broker reorders and doubles what one host said over its restarts, it stays one host."""
        said = [
            make(second, Boot(f"{count}-0000000{count}"))
            for count, length in enumerate(lives, start=1)
            for make, second in (
                (birth, sum(lives[: count - 1]) * 10),
                (beat, sum(lives[: count - 1]) * 10 + length),
                (offline, sum(lives[: count - 1]) * 10 + length + 1),
            )
        ]
        random.shuffle(said)
        end = sum(lives) * 10
        sighting = seen(*(Arrival(one, at=end) for one in said * 2))
        assert sighting.conflict(time(end)) is None


class TestMirror:
    """A wing sees in its own presence whether another host has its identity."""

    mirror = Mirror(own=B, born_at=time(100))
    settled = replace(mirror, settled=True)

    def test_its_own_birth_is_no_other(self) -> None:
        """What the broker gives back of our own, on any connection, settles who has the retained place."""
        for own in (birth(100, B), beat(160, B), birth(101, B, connection=2)):
            assert self.mirror.heard(own) == (self.settled, None)

    def test_what_its_former_boot_left_is_no_other(self) -> None:
        """The retained last word of the boot before, or a heartbeat from a queue, was said before ours."""
        for mirror in (self.mirror, self.settled):
            for former in (birth(0), beat(99), beat(0, Boot("57-dddddddd"))):
                assert mirror.heard(former) == (mirror, None)

    @pytest.mark.parametrize("death", [lost(101), offline(101), lost(101, CLONE)])
    def test_a_death_is_no_other(self, death: Presence) -> None:
        """Our former will may come after our birth; and whoever died is not alive."""
        assert self.settled.heard(death) == (self.settled, None)

    def test_its_former_boot_may_have_had_a_later_clock(self) -> None:
        """A host that woke up in the past finds its own last word in the future, and goes on."""
        assert self.mirror.heard(beat(500)) == (self.mirror, None)

    def test_a_clone_of_this_boots_journal_is_another(self) -> None:
        """The same count with another random part, said after our birth, can't be our past."""
        assert self.mirror.heard(birth(101, CLONE)) == (self.mirror, CLONE)
        assert self.settled.heard(beat(101, CLONE)) == (self.settled, CLONE)

    def test_the_original_is_another_to_its_clone(self) -> None:
        """The clone counts on from the original, whose boot is in its own journal, yet speaks after us."""
        assert self.settled.heard(birth(101, connection=2)) == (self.settled, A)

    def test_the_clone_is_another_to_its_original(self) -> None:
        """A higher count that speaks now is never our past."""
        original = Mirror(own=A, born_at=START)
        assert original.heard(birth(101, B)) == (original, B)
