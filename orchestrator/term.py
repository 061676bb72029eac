"""A daemon's time as the leader: the service with its mesh and its doors, until it is cancelled.

Each part is a task of its own, so that all of them end at once: a door that lets its last reader out must not
keep the mesh, on which a leader whose time is over may say nothing any more.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import structlog
from sdnotify import SystemdNotifier  # type: ignore[import-untyped] # it has no types; three calls are made

from broker.ids import Digest
from broker.mqtt import MqttMesh, MqttSettings
from broker.uuid7 import id_source
from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.papers import BridgePapers
from orchestrator.adapters.shelf import StoreShelf
from orchestrator.adapters.sql.archive import SqlArchive
from orchestrator.adapters.sql.journal import SqlJournal
from orchestrator.api.bundle_door import DoorConfig, open_door
from orchestrator.api.join_door import open_join_door
from orchestrator.api.route import Faces
from orchestrator.api.server import SocketConfig, serve
from orchestrator.config import JoinConfig, OrchestratorConfig, load_key, load_roster
from orchestrator.domain.model import Leadership
from orchestrator.doorway import doorway_of
from orchestrator.ports import Journal, JournalError, Nodes, Preflight
from orchestrator.service.assembly import Service, assemble
from puppet_bridge.stores import BundleStore
from puppet_bridge.stores.url import bundle_url

WATCHDOG_S: Final = 20.0
RETENTION_S: Final = 3600.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file of configuration, and what it says."""

    file: Path
    config: OrchestratorConfig

    @property
    def drafts(self) -> Path:
        """Where bundles lie while they are pushed."""
        return self.config.state_dir / "drafts"

    @property
    def socket(self) -> SocketConfig:
        """The operators' door."""
        return SocketConfig(path=self.config.api.socket, groups=self.config.api.groups)


class Office:
    """What a daemon leads with; `service` is there while it does.

    `stopping` says that the daemon was told to stop: only then is what is queued for the mesh handed over.
    """

    def __init__(
        self,
        opened: Opened,
        *,
        journal: SqlJournal,
        store: BundleStore,
        notifier: SystemdNotifier,
        stopping: asyncio.Event,
    ) -> None:
        self.service: Service | None = None
        self._opened = opened
        self._journal = journal
        self._store = store
        self._notifier = notifier
        self._stopping = stopping
        self._nodes, self._preflight = _kubernetes(opened.config.kubernetes.kubeconfig)

    async def serve(self, leadership: Leadership) -> None:
        """Lead until cancelled; raises whatever ends it."""
        config = self._opened.config
        mesh = MqttMesh(_mqtt(config), client_id=config.name)
        try:
            async with asyncio.TaskGroup() as tasks:
                await _held(tasks, self._on(mesh), name="orchestrator.mesh.connection")
                self.service = service = await self._assembled(mesh)
                tasks.create_task(service.run(), name="orchestrator.service")
                tasks.create_task(self._watchdog(service), name="orchestrator.watchdog")
                tasks.create_task(
                    _retain(self._journal, config.retention.days), name="orchestrator.retention"
                )
                await _held(tasks, open_door(service.bundles, _door(config)), name="orchestrator.bundles")
                if config.join is not None:
                    await _held(
                        tasks, open_join_door(service.joining, **_join(config.join)), name="orchestrator.join"
                    )
                await _held(tasks, serve(_faces(service), self._opened.socket), name="orchestrator.api")
                log.info("leading", epoch=leadership.epoch, cluster=config.cluster, name=config.name)
                status = f"leading {config.cluster} in epoch {leadership.epoch}"
                self._notifier.notify(f"READY=1\nSTATUS={status}")
        finally:
            self.service = None

    async def _assembled(self, mesh: MqttMesh) -> Service:
        config, clock = self._opened.config, SystemClock()
        archive = SqlArchive(self._journal.readers, config.cluster)
        return await assemble(
            cluster=config.cluster,
            journal=self._journal,
            archive=archive,
            rollouts=archive,
            log=archive,
            mesh=mesh,
            key=load_key(self._opened.file, config),
            clock=clock,
            new_id=id_source(clock.now, os.urandom),
            reader=BridgePapers(),
            shelf=StoreShelf(self._store, self._opened.drafts, clock),
            drafts=self._opened.drafts,
            url_of=_urls(config),
            endpoint=f"{config.broker.host}:{config.broker.port}",
            version=version("tarmak"),
            roster=load_roster(config.roster, clock.now()),
            doorway=doorway_of(self._opened.file, config),
            nodes=self._nodes,
            preflight=self._preflight,
        )

    @asynccontextmanager
    async def _on(self, mesh: MqttMesh) -> AsyncIterator[None]:
        """Be on the mesh; a leader that lost its lease takes back what it has not yet said."""
        async with mesh:
            try:
                yield
            finally:
                if not self._stopping.is_set():
                    mesh.abandon()

    async def _watchdog(self, service: Service) -> None:
        """Tell systemd that the core still goes round; if it does not, the telling stops."""
        while True:
            await service.core.call(lambda _state, _work: None)
            self._notifier.notify("WATCHDOG=1")
            await asyncio.sleep(WATCHDOG_S)


async def _held(tasks: asyncio.TaskGroup, context: AbstractAsyncContextManager[object], *, name: str) -> None:
    """Return when `context` is entered; a task of its own stays in it until it is cancelled."""
    entered = asyncio.Event()

    async def hold() -> None:
        async with context:
            entered.set()
            await asyncio.get_running_loop().create_future()

    tasks.create_task(hold(), name=name)
    await entered.wait()


async def _retain(journal: Journal, days: int) -> None:
    """Delete what is old, now and every hour; what can't be deleted now is so the next time."""
    while True:
        try:
            await journal.forget(SystemClock().now() - timedelta(days=days))
        except JournalError as error:
            log.warning("nothing forgotten", reason=error.reason, action=error.action)
        await asyncio.sleep(RETENTION_S)


def _kubernetes(kubeconfig: Path | None) -> tuple[Nodes | None, Preflight | None]:
    """Return what sees the cluster; its client costs 70 MB and a second, paid before anybody leads."""
    if kubeconfig is None:
        return None, None
    from orchestrator.adapters.kubernetes.nodes import KubernetesNodes  # noqa: PLC0415 - see above
    from orchestrator.adapters.kubernetes.preflight import KubernetesPreflight  # noqa: PLC0415 - as above

    return KubernetesNodes(kubeconfig, SystemClock()), KubernetesPreflight(kubeconfig)


def _faces(service: Service) -> Faces:
    return Faces(
        fleet=service.fleet,
        runs=service.runs,
        bundles=service.bundles,
        tail=service.tail,
        rollouts=service.rollouts,
        drains=service.drains,
        enrolments=service.joining,
    )


def _mqtt(config: OrchestratorConfig) -> MqttSettings:
    return MqttSettings(
        host=config.broker.host,
        port=config.broker.port,
        ca=config.broker.ca,
        certificate=config.broker.certificate,
        key=config.broker.key,
    )


def _join(config: JoinConfig) -> dict[str, Any]:
    host, _, port = config.listen.rpartition(":")
    return {"host": host, "port": int(port), "certificate": config.certificate, "key": config.key}


def _door(config: OrchestratorConfig) -> DoorConfig:
    host, _, port = config.bundles.listen.rpartition(":")
    return DoorConfig(
        host=host,
        port=int(port),
        ca=config.bundles.ca,
        certificate=config.bundles.certificate,
        key=config.bundles.key,
    )


def _urls(config: OrchestratorConfig) -> Callable[[Digest], str]:
    base = config.bundles.url.rstrip("/")
    if base.startswith("https://"):
        return lambda digest: f"{base}/bundles/{digest}"
    return lambda digest: bundle_url(base, digest)
