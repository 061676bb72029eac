"""Who is there is not what the broker retains: it keeps the birth of a wing that died with it.

So presence is judged from what is live, by rules that survive a lossy, reordering broker:

- *Alive*: a live birth or heartbeat shows that its wing lived when it was said (by the wing's clock, or
  when it came if that is earlier): one that waited in a queue proves nothing about now. A pong shows that
  it lived when the ping was sent. An instance is online for 150 s after that.
- *Dead*: a death ends the connection that it names and those before it, of its own boot. Nothing that such
  a connection said revives it; a later connection, or a pong to a later ping, does.
- *Restarted*: a boot not heard before follows the current one. What an earlier boot said before the current
  one's first sign is late, and changes nothing; unless the current one has died, and the other's number
  counts on from its: then it was the current one's clock that was ahead.
- *Two hosts with one identity*: the earlier boot speaks again, after the current one's first sign by its own
  clock. A restart can't do that, since its process is gone. It must also come in this order: a clock that
  was set back at a restart makes no conflict. Boot counts prove nothing here, since a clone counts on from
  the same number. A conflict lasts until the two have taken no turns for 15 minutes (in conflict, wings
  pause for minutes between attempts to connect), or until one of them has stopped in order. A clone whose
  clock is ahead is found as soon as the other's has passed the clone's first sign.

Two clocks are kept apart: `said` is the wing's, `at` the reader's.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, assert_never

from broker.ids import Boot, boot_count
from broker.messages import Birth, Heartbeat, Lost, Offline, Pong, Presence

ONLINE_FOR: Final = timedelta(seconds=150)
CONFLICT_MEMORY: Final = timedelta(minutes=15)


class State(Enum):
    """Whether an instance is there: a `LOST` one fell silent, or the broker says so; `UNKNOWN` is unheard."""

    ONLINE = "online"
    OFFLINE = "offline"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Two boots that took turns under one identity, last at `at`."""

    boots: tuple[Boot, Boot]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One boot as far as it was heard: `connection` is its highest known, `ended` the highest known dead.

    `alive_at` is the last moment at which it is known to have lived; `fresh` says that this was proven by a
    live message since the reader connected. `death` is how it died, at `died_at` (None if only retained).
    """

    boot: Boot
    connection: int
    first_said: datetime
    alive_at: datetime
    fresh: bool
    ended: int = 0
    death: State | None = None
    died_at: datetime | None = None

    def state(self, at: datetime) -> State:
        """Return how this boot is at `at`."""
        if self.death is not None:
            return self.death
        if not self.fresh:
            return State.UNKNOWN
        return State.ONLINE if at - self.alive_at <= ONLINE_FOR else State.LOST


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sign:
    """A sign of life; `asked_at` is when the ping that it answers was sent, None for what is no pong."""

    boot: Boot
    connection: int
    said: datetime
    at: datetime
    live: bool = True
    asked_at: datetime | None = None

    @property
    def alive_at(self) -> datetime:
        return min(self.said, self.at) if self.asked_at is None else self.asked_at

    @property
    def fresh(self) -> bool:
        return self.live and self.at - self.alive_at <= ONLINE_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """A death; `at` is None for one that the broker had retained."""

    boot: Boot
    connection: int
    how: State
    said: datetime
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """All that a reader knows about the presence of one instance; starts as unknown."""

    current: Life | None = None
    earlier: Life | None = None
    turns: Conflict | None = None

    def heard(self, message: Presence, *, at: datetime, retained: bool = False) -> "Sighting":
        """Return the sighting after `message` came at `at`; `retained` as the broker flagged it."""
        match message.body:
            case Birth(standing=standing) | Heartbeat(standing=standing):
                sign = _Sign(
                    boot=standing.boot,
                    connection=standing.connection,
                    said=message.at,
                    at=at,
                    live=not retained,
                )
                return self._alive(sign)
            case Offline(boot=boot, connection=connection) | Lost(boot=boot, connection=connection):
                end = _End(
                    boot=boot,
                    connection=connection,
                    how=State.OFFLINE if isinstance(message.body, Offline) else State.LOST,
                    said=message.at,
                    at=None if retained else at,
                )
                return self._died(end)
            case _:
                assert_never(message.body)

    def answered(self, pong: Pong, *, said: datetime, at: datetime, asked_at: datetime) -> "Sighting":
        """Return the sighting after the `pong` to a ping of `asked_at` came at `at`, as live as anything."""
        return self._alive(_Sign(boot=pong.boot, connection=0, said=said, at=at, asked_at=asked_at))

    def disconnected(self) -> "Sighting":
        """Return the sighting after the reader lost the broker: unknown, until something is heard."""
        if self.current is None:
            return self
        return replace(self, current=replace(self.current, fresh=False, death=None, died_at=None))

    def state(self, at: datetime) -> State:
        """Return whether the instance is there at `at`."""
        return State.UNKNOWN if self.current is None else self.current.state(at)

    def is_online(self, at: datetime) -> bool:
        """Return whether the instance is surely there at `at`; two under one name are no instance."""
        return self.state(at) is State.ONLINE and self.conflict(at) is None

    def conflict(self, at: datetime) -> Conflict | None:
        """Return the two boots that share this identity at `at`, if any: send to neither."""
        if self.turns is None or at - self.turns.at > CONFLICT_MEMORY:
            return None
        return self.turns

    def _alive(self, sign: _Sign) -> "Sighting":
        if self.current is None:
            return replace(self, current=_born(sign))
        if sign.boot == self.current.boot:
            return replace(self, current=_lived(self.current, sign))
        is_over = self._silent(sign.at) or self._followed_by(sign.boot)
        if sign.said <= self.current.first_said and not (sign.fresh and is_over):
            return self
        if self.earlier is None or sign.boot != self.earlier.boot:
            return replace(self, current=_born(sign), earlier=self.current)
        if not sign.live or _from_a_dead_connection(self.earlier, sign):
            return self
        turns = Conflict(boots=(self.current.boot, sign.boot), at=sign.at)
        return replace(self, current=_lived(self.earlier, sign), earlier=self.current, turns=turns)

    def _silent(self, at: datetime) -> bool:
        return self.current is not None and at - self.current.alive_at > ONLINE_FOR

    def _followed_by(self, boot: Boot) -> bool:
        """Whether the current boot has died and `boot` counts on from it: then its clock was ahead."""
        current = self.current
        if current is None or current.death is None:
            return False
        return boot_count(boot) > boot_count(current.boot)

    def _died(self, end: _End) -> "Sighting":
        stopped = end.how is State.OFFLINE and self.turns is not None and end.boot in self.turns.boots
        known = replace(self, turns=None) if stopped else self
        if known.current is None:
            return replace(known, current=_dead(end))
        if end.boot == known.current.boot:
            return replace(known, current=_ended(known.current, end))
        if known.earlier is not None and end.boot == known.earlier.boot:
            return replace(known, earlier=_ended(known.earlier, end))
        if end.said <= known.current.first_said:
            return known
        return replace(known, current=_dead(end), earlier=known.current)


def _born(sign: _Sign) -> Life:
    return Life(
        boot=sign.boot,
        connection=sign.connection,
        first_said=sign.said,
        alive_at=sign.alive_at,
        fresh=sign.fresh,
    )


def _dead(end: _End) -> Life:
    return Life(
        boot=end.boot,
        connection=end.connection,
        first_said=end.said,
        alive_at=end.said,
        fresh=False,
        ended=end.connection,
        death=end.how,
        died_at=end.at,
    )


def _lived(life: Life, sign: _Sign) -> Life:
    """Return `life` after a sign of its boot."""
    known = replace(life, first_said=min(life.first_said, sign.said))
    if _from_a_dead_connection(life, sign):
        return known
    return replace(
        known,
        connection=max(life.connection, sign.connection),
        alive_at=max(life.alive_at, sign.alive_at),
        fresh=life.fresh or sign.fresh,
        death=None if sign.live else life.death,
        died_at=None if sign.live else life.died_at,
    )


def _from_a_dead_connection(life: Life, sign: _Sign) -> bool:
    if sign.asked_at is not None:
        return life.died_at is not None and sign.asked_at < life.died_at
    return sign.connection <= life.ended


def _ended(life: Life, end: _End) -> Life:
    """Return `life` after the death of one of its connections, which says nothing about a later one."""
    revived = life.fresh and end.connection <= life.ended
    if revived or end.connection < life.connection:
        return replace(life, ended=max(life.ended, end.connection))
    return replace(life, connection=end.connection, ended=end.connection, death=end.how, died_at=end.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A wing's view of its own presence, in which another host with its identity shows itself.

    `own` is the wing's boot, begun at `born_at`. What an earlier boot of its own left, retained or queued, is
    no other host: it was said before. Until the broker has given back something of our own (`settled`) a
    lower boot count is taken for our past whenever it was said, since a host without a battery clock may
    wake up in it. After that the broker's one retained place is ours, and whoever else writes there lives.
    """

    own: Boot
    born_at: datetime
    settled: bool = False

    def heard(self, message: Presence) -> "tuple[Mirror, Boot | None]":
        """Return the view after `message`, live or retained, and the boot of another host that it shows."""
        match message.body:
            case Birth(standing=standing) | Heartbeat(standing=standing):
                if standing.boot == self.own:
                    return replace(self, settled=True), None
                return self, standing.boot if self._is_foreign(standing.boot, message.at) else None
            case Offline() | Lost():
                return self, None
            case _:
                assert_never(message.body)

    def _is_foreign(self, boot: Boot, said: datetime) -> bool:
        could_be_past = not self.settled and boot_count(boot) < boot_count(self.own)
        return said > self.born_at and not could_be_past
