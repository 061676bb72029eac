"""What an instance's state machine wants done: everything it decides leaves it as one of these values.

Records are saved in the same transaction as the state that goes with them; commands are published only after.
"""

from dataclasses import dataclass

from broker.ids import Boot, Digest, MessageId
from broker.messages import Command, RunChunk
from orchestrator.domain.model import Delivery, Event, Order, Run
from orchestrator.domain.stream import Arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Send a command to its instance."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveRun:
    """Write a run as it is now; `ended` says that it has just got its final answer."""

    run: Run
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveOrder:
    """Write an order as it is now; `ended` says that it has just got its final answer."""

    order: Order
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveDelivery:
    """Write a command that waits for its answer."""

    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class DropDelivery:
    """Forget a command that has been answered for good."""

    id: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveStream:
    """Write where the facts of a boot stand."""

    boot: Boot


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldFact:
    """Store a fact that stands behind a gap."""

    arrived: Arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepChunk:
    """Store a part of a run's attachment."""

    chunk: RunChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Emit:
    """Add a line to the tail."""

    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Count something that should not be, by its name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvergeAutomatically:
    """Set a run going on an instance that has never converged."""

    digest: Digest
    caused_by: MessageId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUp:
    """Take an instance that has something else than it shall have there, by a rollout of its own."""

    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtJournal:
    """The mesh knows more than our journal, which must have been restored: raise the epoch above `epoch`."""

    epoch: int
    reason: str


Effect = (
    Publish
    | SaveRun
    | SaveOrder
    | SaveDelivery
    | DropDelivery
    | SaveStream
    | HoldFact
    | KeepChunk
    | Emit
    | Count
    | ConvergeAutomatically
    | CatchUp
    | DoubtJournal
)
