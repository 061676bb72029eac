"""What a test of watches and preflights may do to a cluster, whichever it is."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from kubernetes_asyncio.client import CoreV1Api

from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.kubernetes.nodes import KubernetesNodes, Patience
from orchestrator.adapters.kubernetes.preflight import KubernetesPreflight
from orchestrator.adapters.memory_kubernetes import MemoryKubernetes
from orchestrator.domain.instance import NodeSeen
from orchestrator.domain.nodes import AllNodes, NodeChanged, NodeNews, NodesLost
from orchestrator.domain.picture import Amounts, BudgetSeen, NodeRoom, PodSeen, Requirement
from orchestrator.ports import Nodes, Preflight
from tests.kube import objects
from tests.kube.place import Place
from wing.kubernetes import node_api

DEADLINE_S = 120
BRISK = Patience(pause_s=0.05, longest_pause_s=0.2)
GIB = 2**30
ROOM = Amounts(cpu_m=64_000, memory=256 * GIB, pods=1000)
APP = {"app": "web"}


class Site(Protocol):
    """A cluster, some Nodes of which are the test's own."""

    nodes: Nodes
    preflight: Preflight
    namespace: str

    def name(self, short: str) -> str:
        """Return the full name of a Node of the test's."""

    async def node(self, short: str) -> None:
        """Make a Ready Node."""

    async def set_ready(self, short: str, *, ready: bool) -> None:
        """Let a Node be Ready, or not."""

    async def cordon(self, short: str, owner: str | None) -> None:
        """Cordon a Node, as the wing does in the name of `owner`, or as kubectl does in nobody's."""

    async def uncordon(self, short: str) -> None:
        """Lift a cordon, whose ever it is."""

    async def repeat(self, short: str) -> None:
        """Have the Node's status written once more, with nothing new in it."""

    async def remove(self, short: str) -> None:
        """Take a Node away."""

    async def go(self) -> None:
        """Let the API server go away."""

    async def come(self) -> None:
        """Let it come back."""

    async def pod(self, name: str, short: str) -> None:
        """Put a Ready pod of the app on a Node, which requests 1.5 cores and 2 GiB."""

    async def budget(self, name: str) -> None:
        """Let a budget want one of the app's pods healthy."""


class MemorySite:
    """`Site` in memory."""

    def __init__(self) -> None:
        self.kubernetes = MemoryKubernetes()
        self.nodes: Nodes = self.kubernetes
        self.preflight: Preflight = self.kubernetes
        self.namespace = "test"
        self._now: dict[str, NodeSeen] = {}

    def name(self, short: str) -> str:
        return f"test-{short}"

    async def node(self, short: str) -> None:
        name = self.name(short)
        self._put(NodeSeen(name=name, ready=True, unschedulable=False, owner=None, seen_at=datetime.now(UTC)))
        room = NodeRoom(name=name, usable=True, allocatable=ROOM, asked=Amounts())
        picture = self.kubernetes.picture
        self.kubernetes.picture = replace(picture, nodes=(*picture.nodes, room))

    async def set_ready(self, short: str, *, ready: bool) -> None:
        self._change(short, ready=ready, reason="" if ready else "KubeletNotReady")

    async def cordon(self, short: str, owner: str | None) -> None:
        self._change(short, unschedulable=True, owner=owner)

    async def uncordon(self, short: str) -> None:
        self._change(short, unschedulable=False, owner=None)

    async def repeat(self, short: str) -> None:
        self._change(short, seen_at=datetime.now(UTC))

    async def remove(self, short: str) -> None:
        self.kubernetes.remove(self.name(short))

    async def go(self) -> None:
        self.kubernetes.lose("no route")

    async def come(self) -> None:
        self.kubernetes.find()

    async def pod(self, name: str, short: str) -> None:
        asks = Amounts(cpu_m=1_500, memory=2 * GIB, pods=1)
        pod = PodSeen(
            namespace=self.namespace, name=name, node=self.name(short), labels=APP, asks=asks, ready=True
        )
        picture = self.kubernetes.picture
        rooms = (
            replace(room, asked=room.asked + asks) if room.name == pod.node else room
            for room in picture.nodes
        )
        self.kubernetes.picture = replace(picture, nodes=tuple(rooms), pods=(*picture.pods, pod))

    async def budget(self, name: str) -> None:
        budget = BudgetSeen(
            namespace=self.namespace,
            name=name,
            selector=(Requirement(key="app", operator="In", values=("web",)),),
            allowed=0,
            healthy=1,
            needed=1,
            expected=1,
        )
        self.kubernetes.picture = replace(self.kubernetes.picture, budgets=(budget,))

    def _change(self, short: str, **changes: Any) -> None:
        self._put(replace(self._now[self.name(short)], **changes))

    def _put(self, node: NodeSeen) -> None:
        self._now[node.name] = node
        self.kubernetes.put(node)


class RealSite:
    """`Site` on a real API server; the wing's own adapter cordons, so that both sides mean the same."""

    def __init__(self, own: Place, kubeconfig: Path | None = None) -> None:
        self.own = own
        self.namespace = own.namespace
        credential = kubeconfig or own.plane.admin_kubeconfig
        self.nodes: Nodes = KubernetesNodes(credential, SystemClock(), BRISK)
        self.preflight: Preflight = KubernetesPreflight(credential)

    def name(self, short: str) -> str:
        return f"{self.namespace}-{short}"

    async def node(self, short: str) -> None:
        await self.own.node(short)

    async def set_ready(self, short: str, *, ready: bool) -> None:
        await objects.set_node_ready(self.own.admin, self.name(short), ready=ready)

    async def cordon(self, short: str, owner: str | None) -> None:
        if owner is None:
            await objects.set_schedulable(self.own.admin, self.name(short), schedulable=False)
            return
        async with node_api(self.own.plane.node_kubeconfig(self.name(short)), self.name(short)) as api:
            await api.cordon(await api.node(), owner, datetime.now(UTC))

    async def uncordon(self, short: str) -> None:
        async with node_api(self.own.plane.node_kubeconfig(self.name(short)), self.name(short)) as api:
            await api.uncordon(await api.node())

    async def repeat(self, short: str) -> None:
        await objects.set_node_ready(self.own.admin, self.name(short), ready=True)
        labels = {"metadata": {"labels": {"example.test/seen": "again"}}}
        await CoreV1Api(self.own.admin).patch_node(self.name(short), labels, _content_type=objects.MERGE)

    async def remove(self, short: str) -> None:
        node = next(each for each in self.own.nodes if each.name == self.name(short))
        self.own.nodes.remove(node)
        await objects.remove_node(self.own.admin, node.name)

    async def go(self) -> None:
        await self.own.plane.stop_apiserver()

    async def come(self) -> None:
        await self.own.plane.start_apiserver()

    async def pod(self, name: str, short: str) -> None:
        made = await objects.make_pod(
            self.own.admin,
            name,
            self.name(short),
            namespace=self.namespace,
            labels=APP,
            requests={"cpu": "1500m", "memory": "2Gi"},
            ready=False,
        )
        await objects.set_pod_ready(self.own.admin, made)

    async def budget(self, name: str) -> None:
        await objects.make_budget(self.own.admin, name, APP, namespace=self.namespace, min_available=1)
        await objects.until_budget(
            self.own.admin,
            name,
            lambda status: status.get("currentHealthy") == 1,
            namespace=self.namespace,
        )


class Watched:
    """What a watch has told of the test's own Nodes; other tests' come and go beside them."""

    def __init__(self, site: Site, told: AsyncGenerator[NodeNews, None]) -> None:
        self._site = site
        self._told = told

    async def all(self) -> Mapping[str, NodeSeen]:
        """Wait for the Nodes as a whole, and return the test's own by their short name."""
        while True:
            news = await self._next()
            if isinstance(news, AllNodes):
                prefix = self._site.name("")
                own = (node for node in news.nodes if node.name.startswith(prefix))
                return {node.name.removeprefix(prefix): node for node in own}

    async def change(self) -> NodeChanged:
        """Wait for the next change of a Node of the test's own."""
        while True:
            news = await self._next()
            if isinstance(news, NodeChanged) and news.name.startswith(self._site.name("")):
                return news

    async def node(self) -> NodeSeen:
        """Wait for the next change, and return what the Node is now."""
        node = (await self.change()).node
        assert node is not None
        return node

    async def lost(self) -> NodesLost:
        """Wait until the watch is lost."""
        while True:
            news = await self._next()
            if isinstance(news, NodesLost):
                return news

    async def _next(self) -> NodeNews:
        async with asyncio.timeout(DEADLINE_S):
            return await anext(self._told)


@asynccontextmanager
async def watching(site: Site) -> AsyncIterator[Watched]:
    """Watch as long as the block lasts."""
    async with aclosing(site.nodes.news()) as told:
        yield Watched(site, told)
