"""A test's own part of a real cluster, its API asked with a real kubelet's credential."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping

from kubernetes_asyncio.client import BatchV1Api, CoreV1Api, PolicyV1Api

from tests.contract.cluster.sites import WEB
from tests.kube import objects
from tests.kube.access import until
from tests.kube.actors import FakeKubelet, FakeScheduler, playing
from tests.kube.manifests import Json, as_json, is_ready, pod_spec
from tests.kube.place import Node, Place
from wing.kubernetes import KubernetesNode, node_api


class RealSite:
    """`Site` on a control plane of its own kind; kubelets and a scheduler are played."""

    def __init__(
        self, own: Place, nodes: tuple[Node, Node], kubelet: FakeKubelet, job: Json, api: KubernetesNode
    ) -> None:
        self.own = own
        self.kubelet = kubelet
        self.api = api
        self.node, self.other = (node.name for node in nodes)
        self.namespace = own.namespace
        self._credential, self._object = nodes[0].api, nodes[0].object
        self._job = job
        self._mirrors: set[str] = set()

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
        made = await objects.make_pod(
            self.own.admin,
            name,
            self.node,
            namespace=self._namespace_of(priority_class),
            controller=self._job if controlled and priority_class is None else None,
            labels=labels,
            finalizers=tuple(finalizers),
            emptydir=emptydir,
            priority_class=priority_class,
            grace_s=0 if finished else 1,
            ready=not finished,
        )
        if finished:
            # The kubelet that is played makes it ready, and would do so after its end too if it came late.
            await objects.until_pods(self.own.admin, labels, is_ready, count=1, namespace=self.namespace)
            await objects.set_pod_ended(self.own.admin, made)

    async def daemon(self, name: str) -> None:
        await objects.make_daemonset(self.own.admin, name, namespace=self.namespace)
        await objects.until_pods(
            self.own.admin,
            {"app": name},
            lambda pod: is_ready(pod) and pod["spec"]["nodeName"] == self.node,
            count=1,
            namespace=self.namespace,
        )

    async def mirror(self, name: str) -> None:
        await objects.make_mirror_pod(self._credential, name, self._object, namespace=self.namespace)

    async def stateful(self, name: str) -> None:
        admin = self.own.admin
        await objects.set_schedulable(admin, self.other, schedulable=False)
        await objects.make_statefulset(admin, name, 1, namespace=self.namespace, grace_s=1)
        await objects.until_pods(admin, {"app": name}, is_ready, count=1, namespace=self.namespace)
        await objects.set_schedulable(admin, self.other, schedulable=True)

    async def budget(self, name: str, labels: Mapping[str, str] = WEB, *, min_available: int = 1) -> None:
        await objects.make_budget(
            self.own.admin, name, labels, namespace=self.namespace, min_available=min_available
        )

    async def drop_budget(self, name: str) -> None:
        await PolicyV1Api(self.own.admin).delete_namespaced_pod_disruption_budget(name, self.namespace)

    async def release(self, name: str) -> None:
        await CoreV1Api(self.own.admin).patch_namespaced_pod(
            name, self.namespace, {"metadata": {"finalizers": None}}, _content_type=objects.MERGE
        )

    async def end_namespace(self) -> None:
        await objects.terminate_namespace(self.own.admin, self.namespace)
        await until(
            lambda change: "deletionTimestamp" in change.object["metadata"],
            CoreV1Api(self.own.admin).list_namespaced_pod,
            self.namespace,
        )

    async def set_cordon(self, *, cordoned: bool) -> None:
        await objects.set_schedulable(self.own.admin, self.node, schedulable=not cordoned)

    async def stop(self) -> None:
        await self.own.plane.stop_apiserver()

    async def start(self) -> None:
        await self.own.plane.start_apiserver()

    async def pods_on(self, node: str) -> set[str]:
        listed = await CoreV1Api(self.own.admin).list_pod_for_all_namespaces(
            field_selector=f"spec.nodeName={node}"
        )
        return {pod.metadata.name for pod in listed.items}

    def _namespace_of(self, priority_class: str | None) -> str:
        # Kubernetes takes its own priority classes in its own namespace only, unless a quota says otherwise.
        return self.namespace if priority_class is None else "kube-system"


@contextlib.asynccontextmanager
async def real_site(own: Place) -> AsyncIterator[RealSite]:
    """Two nodes with kubelets, a scheduler, and a Job that nobody works at to be pods' controller."""
    nodes = await own.node("a"), await own.node("b")
    template = {"spec": {**pod_spec(), "restartPolicy": "Never"}}
    job = {"metadata": {"name": "owner"}, "spec": {"suspend": True, "template": template}}
    made = as_json(own.admin, await BatchV1Api(own.admin).create_namespaced_job(own.namespace, job))
    made |= {"apiVersion": "batch/v1", "kind": "Job"}
    kubelets = [node.kubelet for node in nodes]
    kubeconfig = own.plane.node_kubeconfig(nodes[0].name)
    async with playing(FakeScheduler(own.admin), *kubelets), node_api(kubeconfig, nodes[0].name) as api:
        yield RealSite(own, nodes, kubelets[0], made, api)
