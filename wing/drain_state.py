"""What a drain knows between two events, and one event's way through it, both growing by values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType

from broker.ids import MessageId
from broker.messages import CordonChanged, Drain, DrainBlocked, OrderFact
from wing.drain_events import DrainEffect, Look, Tell, WakeAt
from wing.selectors import Selector
from wing.targets import Block, Target, due


class Stage(Enum):
    """How far a drain has come: to its cordon, to its pods, to lifting the cordon again, to its end."""

    CORDONING = "cordoning"
    EVICTING = "evicting"
    LIFTING = "lifting"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Who wants which Node drained, and how; `selectors` are the policy's, parsed."""

    command: MessageId
    order: Drain
    node: str
    selectors: tuple[Selector, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a drain goes about it, in seconds; `at_once` evictions are asked for together at most.

    The list of pods is read every `look_s`, an eviction that did not come off is asked for again after
    `retry_s` unless the server names a time. A server that says no to the drain itself is believed after
    `patience_s` (its authorizer has to learn of a node first, after its own restart too). A pod is told as
    overdue `overdue_s` after its grace has passed, and what is deleted at last gets `deletion_s`.
    """

    look_s: float = 1.0
    retry_s: float = 5.0
    patience_s: float = 30.0
    overdue_s: float = 15.0
    deletion_s: float = 120.0
    at_once: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """The API server has not let the drain go on since `since`, for `reason`; `no_since` if it said no."""

    since: datetime
    reason: str
    no_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainState:
    """A drain between two events.

    `owned`: the cordon is its own; `tried`: it may be, since that was asked for. `setting` is why a cordon is
    being set just now, None while none is; `settled`: it was set, or found, once. `outages` has what can't
    be done now: to look, or to cordon. `left` names whom a drain that failed leaves, each with why.
    """

    charge: Charge
    pace: Pace
    stage: Stage = Stage.CORDONING
    began_at: datetime | None = None
    deadline: datetime | None = None
    next_look: datetime | None = None
    looking: bool = False
    setting: str | None = None
    tried: bool = False
    owned: bool = False
    settled: bool = False
    outages: Mapping[str, Outage] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    evicted: int = 0
    deleting: bool = False
    verdict: str = ""
    left: tuple[str, ...] = ()

    @property
    def open(self) -> tuple[Target, ...]:
        """What may still go."""
        return tuple(target for target in self.targets.values() if target.open)

    def took_ms(self, at: datetime) -> int:
        """Return how long the drain has taken by `at`, in milliseconds."""
        return 0 if self.began_at is None else max(0, round((at - self.began_at).total_seconds() * 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A drain on its way to its next state, at the time `at`, with what that asks for."""

    state: DrainState
    at: datetime
    effects: tuple[DrainEffect, ...] = ()

    def then(self, *effects: DrainEffect) -> "Turn":
        """Return the turn with `effects` after those so far."""
        return replace(self, effects=(*self.effects, *effects))

    def told(self, fact: OrderFact) -> "Turn":
        """Return the turn with one fact more."""
        return self.then(Tell(fact=fact))

    def become(self, **changes: object) -> "Turn":
        """Return the turn with the state changed."""
        return replace(self, state=replace(self.state, **changes))  # type: ignore[arg-type] # by field name

    def later(self, seconds: float) -> datetime:
        """Return the time in so many seconds."""
        return self.at + timedelta(seconds=seconds)

    def put(self, uid: str, target: Target) -> "Turn":
        """Return the turn with `target` in place of the one before."""
        return self.become(targets=MappingProxyType({**self.state.targets, uid: target}))

    def dropped(self, uid: str) -> "Turn":
        """Return the turn without the target."""
        left = {known: target for known, target in self.state.targets.items() if known != uid}
        return self.become(targets=MappingProxyType(left))

    def look(self) -> "Turn":
        """Return the turn with the Node being looked at, at once."""
        return self if self.state.looking else self.become(looking=True).then(Look())

    def look_in(self, seconds: float) -> "Turn":
        """Return the turn with the next look in so many seconds."""
        return self.become(next_look=self.later(seconds)).then(WakeAt(at=self.later(seconds)))

    def due(self, *, looked: bool) -> tuple[tuple[str, Target], ...]:
        """Return who is to be asked now."""
        return due(self.state.targets, self.at, at_once=self.state.pace.at_once, looked=looked)

    def cordon(self, *, cordoned: bool, owned: bool, reason: str = "") -> "Turn":
        """Return the turn with the Node's cordon told."""
        charge = self.state.charge
        return self.told(
            CordonChanged(
                command=charge.command,
                order=charge.order.order,
                node=charge.node,
                cordoned=cordoned,
                owned=owned,
                reason=reason,
            )
        )

    def blocked(self, name: str, block: Block) -> "Turn":
        """Return the turn with it told what holds `name` up."""
        charge = self.state.charge
        return self.told(
            DrainBlocked(
                command=charge.command,
                order=charge.order.order,
                pod=name,
                since=block.since,
                reason=block.reason,
                budget=block.budget,
                healthy=block.healthy,
                needed=block.needed,
            )
        )

    def held_up(self, uid: str, block: Block) -> "Turn":
        """Return the turn with a target held up by `block`, which is told if it is news."""
        target = self.state.targets[uid]
        held = target.blocked(block)
        news = held.block if held != target else None
        turn = self.put(uid, held)
        return turn if news is None else turn.blocked(target.pod.full_name, news)
