"""What of Kubernetes' objects is read, and what a pod requests by the scheduler's own count."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from orchestrator.adapters.kubernetes.objects import (
    BudgetObject,
    NodeObject,
    PodObject,
    asks_of,
    budget_of,
    node_of,
    pod_of,
    room_of,
    status_of,
)
from orchestrator.domain.picture import Amounts, Requirement, Taint, Toleration

Json = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(spec: Json | None = None, status: Json | None = None, **metadata: Any) -> PodObject:
    plain = {"metadata": {"name": "p", **metadata}, "spec": spec or {}, "status": status or {}}
    return msgspec.convert(plain, PodObject)


def box(cpu: str, memory: str = "0", **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu_m"),
    [
        ({}, 0),
        ({"containers": [box("100m"), box("1"), {}]}, 1100),
        ({"containers": [box("100m")], "initContainers": [box("2"), box("1")]}, 2000),
        ({"containers": [box("100m")], "initContainers": [box("50m", restartPolicy="Always")]}, 150),
        (
            {
                "containers": [box("100m")],
                "initContainers": [box("500m", restartPolicy="Always"), box("1"), box("300m")],
            },
            1500,
        ),
        ({"containers": [box("100m")], "overhead": {"cpu": "250m"}}, 350),
        ({"containers": [box("100m")], "resources": {"requests": {"cpu": "4"}}}, 4000),
        ({"containers": [box("100m")], "resources": {"requests": {"memory": "1Gi"}}}, 100),
    ],
)
def test_what_a_pod_requests(spec: dict[str, Any], cpu_m: int) -> None:
    """Its containers and sidecars together, or more at its start; with overhead, or as the pod says."""
    assert asks_of(pod(spec)).cpu_m == cpu_m


def test_memory_and_a_place_count_too() -> None:
    """In bytes, and one pod each."""
    assert asks_of(pod({"containers": [box("1", "1Gi")]})) == Amounts(cpu_m=1000, memory=2**30, pods=1)


@pytest.mark.parametrize(
    ("metadata", "stays"),
    [
        ({}, False),
        ({"ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": True}]}, False),
        ({"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "controller": True}]}, True),
        ({"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet"}]}, False),
        ({"ownerReferences": [{"apiVersion": "other/v1", "kind": "DaemonSet", "controller": True}]}, False),
        ({"annotations": {"kubernetes.io/config.mirror": "x"}}, True),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, True),
    ],
)
def test_what_stays_or_goes_anyway(metadata: dict[str, Any], stays: bool) -> None:  # noqa: FBT001
    """A DaemonSet's pods, static ones, and those that are ending need no other place."""
    assert pod(**metadata).stays is stays


def test_a_pod_as_the_judgement_needs_it() -> None:
    """Readiness, phase, class, labels, tolerations."""
    spec = {
        "nodeName": "n",
        "priorityClassName": "system-node-critical",
        "tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoSchedule"}],
    }
    status = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]}
    found = pod_of(pod(spec, status, namespace="shop", labels={"app": "cart"}))
    assert (found.full_name, found.node, found.labels) == ("shop/p", "n", {"app": "cart"})
    assert (found.ready, found.pending, found.critical) == (False, True, True)
    assert found.tolerations == {
        Toleration(key="", value="", effect="", exists=True),
        Toleration(key="a", value="b", effect="NoSchedule", exists=False),
    }


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_holds_nothing(phase: str) -> None:
    """Nothing of it runs any more."""
    assert pod(status={"phase": phase}).is_finished


@pytest.mark.parametrize(
    ("conditions", "ready", "reason"),
    [
        ([{"type": "Ready", "status": "True", "reason": "KubeletReady"}], True, ""),
        (
            [
                {
                    "type": "Ready",
                    "status": "Unknown",
                    "reason": "NodeStatusUnknown",
                    "message": "stopped posting",
                }
            ],
            False,
            "NodeStatusUnknown: stopped posting",
        ),
        ([{"type": "MemoryPressure", "status": "False"}], False, "it has not said so"),
        (None, False, "it has not said so"),
        ([{"type": "Ready", "status": "False", "message": "x" * 1000}], False, "x" * 200),
    ],
)
def test_why_a_node_is_not_ready(conditions: Any, ready: bool, reason: str) -> None:  # noqa: FBT001
    """In the kubelet's own words, cut where they are long."""
    plain = {"metadata": {"name": "n"}, "status": {"conditions": conditions}}
    found = node_of(msgspec.convert(plain, NodeObject), NOW)
    assert (found.ready, found.reason, found.seen_at) == (ready, reason, NOW)


def test_a_nodes_room() -> None:
    """What it has, its taints; one that is going away takes nobody."""
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    plain: dict[str, Any] = {
        "metadata": {"name": "n"},
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {**ready, "allocatable": {"cpu": "3920m", "memory": "1Gi", "pods": "110"}},
    }
    found = room_of(msgspec.convert(plain, NodeObject), Amounts(pods=10))
    assert found.usable
    assert found.free == Amounts(cpu_m=3920, memory=2**30, pods=100)
    assert found.taints == (Taint(key="k", value="", effect="NoSchedule"),)
    plain["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not room_of(msgspec.convert(plain, NodeObject), Amounts()).usable


@pytest.mark.parametrize(
    ("selector", "requirements"),
    [
        (None, None),
        ({}, ()),
        (
            {
                "matchLabels": {"app": "cart"},
                "matchExpressions": [
                    {"key": "tier", "operator": "NotIn", "values": ["web"]},
                    {"key": "old", "operator": "DoesNotExist"},
                ],
            },
            (
                Requirement(key="app", operator="In", values=("cart",)),
                Requirement(key="tier", operator="NotIn", values=("web",)),
                Requirement(key="old", operator="DoesNotExist"),
            ),
        ),
    ],
)
def test_whom_a_budget_selects(selector: Any, requirements: Any) -> None:
    """None is nobody, an empty one everybody."""
    plain = {"metadata": {"namespace": "shop", "name": "cart"}, "spec": {"selector": selector}}
    assert budget_of(msgspec.convert(plain, BudgetObject)).selector == requirements


def test_a_budget_that_lets_unready_pods_go() -> None:
    """Only where its policy says so."""
    plain = {"metadata": {}, "spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}}
    assert budget_of(msgspec.convert(plain, BudgetObject)).evicts_unready


def test_a_refusal_without_words_has_none() -> None:
    """A proxy's page is no Status."""
    assert status_of(b"<html>").message == ""
