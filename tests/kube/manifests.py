"""The JSON of what tests make in a cluster, and questions to what the server returns of it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from kubernetes_asyncio.client import ApiClient

from tests.kube.access import Change

Json = dict[str, Any]

IMAGE = "example.test/app:1"
CONTAINER = "app"
MIRROR = "kubernetes.io/config.mirror"


def as_json(api: ApiClient, made: Any) -> Json:
    """Return what the client has made a model of as the JSON that it was."""
    plain: Json = api.sanitize_for_serialization(made)
    return plain


def named(name: str) -> Callable[[Change], bool]:
    """Return whether a change is of an object `name` that exists."""
    return lambda change: not change.gone and change.object["metadata"]["name"] == name


def owner_reference(owner: Json) -> Json:
    """Return the reference by which `owner`, which has its kind in it, controls an object."""
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }


def pod_spec(
    *,
    emptydir: bool = False,
    memory_disk: bool = False,
    grace_s: int = 30,
    priority_class: str | None = None,
    requests: Mapping[str, str] | None = None,
) -> Json:
    """Return the spec of a pod with one container, and a local volume on disk or in memory if so asked."""
    medium = {"medium": "Memory"} if memory_disk else {}
    local = emptydir or memory_disk
    return {
        "containers": [{"name": CONTAINER, "image": IMAGE, "resources": {"requests": dict(requests or {})}}],
        "volumes": [{"name": "scratch", "emptyDir": medium}] if local else [],
        "terminationGracePeriodSeconds": grace_s,
        "priorityClassName": priority_class,
    }


def workload(name: str, template: Mapping[str, Any], **spec: Any) -> Json:
    """Return a controller's body, whose pods have the label app=`name` and the `pod_spec` of `template`."""
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": pod_spec(**template)}
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": pod, **spec},
    }


def mirror_pod(name: str, node: Json) -> Json:
    """Return the mirror that a kubelet makes of its static pod `name`; the node owns it."""
    owner = owner_reference({"apiVersion": "v1", "kind": "Node", "metadata": node["metadata"]})
    host = node["metadata"]["name"]
    return {
        "metadata": {
            "name": f"{name}-{host}",
            "annotations": {MIRROR: "test", "kubernetes.io/config.source": "file"},
            "ownerReferences": [owner],
        },
        "spec": {
            **pod_spec(),
            "nodeName": host,
            "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
        },
    }


def running(*, ready: bool) -> Json:
    """Return the status of a running pod."""
    started = {"running": {"startedAt": time_of_now()}}
    kinds = ("PodScheduled", "Initialized")
    return {
        "phase": "Running",
        "conditions": [
            *(condition(kind, holds=True) for kind in kinds),
            *(condition(kind, holds=ready) for kind in ("ContainersReady", "Ready")),
        ],
        "containerStatuses": [_container(started, ready=ready)],
    }


def ended(*, phase: str) -> Json:
    """Return the status of a pod whose container has ended, `phase` is Succeeded or Failed."""
    at = time_of_now()
    code = 0 if phase == "Succeeded" else 1
    state = {"terminated": {"exitCode": code, "startedAt": at, "finishedAt": at}}
    return {
        "phase": phase,
        "conditions": [condition(kind, holds=False) for kind in ("ContainersReady", "Ready")],
        "containerStatuses": [_container(state, ready=False)],
    }


def condition(kind: str, *, holds: bool) -> Json:
    """Return a condition as of now."""
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "lastTransitionTime": time_of_now(),
    }


def is_ready(found: Json) -> bool:
    """Return whether a pod or node is Ready, and not about to end."""
    if "deletionTimestamp" in found["metadata"]:
        return False
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def time_of_now() -> str:
    """Return the time as most of the API's fields have it, in seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_time_of_now() -> str:
    """Return the time as leases have it, in microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _container(state: Json, *, ready: bool) -> Json:
    return {
        "name": CONTAINER,
        "image": IMAGE,
        "imageID": IMAGE,
        "ready": ready,
        "restartCount": 0,
        "state": state,
    }
