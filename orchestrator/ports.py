"""What the service needs of the world, as small protocols that an adapter and its in-memory twin both keep.

The journal is split by who asks: the service commits a batch and loads it all at start; readers of runs and
of the tail page through what is there. A batch is one transaction: all of it is there after a crash, or none.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from broker.ids import Digest, Epoch, InstanceId, OrderId, Role, RolloutId, RunId
from orchestrator.domain.model import Bundle, Leadership, Order, Papers, Run, Ticket
from orchestrator.domain.nodes import NodeNews
from orchestrator.domain.picture import Picture
from orchestrator.domain.rollout.model import Rollout
from orchestrator.domain.views import ChangeView, RunState
from orchestrator.records import Batch, Loaded, Numbered


class JournalError(Exception):
    """The journal can't be used; says which, why, and what to do."""

    def __init__(self, *, journal: str, reason: str, action: str) -> None:
        self.journal = journal
        self.reason = reason
        self.action = action
        super().__init__(f"journal {journal}: {reason}; {action}")


class LeadershipLostError(Exception):
    """Somebody else leads the cluster: nothing was written, and nothing may be decided any more.

    `epoch` is the one that is over, `holder` who leads now.
    """

    def __init__(self, *, epoch: int, holder: str) -> None:
        self.epoch = epoch
        self.holder = holder
        super().__init__(f"epoch {epoch} is over: {holder} leads the cluster now")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs, newest first; None and empty mean any."""

    instances: tuple[InstanceId, ...] | None = None
    states: tuple[RunState, ...] = ()
    ticket: str | None = None
    limit: int = 100
    before: RunId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events after `cursor`, in its order."""

    cursor: int = 0
    since: datetime | None = None
    roles: tuple[Role, ...] = ()
    instances: tuple[InstanceId, ...] = ()
    kinds: tuple[str, ...] = ()
    limit: int = 500


class Journal(Protocol):
    """The truth about intent."""

    async def lead(self, *, holder: str, at: datetime) -> Leadership | None:
        """Take the lead with an epoch above any before; None while another's lease runs."""

    async def renew(self, epoch: Epoch) -> None:
        """Make the lease of `epoch` run anew from now; raises LeadershipLostError."""

    async def load(self) -> Loaded:
        """Return all that is open."""

    async def commit(self, batch: Batch) -> None:
        """Write `batch` whole or not at all; raises JournalError, and LeadershipLostError (see `Batch`)."""

    async def forget(self, before: datetime) -> None:
        """Delete events, final runs and their papers from before a time."""


class Lease(Protocol):
    """The right to lead for a time, which daemons that share a journal pass on."""

    @property
    def is_shared(self) -> bool:
        """Whether other daemons may have the journal open."""

    async def lead(self, *, holder: str, at: datetime) -> Leadership | None:
        """Take the lead with an epoch above any before; None while a lease runs."""

    async def leader(self) -> Leadership | None:
        """Return who leads or led last, None if nobody ever did."""

    async def renew(self, epoch: Epoch) -> None:
        """Make the lease of `epoch` run anew from now; raises LeadershipLostError."""


class RunArchive(Protocol):
    """Runs that were, and what they left."""

    async def run(self, run: RunId) -> Run | None:
        """Return a run, None if there is none of that id."""

    async def runs(self, query: RunQuery) -> Sequence[Run]:
        """Return runs, newest first."""

    async def papers(self, run: RunId) -> Papers | None:
        """Return what a run's attachments held, None while they are not complete."""

    async def chunks(self, run: RunId, name: str) -> Sequence[tuple[int, bytes]]:
        """Return the parts of an attachment that have come, by index."""

    async def ticket(self, ticket: str) -> Ticket | None:
        """Return a request, None if there is none of that id."""


class RolloutArchive(Protocol):
    """Rollouts and orders that were."""

    async def rollout(self, rollout: RolloutId) -> Rollout | None:
        """Return a rollout with its steps, None if there is none of that id."""

    async def rollouts(self, *, limit: int, before: RolloutId | None) -> Sequence[Rollout]:
        """Return rollouts without their steps, newest first."""

    async def orders(self, owner: str) -> Sequence[Order]:
        """Return the orders of a rollout or a bare drain, newest first."""

    async def order(self, order: OrderId) -> Order | None:
        """Return an order, None if there is none of that id."""

    async def plans(self, digest: Digest, *, limit: int) -> Sequence[Ticket]:
        """Return the requests for dry runs of a bundle, newest first."""


class EventLog(Protocol):
    """The tail, as far as it is stored."""

    async def events(self, query: EventQuery) -> Sequence[Numbered]:
        """Return the next page of events."""


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Return the time, aware UTC."""


class BundleShelf(Protocol):
    """Where packed bundles lie."""

    async def keep(self, draft: Path) -> Bundle:
        """Verify and keep a packed bundle, and return its record; raises BundleShelfError."""

    async def packed(self, digest: Digest) -> Path:
        """Return a local file with the packed bundle."""


class BundleShelfError(Exception):
    """A bundle was not taken; `status` is HTTP's."""

    def __init__(self, *, reason: str, status: int, action: str) -> None:
        self.reason = reason
        self.status = status
        self.action = action
        super().__init__(f"{reason}; {action}")


class Nodes(Protocol):
    """Watches the Nodes of the cluster."""

    def news(self) -> AsyncGenerator[NodeNews, None]:
        """Yield all Nodes, then each change that matters, for ever; when watching fails too, and all anew."""


class Preflight(Protocol):
    """Looks at what a drain would meet."""

    async def look(self, nodes: Collection[str]) -> Picture:
        """Return the cluster as it is now, with the pods on these Nodes; raises PreflightError."""


class PreflightError(Exception):
    """The cluster can't be looked at now, for `reason`."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class PaperReader(Protocol):
    """Reads what wings attach to their runs, within bounds; raises PapersError for what can't be read."""

    async def changes(
        self, report: bytes, *, noop: bool, instance: InstanceId
    ) -> tuple[tuple[ChangeView, ...], int]:
        """Return the changes in a report, and how many were left out of it.

        A noop's are normalised (`puppet_bridge.diff`): they read the same on all instances that they would
        change alike.
        """

    async def log_lines(self, log: bytes) -> Sequence[Mapping[str, object]]:
        """Return the lines of a log."""


class PapersError(Exception):
    """A run's attachment can't be read."""

    def __init__(self, *, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name}: {reason}")
