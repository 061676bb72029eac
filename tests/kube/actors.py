"""Plays the kubelets and the scheduler, which a control plane without machines lacks.

Without them a terminating pod would stay for ever, and no evicted pod would come back elsewhere, so that a
budget which blocks once would block always. Both look only at what the API server tells, as the real ones do.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import aiohttp
from kubernetes_asyncio.client import ApiClient, CoreV1Api
from kubernetes_asyncio.client.exceptions import ApiException

from tests.kube.access import RETRY_S, Change, changes
from tests.kube.manifests import Json, is_ready
from tests.kube.objects import set_own_lease, set_pod_ended, set_pod_ready

ATTEMPTS = 50
RENEWAL_S = 1.0
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
BINDING = "/api/v1/namespaces/{namespace}/pods/{name}/binding"


class Actor(Protocol):
    """Plays until it is cancelled."""

    async def run(self) -> None: ...


class FakeKubelet:
    """Makes each pod that is bound to `node` Running and Ready, ends those that are to end, renews the Lease.

    It uses the kubelet's own credential. A pod that is to end is Succeeded first and then deleted without
    grace; as with a real kubelet one with finalizers stays until somebody takes them away. A real one renews
    its Lease every 10 s, this one more often, since tests wait for it; while not `alive` it leaves it alone.
    """

    def __init__(self, kubelet: ApiClient, node: str) -> None:
        self._api = kubelet
        self._node = node
        self.alive = True
        self._begun: set[tuple[str, bool]] = set()

    async def run(self) -> None:
        """Do so until cancelled."""
        core = CoreV1Api(self._api)
        own = f"spec.nodeName={self._node}"
        async with (
            asyncio.TaskGroup() as tasks,
            contextlib.aclosing(changes(core.list_pod_for_all_namespaces, field_selector=own)) as told,
        ):
            tasks.create_task(self._renew(), name="tests.kube.kubelet.lease")
            async for change in told:
                step = self._step(change)
                if step is not None:
                    tasks.create_task(insist(step), name="tests.kube.kubelet")

    def _step(self, change: Change) -> Callable[[], Awaitable[object]] | None:
        """Return what is to be done about a pod, each thing once."""
        pod = change.object
        ending = "deletionTimestamp" in pod["metadata"]
        begun = (pod["metadata"]["uid"], ending)
        if change.gone or begun in self._begun:
            return None
        self._begun.add(begun)
        if ending:
            return partial(self._end, pod)
        if pod["status"].get("phase") == "Pending":
            return partial(set_pod_ready, self._api, pod)
        return None

    async def _renew(self) -> None:
        while True:
            if self.alive:
                await insist(partial(set_own_lease, self._api, self._node))
            await asyncio.sleep(RENEWAL_S)

    async def _end(self, pod: Json) -> None:
        metadata = pod["metadata"]
        await set_pod_ended(self._api, pod)
        await CoreV1Api(self._api).delete_namespaced_pod(
            metadata["name"],
            metadata["namespace"],
            body={"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}},
        )


class FakeScheduler:
    """Binds each pod without a node to the schedulable one with the fewest pods; a DaemonSet's to its own."""

    def __init__(self, admin: ApiClient) -> None:
        self._api = admin
        self._nodes: dict[str, Json] = {}
        self._pods: dict[str, Json] = {}
        self._bound: dict[str, str] = {}

    async def run(self) -> None:
        """Do so until cancelled."""
        core = CoreV1Api(self._api)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(core.list_node, self._nodes), name="tests.kube.scheduler.nodes")
            tasks.create_task(
                self._follow(core.list_pod_for_all_namespaces, self._pods), name="tests.kube.scheduler.pods"
            )

    async def _follow(self, listing: Callable[..., Awaitable[Any]], known: dict[str, Json]) -> None:
        async with contextlib.aclosing(changes(listing)) as told:
            async for change in told:
                uid = change.object["metadata"]["uid"]
                known.pop(uid, None)
                if not change.gone:
                    known[uid] = change.object
                await self._step()

    async def _step(self) -> None:
        for uid, pod in list(self._pods.items()):
            if uid in self._bound or _is_placed(pod):
                continue
            node = choose(pod, list(self._nodes.values()), self._load())
            if node is not None:
                self._bound[uid] = node
                await insist(partial(self._bind, pod, node))

    def _load(self) -> Counter[str]:
        """Return the number of pods of each node; one bound just now counts before the watch tells of it."""
        places = (pod["spec"].get("nodeName") or self._bound.get(uid) for uid, pod in self._pods.items())
        return Counter(place for place in places if place)

    async def _bind(self, pod: Json, node: str) -> None:
        metadata = pod["metadata"]
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        await self._api.call_api(
            BINDING,
            "POST",
            path_params={"name": metadata["name"], "namespace": metadata["namespace"]},
            header_params={"Content-Type": "application/json", "Accept": "application/json"},
            body={"metadata": {"name": metadata["name"], "uid": metadata["uid"]}, "target": target},
        )


def choose(pod: Json, nodes: list[Json], load: Counter[str]) -> str | None:
    """Return the node for a pod, or None while there is none."""
    fitting = [node["metadata"]["name"] for node in nodes if _fits(pod, node)]
    return min(fitting, key=lambda name: (load[name], name), default=None)


@contextlib.asynccontextmanager
async def playing(*actors: Actor) -> AsyncIterator[None]:
    """Let actors play as long as the block lasts."""
    async with asyncio.TaskGroup() as tasks:
        parts = [tasks.create_task(actor.run(), name="tests.kube.actor") for actor in actors]
        try:
            yield
        finally:
            for part in parts:
                part.cancel()


async def insist(step: Callable[[], Awaitable[object]]) -> None:
    """Do `step`; again while the server is away, or knows not yet what a watch has told already.

    It gives up in the end, since what a pod needed may have gone with the pod.
    """
    for _ in range(ATTEMPTS):
        with contextlib.suppress(ApiException, aiohttp.ClientError, ConnectionError):
            await step()
            return
        await asyncio.sleep(RETRY_S)


def _is_placed(pod: Json) -> bool:
    return "nodeName" in pod["spec"] or "deletionTimestamp" in pod["metadata"]


def _fits(pod: Json, node: Json) -> bool:
    name, spec = node["metadata"]["name"], pod["spec"]
    labels = node["metadata"].get("labels", {})
    if not is_ready(node) or any(
        labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()
    ):
        return False
    if node["spec"].get("unschedulable") and not _tolerates_cordon(spec):
        return False
    wanted = _wanted_names(spec)
    return not wanted or name in wanted


def _tolerates_cordon(spec: Json) -> bool:
    return any(toleration.get("key") == UNSCHEDULABLE for toleration in spec.get("tolerations", []))


def _wanted_names(spec: Json) -> list[str]:
    """Return the nodes that a DaemonSet's pod is meant for."""
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.get("nodeSelectorTerms", [])
    fields = [field for term in terms for field in term.get("matchFields", [])]
    return [value for field in fields if field["key"] == "metadata.name" for value in field["values"]]
