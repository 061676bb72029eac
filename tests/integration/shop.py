"""Five wings on the Nodes of a real API server, a shop that its budget keeps open, and a watch over both.

Each wing has its Node's kubelet credential and nothing else. Kubelets and the scheduler are played, Puppet is
a quick one; broker, orchestrator, wings, API server, etcd and the controllers are the real programs.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import tomli_w
from kubernetes_asyncio.client import ApiClient, CoreV1Api, PolicyV1Api

from tests.dev_mesh import DevMesh, Tail, dev_mesh, write_bundle
from tests.kube import objects
from tests.kube.access import DEADLINE_S, Change, Listing, changes, client
from tests.kube.actors import FakeKubelet, FakeScheduler, playing
from tests.kube.manifests import Json, is_ready
from tests.kube.servers import ControlPlane
from tests.quick_puppet import QuickPuppet
from wing.kubernetes_objects import CORDONED_BY

WORKERS = tuple(f"worker-{number}" for number in range(1, 6))
NAMESPACE = "shop"
APP = "cart"
BUDGET = "keep"
NEEDED = len(WORKERS) - 1
ENDS = frozenset({"rollout_succeeded", "rollout_failed", "rollout_aborted", "rollout_paused"})
MARK = "example.test/mark"


class Watch:
    """What an administrator's watch shows of the cluster from now on, and what of it must not be.

    What is checked is checked at every single change that the API server tells of.
    """

    def __init__(self, admin: ApiClient) -> None:
        core, policy = CoreV1Api(admin), PolicyV1Api(admin)
        self._admin = admin
        self._listings: Mapping[str, Listing] = {
            "nodes": core.list_node,
            "pods": core.list_pod_for_all_namespaces,
            "budgets": policy.list_pod_disruption_budget_for_all_namespaces,
        }
        self._known: dict[str, dict[str, Json]] = {kind: {} for kind in self._listings}
        self._news = asyncio.Condition()
        self._is_open = False
        self._marks = count(1)
        self.cordons: list[tuple[str, str | None]] = []
        """Each cordon that was set: the Node, and in whose name."""
        self.wrong: list[str] = []

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for kind in self._listings:
                tasks.create_task(self._follow(kind), name=f"tests.watch.{kind}")

    @property
    def cordoned(self) -> set[str]:
        """The Nodes that have anything of a cordon now: unschedulable, or an annotation of ours."""
        return {name for name, node in self._known["nodes"].items() if _unschedulable(node) or _owner(node)}

    def pods(self) -> Iterator[Json]:
        """Yield the shop's pods that are Ready."""
        for pod in self._known["pods"].values():
            if pod["metadata"].get("labels", {}).get("app") == APP and is_ready(pod):
                yield pod

    async def until(self, seen: Callable[["Watch"], bool]) -> None:
        """Wait until what is known fits."""
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: seen(self))

    async def caught_up(self) -> None:
        """Wait until everything that has happened so far was seen: what is marked now comes behind it."""
        body = {"metadata": {"annotations": {MARK: str(next(self._marks))}}}
        core, policy = CoreV1Api(self._admin), PolicyV1Api(self._admin)
        node = await core.patch_node(WORKERS[0], body, _content_type=objects.MERGE)
        budget = await policy.patch_namespaced_pod_disruption_budget(
            BUDGET, NAMESPACE, body, _content_type=objects.MERGE
        )
        await self.until(lambda _: self._has("nodes", node) and self._has("budgets", budget))

    def _has(self, kind: str, made: Any) -> bool:
        known = self._known[kind].get(made.metadata.name, {"metadata": {"resourceVersion": "0"}})
        version = int(known["metadata"]["resourceVersion"])
        return version >= int(made.metadata.resource_version)

    async def _follow(self, kind: str) -> None:
        async with contextlib.aclosing(changes(self._listings[kind])) as told:
            async for change in told:
                self._take(kind, change)
                async with self._news:
                    self._news.notify_all()

    def _take(self, kind: str, change: Change) -> None:
        name = change.object["metadata"]["name"]
        before = self._known[kind].pop(name, None)
        if not change.gone:
            self._known[kind][name] = change.object
        match kind:
            case "nodes":
                self._take_node(before, change.object)
            case "budgets":
                self._take_budget(change.object)
            case _:
                self._count_pods()

    def _take_node(self, before: Json | None, node: Json) -> None:
        if _unschedulable(node) and not (before and _unschedulable(before)):
            self.cordons.append((node["metadata"]["name"], _owner(node)))
        away = sorted(name for name, known in self._known["nodes"].items() if _unschedulable(known))
        if len(away) > 1:
            self.wrong.append(f"unschedulable at once: {', '.join(away)}")

    def _count_pods(self) -> None:
        """Count for ourselves too, once all of the shop is open: the budget's own count comes later."""
        ready = len(list(self.pods()))
        self._is_open |= ready == len(WORKERS)
        if self._is_open and ready < NEEDED:
            self.wrong.append(f"{ready} pods of {APP} ready, {NEEDED} are needed")

    def _take_budget(self, budget: Json) -> None:
        status = budget.get("status", {})
        healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        if healthy < desired:
            self.wrong.append(f"budget {budget['metadata']['name']}: {healthy} healthy, {desired} are needed")


@dataclass
class Shop:
    """The mesh, its cluster as an administrator sees it, its kubelets by Node, and the watch."""

    mesh: DevMesh
    admin: ApiClient
    kubelets: Mapping[str, FakeKubelet]
    watch: Watch
    bundles: Iterator[Path] = field(repr=False)

    async def push(self) -> str:
        """Push a bundle that differs from all before it, and return its digest."""
        bundle = next(self.bundles)
        pushed = await asyncio.to_thread(self.mesh.tarmak, "bundle", "push", bundle, "--no-validate")
        return pushed.out.strip()

    async def tarmak(self, *words: str) -> str:
        """Run a command, and return what it printed."""
        return (await asyncio.to_thread(self.mesh.tarmak, *words)).out

    async def until(self, tail: Tail, kind: str, **said: object) -> dict[str, Any]:
        """Read on until an event whose body says so, and return its body; the rollout must not end before."""

        def seen(event: dict[str, Any]) -> bool:
            found: bool = event["kind"] == kind and said.items() <= event["body"].items()
            if not found and event["kind"] in ENDS:
                raise AssertionError(self.mesh.account(f"{event['kind']} before {kind}: {event['body']}"))
            return found

        event = await asyncio.to_thread(tail.until, seen, kind)
        body: dict[str, Any] = event["body"]
        return body

    async def need(self, healthy: int) -> None:
        """Let the budget need so many pods, and wait until the controller has said what that allows."""
        await PolicyV1Api(self.admin).patch_namespaced_pod_disruption_budget(
            BUDGET, NAMESPACE, {"spec": {"minAvailable": healthy}}, _content_type=objects.MERGE
        )
        await objects.until_budget(
            self.admin, BUDGET, lambda status: status["desiredHealthy"] == healthy, namespace=NAMESPACE
        )


@contextlib.asynccontextmanager
async def cluster(plane: ControlPlane) -> AsyncIterator[Mapping[str, ApiClient]]:
    """Make the Nodes and the shop's namespace; gives a client with each kubelet's credential."""
    async with contextlib.AsyncExitStack() as stack:
        admin = await stack.enter_async_context(client(plane.admin_kubeconfig))
        await objects.make_namespace(admin, NAMESPACE)
        kubelets = {}
        for name in WORKERS:
            await objects.make_node(admin, name)
            kubelets[name] = await stack.enter_async_context(client(plane.node_kubeconfig(name)))
        await objects.make_daemonset(admin, "agent", namespace=NAMESPACE, grace_s=1)
        for name in WORKERS:  # which the ReplicaSet then takes as its own
            await objects.make_pod(
                admin, f"{APP}-{name}", name, namespace=NAMESPACE, labels={"app": APP}, grace_s=1
            )
        await objects.make_replicaset(admin, APP, len(WORKERS), namespace=NAMESPACE, grace_s=1)
        await objects.make_budget(admin, BUDGET, {"app": APP}, namespace=NAMESPACE, min_available=NEEDED)
        yield kubelets


@contextlib.contextmanager
def fleet(folder: Path, plane: ControlPlane) -> Iterator[DevMesh]:
    """Bring up a wing for each Node, each with that Node's kubeconfig and the quick Puppet."""
    puppet = QuickPuppet.write(folder / "puppet")
    extra = {
        "puppet": {"executable": str(puppet.executable)},
        "drain": {"kubeconfig": str(plane.folder / "node-{instance}.kubeconfig")},
    }
    (folder / "extra.toml").write_text(tomli_w.dumps(extra))
    words = ("--wing-config", str(folder / "extra.toml"))
    with dev_mesh(folder / "mesh", f"worker={len(WORKERS)}", *words) as mesh:
        yield mesh


def bundles(folder: Path) -> Iterator[Path]:
    """Yield bundles, each another."""
    for number in count(1):
        yield write_bundle(folder / f"bundle-{number}", f"notify {{ 'number {number}': }}\n")


@contextlib.asynccontextmanager
async def opened(
    plane: ControlPlane, mesh: DevMesh, clients: Mapping[str, ApiClient], made: Iterator[Path]
) -> AsyncIterator[Shop]:
    """Let the actors play and the watch watch, once all of the shop's pods are there."""
    kubelets = {name: FakeKubelet(api, name) for name, api in clients.items()}
    async with (
        client(plane.admin_kubeconfig) as admin,
        playing(FakeScheduler(admin), *kubelets.values()),
    ):
        await objects.until_pods(admin, {"app": APP}, is_ready, count=len(WORKERS), namespace=NAMESPACE)
        await objects.until_budget(
            admin, BUDGET, lambda status: status["currentHealthy"] == len(WORKERS), namespace=NAMESPACE
        )
        watch = Watch(admin)
        async with playing(watch):
            await watch.caught_up()
            yield Shop(mesh=mesh, admin=admin, kubelets=kubelets, watch=watch, bundles=made)


def _unschedulable(node: Json) -> bool:
    return bool(node["spec"].get("unschedulable"))


def _owner(node: Json) -> str | None:
    owner: str | None = node["metadata"].get("annotations", {}).get(CORDONED_BY)
    return owner
