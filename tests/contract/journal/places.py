"""Where a journal's contract is held to: in memory, in a file of SQLite, and on a real PostgreSQL."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from broker.ids import ClusterName, Epoch, Role
from broker.messages import Observed, Verdict
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Enrolment, Leadership, Ticket
from orchestrator.ports import EventLog, Journal, RolloutArchive, RunArchive
from orchestrator.records import Batch
from tests.unit.orchestrator.domain.playbook import DIGEST, HOST, NOW, A, run

CLUSTER = ClusterName("c")
TICKET = Ticket(id="t", digest=DIGEST, noop=False, parallel=None, requested_by="ann", created_at=NOW)
INSTANCE = Instance(
    enrolment=Enrolment(id=A, role=Role("worker"), pool="p", labels={"zone": "a"}, key="k", enrolled_at=NOW),
    desired=DIGEST,
    observed=Observed(digest=DIGEST, verdict=Verdict.CONVERGED, run=run().id, at=NOW),
    ever_ran=True,
    version="1",
    host=HOST,
)


class Archive(RunArchive, RolloutArchive, EventLog, Protocol):
    """What is read beside the journal."""


@dataclass(frozen=True, slots=True)
class Place:
    """A journal as one process has it; `reopened` is another process's, `expired` ends the lease's time."""

    journal: Journal
    archive: Archive
    reopened: Callable[[], Awaitable["Place"]]
    expired: Callable[[], Awaitable[None]]

    async def leads(self, holder: str, at: datetime = NOW) -> Leadership:
        """Take the lead, which nobody may hold."""
        leadership = await self.journal.lead(holder=holder, at=at)
        assert leadership is not None
        return leadership

    async def epoch(self) -> Epoch:
        return (await self.journal.load()).leadership.epoch


async def committed(place: Place, **parts: Any) -> Place:
    """Write a batch and return the journal as a new process finds it."""
    await place.journal.commit(Batch(**parts))
    return await place.reopened()
