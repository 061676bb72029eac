"""Makes what tests find in a cluster: nodes, pods and their owners, budgets, namespaces.

Each function takes the client whose credential is to be used, an admin's but for mirror pods, and returns the
object as the server's JSON. Without a kubelet nothing here becomes ready unless it is told to be.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubernetes_asyncio.client import (
    ApiClient,
    AppsV1Api,
    CoordinationV1Api,
    CoreV1Api,
    PolicyV1Api,
    SchedulingV1Api,
)

from tests.kube.access import Change, until, until_gone
from tests.kube.manifests import (
    Json,
    as_json,
    condition,
    ended,
    micro_time_of_now,
    mirror_pod,
    named,
    owner_reference,
    pod_spec,
    running,
    workload,
)

LEASES = "kube-node-lease"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


async def make_namespace(api: ApiClient, name: str) -> Json:
    """Make a namespace, and wait until pods may be made in it."""
    core = CoreV1Api(api)
    made = await core.create_namespace({"metadata": {"name": name}})
    await until(named("default"), core.list_namespaced_service_account, name)
    return as_json(api, made)


async def terminate_namespace(api: ApiClient, name: str) -> None:
    """Begin to end a namespace; it stays in that state while a finalizer holds one of its objects."""
    core = CoreV1Api(api)
    await core.delete_namespace(name)
    await until(
        lambda change: change.gone or change.object["status"]["phase"] == "Terminating",
        core.list_namespace,
        field_selector=f"metadata.name={name}",
    )


async def make_node(
    api: ApiClient, name: str, *, ready: bool = True, labels: Mapping[str, str] | None = None
) -> Json:
    """Make a node with a lease, as a kubelet does that registers itself."""
    metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}}
    await CoreV1Api(api).create_node({"metadata": metadata})
    await renew_lease(api, name)
    return await set_node_ready(api, name, ready=ready)


async def remove_node(api: ApiClient, name: str) -> None:
    """Remove a node, and the pods bound to it without waiting for them."""
    core = CoreV1Api(api)
    for pod in (await core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={name}")).items:
        await remove_pod(api, pod.metadata.name, pod.metadata.namespace)
    await core.delete_node(name)
    await until_gone(name, core.list_node)


async def set_node_ready(api: ApiClient, name: str, *, ready: bool) -> Json:
    """Set the node's Ready condition, and take away what else keeps pods off a new node."""
    room = {"cpu": "64", "memory": "256Gi", "pods": "1000"}
    status = {"conditions": [condition("Ready", holds=ready)], "capacity": room, "allocatable": room}
    core = CoreV1Api(api)
    if ready:
        await core.patch_node(name, {"spec": {"taints": None}}, _content_type=MERGE)
    patched = await core.patch_node_status(name, {"status": status}, _content_type=STRATEGIC)
    return as_json(api, patched)


async def set_schedulable(api: ApiClient, name: str, *, schedulable: bool) -> Json:
    """Cordon or uncordon a node."""
    spec = {"unschedulable": None if schedulable else True}
    return as_json(api, await CoreV1Api(api).patch_node(name, {"spec": spec}, _content_type=MERGE))


async def renew_lease(api: ApiClient, node: str) -> Json:
    """Renew the node's lease with the time of now; it is made when there is none."""
    leases = CoordinationV1Api(api)
    spec = {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": micro_time_of_now()}
    body = {"metadata": {"name": node}, "spec": spec}
    found = await leases.list_namespaced_lease(LEASES, field_selector=f"metadata.name={node}")
    if not found.items:
        return as_json(api, await leases.create_namespaced_lease(LEASES, body))
    return as_json(api, await leases.patch_namespaced_lease(node, LEASES, body, _content_type=MERGE))


async def set_own_lease(kubelet: ApiClient, node: str) -> Json:
    """Renew the node's lease with its kubelet's own credential, which may not list leases."""
    body = {"spec": {"renewTime": micro_time_of_now()}}
    renewed = await CoordinationV1Api(kubelet).patch_namespaced_lease(node, LEASES, body, _content_type=MERGE)
    return as_json(kubelet, renewed)


async def make_pod(
    api: ApiClient,
    name: str,
    node: str | None = None,
    *,
    namespace: str = "default",
    controller: Json | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    finalizers: Sequence[str] = (),
    ready: bool = True,
    **spec: Any,
) -> Json:
    """Make a pod that is bound to `node` from its start; `ready` makes it Running and Ready too.

    `spec` is for `pod_spec`.
    """
    body: Json = {
        "metadata": {
            "name": name,
            "labels": dict(labels or {}),
            "annotations": dict(annotations or {}),
            "finalizers": list(finalizers),
            "ownerReferences": [owner_reference(controller)] if controller else [],
        },
        "spec": {**pod_spec(**spec), "nodeName": node},
    }
    made = as_json(api, await CoreV1Api(api).create_namespaced_pod(namespace, body))
    return await set_pod_ready(api, made) if ready and node else made


async def make_mirror_pod(
    kubelet: ApiClient, name: str, node: Json, *, namespace: str = "kube-system"
) -> Json:
    """Make the mirror of a static pod with the kubelet's own credential, which alone may; it is Ready."""
    made = await CoreV1Api(kubelet).create_namespaced_pod(namespace, mirror_pod(name, node))
    return await set_pod_ready(kubelet, as_json(kubelet, made))


async def set_pod_ready(api: ApiClient, pod: Json, *, ready: bool = True) -> Json:
    """Set a pod Running, and Ready or not."""
    return await _set_pod_status(api, pod, running(ready=ready))


async def set_pod_ended(api: ApiClient, pod: Json, *, phase: str = "Succeeded") -> Json:
    """Set a pod Succeeded or Failed, its container ended."""
    return await _set_pod_status(api, pod, ended(phase=phase))


async def _set_pod_status(api: ApiClient, pod: Json, status: Json) -> Json:
    metadata = pod["metadata"]
    patched = await CoreV1Api(api).patch_namespaced_pod_status(
        metadata["name"],
        metadata["namespace"],
        {"metadata": {"uid": metadata["uid"]}, "status": status},
        _content_type=STRATEGIC,
    )
    return as_json(api, patched)


async def remove_pod(api: ApiClient, name: str, namespace: str = "default") -> None:
    """Remove a pod at once, its finalizers too."""
    core = CoreV1Api(api)
    await core.patch_namespaced_pod(name, namespace, {"metadata": {"finalizers": None}}, _content_type=MERGE)
    await core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)


async def make_budget(
    api: ApiClient,
    name: str,
    labels: Mapping[str, str],
    *,
    namespace: str = "default",
    min_available: int | str | None = None,
    max_unavailable: int | str | None = None,
    evict_unready: bool = False,
) -> Json:
    """Make a disruption budget, and wait until the controller has said what it allows."""
    spec = {
        "selector": {"matchLabels": dict(labels)},
        "minAvailable": min_available,
        "maxUnavailable": max_unavailable,
        "unhealthyPodEvictionPolicy": "AlwaysAllow" if evict_unready else None,
    }
    policy = PolicyV1Api(api)
    await policy.create_namespaced_pod_disruption_budget(
        namespace, {"metadata": {"name": name}, "spec": spec}
    )
    return await until_budget(api, name, lambda status: "observedGeneration" in status, namespace=namespace)


async def until_budget(
    api: ApiClient, name: str, seen: Callable[[Json], bool], *, namespace: str = "default"
) -> Json:
    """Wait until a budget's status fits."""
    return await until(
        lambda change: seen(change.object.get("status", {})),
        PolicyV1Api(api).list_namespaced_pod_disruption_budget,
        namespace,
        field_selector=f"metadata.name={name}",
    )


async def make_deployment(
    api: ApiClient, name: str, replicas: int, *, namespace: str = "default", **template: Any
) -> Json:
    """Make a deployment, whose pods have the label app=`name`; `template` is for `pod_spec`."""
    body = workload(name, template, replicas=replicas)
    return as_json(api, await AppsV1Api(api).create_namespaced_deployment(namespace, body))


async def make_replicaset(
    api: ApiClient, name: str, replicas: int, *, namespace: str = "default", **template: Any
) -> Json:
    """Make a ReplicaSet, whose pods have the label app=`name`.

    It adopts pods of that label which nobody controls, so a test that cares where each is makes them first.
    """
    body = workload(name, template, replicas=replicas)
    return as_json(api, await AppsV1Api(api).create_namespaced_replica_set(namespace, body))


async def make_statefulset(
    api: ApiClient, name: str, replicas: int, *, namespace: str = "default", **template: Any
) -> Json:
    """Make a StatefulSet, whose pods have the label app=`name` and come back under their own names."""
    body = workload(name, template, replicas=replicas, serviceName=name)
    return as_json(api, await AppsV1Api(api).create_namespaced_stateful_set(namespace, body))


async def make_daemonset(api: ApiClient, name: str, *, namespace: str = "default", **template: Any) -> Json:
    """Make a DaemonSet, whose pods have the label app=`name`; each node gets one, cordoned or not."""
    body = workload(name, template)
    return as_json(api, await AppsV1Api(api).create_namespaced_daemon_set(namespace, body))


async def make_priority_class(api: ApiClient, name: str, value: int) -> Json:
    """Make a priority class."""
    body = {"metadata": {"name": name}, "value": value}
    return as_json(api, await SchedulingV1Api(api).create_priority_class(body))


async def evict(api: ApiClient, pod: Json, *, uid: str | None = None, dry_run: bool = False) -> None:
    """Ask for a pod's eviction; raises ApiException with the server's own answer."""
    metadata = pod["metadata"]
    body: Json = {"metadata": {"name": metadata["name"], "namespace": metadata["namespace"]}}
    if uid is not None:
        body["deleteOptions"] = {"preconditions": {"uid": uid}}
    if dry_run:
        body.setdefault("deleteOptions", {})["dryRun"] = ["All"]
    await CoreV1Api(api).create_namespaced_pod_eviction(metadata["name"], metadata["namespace"], body)


async def until_pods(
    api: ApiClient, labels: Mapping[str, str], seen: Callable[[Json], bool], *, count: int, namespace: str
) -> list[Json]:
    """Wait until `count` pods with `labels` fit at the same time."""
    fitting: dict[str, Json] = {}

    def enough(change: Change) -> bool:
        name = change.object["metadata"]["name"]
        fitting.pop(name, None)
        if not change.gone and seen(change.object):
            fitting[name] = change.object
        return len(fitting) >= count

    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    await until(enough, CoreV1Api(api).list_namespaced_pod, namespace, label_selector=selector)
    return list(fitting.values())
