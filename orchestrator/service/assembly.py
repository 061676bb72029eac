"""The service's parts, put together over whatever adapters they are given: in tests as in the daemon."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from broker.client import MeshClient
from broker.ids import ClusterName, Digest, MessageId
from broker.signing import SigningKey
from orchestrator.domain.model import Enrolment
from orchestrator.ports import (
    BundleShelf,
    Clock,
    EventLog,
    Journal,
    Nodes,
    PaperReader,
    Preflight,
    RolloutArchive,
    RunArchive,
)
from orchestrator.service.bundles import BundlesService
from orchestrator.service.core import Core
from orchestrator.service.drains import DrainsService
from orchestrator.service.edge import Edge
from orchestrator.service.fleet import FleetService
from orchestrator.service.joining import Doorway, JoiningService
from orchestrator.service.nodes import NodeDesk
from orchestrator.service.papers import PaperDesk
from orchestrator.service.rollouts import RolloutsService
from orchestrator.service.runs import RunsService
from orchestrator.service.state import ClusterState
from orchestrator.service.tail import TailService


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The orchestrator without its doors."""

    core: Core
    fleet: FleetService
    runs: RunsService
    bundles: BundlesService
    tail: TailService
    rollouts: RolloutsService
    drains: DrainsService
    joining: JoiningService
    desk: PaperDesk
    nodes: NodeDesk | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.core.run(), name="orchestrator.core")
            tasks.create_task(self.desk.run(), name="orchestrator.papers")
            if self.nodes is not None:
                tasks.create_task(self.nodes.run(), name="orchestrator.nodes")

    def enrol_soon(self, roster: tuple[Enrolment, ...]) -> None:
        """Take a new roster in with the next burst."""
        self.core.enrol_soon(roster)


async def assemble(
    *,
    cluster: ClusterName,
    journal: Journal,
    archive: "RunArchive",
    rollouts: RolloutArchive,
    log: EventLog,
    mesh: MeshClient,
    key: SigningKey,
    clock: Clock,
    new_id: Callable[[], MessageId],
    reader: PaperReader,
    shelf: BundleShelf,
    drafts: Path,
    url_of: Callable[[Digest], str],
    endpoint: str,
    version: str,
    roster: tuple[Enrolment, ...],
    doorway: Doorway | None = None,
    nodes: Nodes | None = None,
    preflight: Preflight | None = None,
) -> Service:
    """Return the service with what the journal holds, and `roster` in force.

    Without `nodes` Kubernetes is not seen; without a `doorway` nobody can join.
    """
    loaded = await journal.load()
    state = ClusterState(cluster=cluster, loaded=loaded, new_id=new_id, bundle_url=url_of)
    core = Core(state=state, journal=journal, mesh=mesh, key=key, edge=Edge(cluster), clock=clock)
    service = Service(
        core=core,
        fleet=FleetService(core, endpoint=endpoint, version=version),
        runs=RunsService(core, archive, reader),
        bundles=BundlesService(core, shelf, drafts),
        tail=TailService(core, log),
        rollouts=RolloutsService(core, rollouts, archive, preflight),
        drains=DrainsService(core, rollouts),
        joining=JoiningService(core, doorway),
        desk=PaperDesk(core, archive, reader, tuple(loaded.papers_due)),
        nodes=None if nodes is None else NodeDesk(core, nodes),
    )
    await core.enrol(roster)
    return service
