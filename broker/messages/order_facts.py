"""What a wing tells in the course of an order: its account of a drain, an uncordon or a look at health."""

from dataclasses import dataclass
from datetime import datetime

from broker import ids
from broker.ids import MessageId, OrderId
from broker.messages.checks import not_negative
from broker.messages.upkeep import Drainer


@dataclass(frozen=True, slots=True, kw_only=True)
class CordonChanged:
    """The Node's cordon is as `cordoned` says; `owned` if it was set in the order's own name.

    `reason` says why, where that is not the order itself (somebody had uncordoned the Node during the drain).
    """

    command: MessageId
    order: OrderId
    node: str
    cordoned: bool
    owned: bool
    reason: str = ""

    def __post_init__(self) -> None:
        _named(self.command, self.order)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainStarted:
    """`total` pods are to go; `pods` names the first of them as namespace/name."""

    command: MessageId
    order: OrderId
    drainer: Drainer
    node: str
    total: int
    pods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _named(self.command, self.order)
        not_negative("total", self.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodEvicted:
    """A pod is gone from the Node, `took_ms` after it was first asked to go."""

    command: MessageId
    order: OrderId
    pod: str
    took_ms: int

    def __post_init__(self) -> None:
        _named(self.command, self.order)
        not_negative("took_ms", self.took_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainBlocked:
    """A pod can't go yet; `budget` (namespace/name) holds it with its counts, where a budget does."""

    command: MessageId
    order: OrderId
    pod: str
    since: datetime
    reason: str
    budget: str | None = None
    healthy: int | None = None
    needed: int | None = None

    def __post_init__(self) -> None:
        _named(self.command, self.order)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainFinished:
    """The drain has ended: so many pods went, and those in `left` (each with why) did not.

    `output` is the last of what the site's own command said.
    """

    command: MessageId
    order: OrderId
    took_ms: int
    evicted: int
    left: tuple[str, ...] = ()
    output: str = ""

    def __post_init__(self) -> None:
        _named(self.command, self.order)
        not_negative("took_ms", self.took_ms)
        not_negative("evicted", self.evicted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A check was made, and `saw` says what was seen; told when that has changed, and at the end."""

    command: MessageId
    order: OrderId
    check: str
    passed: bool
    saw: str
    passes: int

    def __post_init__(self) -> None:
        _named(self.command, self.order)
        not_negative("passes", self.passes)


OrderFact = CordonChanged | DrainStarted | PodEvicted | DrainBlocked | DrainFinished | Checked


def _named(command: MessageId, order: OrderId) -> None:
    ids.message_id(command, field="command")
    ids.order_id(order)
