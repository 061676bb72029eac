"""A cluster in memory that answers its node as a real API server does, under the same suite."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tests.contract.cluster.sites import WEB
from wing.cluster import (
    Answer,
    Busy,
    ConflictError,
    Controller,
    Doubtful,
    Granted,
    Held,
    NamespaceEnding,
    Node,
    Pod,
    Refused,
    UnreachableError,
)

GONE = "the API server can't be reached: it is stopped"
PRIORITIES = {None: 0, "system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


@dataclass
class MemoryCluster:
    """One node under test, and another for what comes back; `api` is the cluster itself."""

    node_: Node = field(default_factory=lambda: Node(name="node-a", version="1"))
    other: str = "node-b"
    namespace: str = "shop"
    up: bool = True
    ending: bool = False
    all_pods: dict[str, Pod] = field(default_factory=dict)
    budgets: dict[str, tuple[Mapping[str, str], int]] = field(default_factory=dict)
    returning: set[str] = field(default_factory=set)
    _uids: itertools.count = field(default_factory=lambda: itertools.count(1))  # type: ignore[type-arg]

    @property
    def node_name(self) -> str:
        return self.node_.name

    # The node's own way to it --------------------------------------------------------------------------

    async def node(self) -> Node:
        await self._answer()
        return self.node_

    async def cordon(self, node: Node, owner: str, at: datetime) -> None:
        del at
        await self._answer()
        self._change(node, cordoned=True, owner=owner)

    async def uncordon(self, node: Node) -> None:
        await self._answer()
        self._change(node, cordoned=False, owner=None)

    async def pods(self) -> Sequence[Pod]:
        await self._answer()
        return tuple(pod for pod in self.all_pods.values() if pod.node == self.node_.name)

    async def evict(self, pod: Pod, grace_s: int | None) -> Answer:
        return await self._asked(pod, grace_s, past_budgets=False)

    async def delete(self, pod: Pod, grace_s: int | None) -> Answer:
        return await self._asked(pod, grace_s, past_budgets=True)

    # What others do to it ------------------------------------------------------------------------------

    def put(self, pod: Pod) -> None:
        """Let a pod be there."""
        self.all_pods[pod.uid] = pod

    def uid(self) -> str:
        """Return a uid that no pod has had."""
        return f"uid-{next(self._uids)}"

    def change_node(self, **changes: object) -> None:
        """Change the node as somebody else."""
        changed = replace(self.node_, **changes)  # type: ignore[arg-type] # by field name
        self.node_ = replace(changed, version=str(int(self.node_.version) + 1))

    def end(self, pod: Pod) -> None:
        """Do what a kubelet does with a pod that is to end: it is gone, unless finalizers hold it."""
        now = self.all_pods.get(pod.uid)
        if now is None or now.finalizers:
            return
        del self.all_pods[pod.uid]
        if pod.name in self.returning:
            self.put(replace(pod, uid=self.uid(), node=self.other, ends_at=None))

    # ---------------------------------------------------------------------------------------------------

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if not self.up:
            raise UnreachableError(GONE)

    def _change(self, node: Node, *, cordoned: bool, owner: str | None) -> None:
        if node.version != self.node_.version:
            raise ConflictError("the object has been modified")
        self.change_node(cordoned=cordoned, owner=owner)

    async def _asked(  # noqa: PLR0911 - in the order in which the real one looks
        self, pod: Pod, grace_s: int | None, *, past_budgets: bool
    ) -> Answer:
        del grace_s
        try:
            await self._answer()
        except UnreachableError as error:
            return Busy(reason=error.reason)
        named = [one for one in self.all_pods.values() if one.full_name == pod.full_name]
        if not named:
            return Doubtful(reason="pods not found (status 404)")
        if named[0].node != self.node_.name:
            return Doubtful(reason="can only evict pods with spec.nodeName set to itself (status 403)")
        if self.ending and not past_budgets:
            return NamespaceEnding(reason=f"namespace {self.namespace} is being terminated (status 403)")
        held = None if past_budgets else self._held(named[0])
        if held is not None:
            return held
        if named[0].uid != pod.uid:
            return Doubtful(reason="the UID in the precondition does not match (status 409)")
        self._terminate(pod.uid)
        return Granted()

    def _held(self, pod: Pod) -> Held | Refused | None:
        over = [name for name, (labels, _) in self.budgets.items() if labels.items() <= pod.labels.items()]
        if len(over) > 1:
            return Refused(reason="This pod has more than one PodDisruptionBudget (status 500)")
        if not over or pod.finished:
            return None
        labels, needed = self.budgets[over[0]]
        healthy = sum(
            labels.items() <= one.labels.items() and not one.finished and one.ends_at is None
            for one in self.all_pods.values()
        )
        if healthy > needed:
            return None
        reason = f"The disruption budget {over[0]} needs {needed} healthy pods and has {healthy} currently"
        return Held(reason=reason, budget=f"{pod.namespace}/{over[0]}", healthy=healthy, needed=needed)

    def _terminate(self, uid: str) -> None:
        pod = self.all_pods[uid]
        if pod.ends_at is None:
            self.all_pods[uid] = replace(pod, ends_at=datetime.now(UTC))
            asyncio.get_running_loop().call_soon(self.end, pod)


class MemorySite:
    """`Site` on a cluster in memory."""

    def __init__(self) -> None:
        self.api = MemoryCluster()
        self.node = self.api.node_.name
        self.other = self.api.other
        self.namespace = self.api.namespace

    async def pod(
        self,
        name: str,
        *,
        controlled: bool = True,
        emptydir: bool = False,
        labels: Mapping[str, str] = WEB,
        finalizers: Iterable[str] = (),
        finished: bool = False,
        priority_class: str | None = None,
    ) -> None:
        self.api.put(
            Pod(
                namespace=self.namespace,
                name=name,
                uid=self.api.uid(),
                node=self.node,
                priority=PRIORITIES[priority_class],
                priority_class=priority_class or "",
                controller=Controller(group="batch", kind="Job", name="job") if controlled else None,
                finished=finished,
                local=("scratch",) if emptydir else (),
                finalizers=tuple(finalizers),
                labels=dict(labels),
            )
        )

    async def daemon(self, name: str) -> None:
        controller = Controller(group="apps", kind="DaemonSet", name=name)
        await self.pod(f"{name}-x", labels={"app": name})
        pod = self._named(f"{name}-x")
        self.api.put(replace(pod, controller=controller, returns=True))

    async def mirror(self, name: str) -> None:
        await self.pod(f"{name}-{self.node}", controlled=False, labels={})
        self.api.put(replace(self._named(f"{name}-{self.node}"), mirror=True))

    async def stateful(self, name: str) -> None:
        await self.pod(f"{name}-0", labels={"app": name})
        self.api.returning.add(f"{name}-0")

    async def budget(self, name: str, labels: Mapping[str, str] = WEB, *, min_available: int = 1) -> None:
        self.api.budgets[name] = (labels, min_available)

    async def drop_budget(self, name: str) -> None:
        del self.api.budgets[name]

    async def release(self, name: str) -> None:
        pod = replace(self._named(name), finalizers=())
        self.api.put(pod)
        if pod.ends_at is not None:
            self.api.end(pod)

    async def end_namespace(self) -> None:
        self.api.ending = True
        for pod in tuple(self.api.all_pods.values()):
            self.api._terminate(pod.uid)

    async def set_cordon(self, *, cordoned: bool) -> None:
        self.api.change_node(cordoned=cordoned)

    async def stop(self) -> None:
        self.api.up = False

    async def start(self) -> None:
        self.api.up = True

    async def pods_on(self, node: str) -> set[str]:
        return {pod.name for pod in self.api.all_pods.values() if pod.node == node}

    def _named(self, name: str) -> Pod:
        return next(pod for pod in self.api.all_pods.values() if pod.name == name)


@contextlib.asynccontextmanager
async def memory_site() -> AsyncIterator[MemorySite]:
    """A site of the test's own."""
    yield MemorySite()
