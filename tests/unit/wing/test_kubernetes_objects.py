"""What is read of Kubernetes' JSON, however little of it there is."""

from datetime import UTC, datetime

import msgspec
import pytest

from wing.cluster import Controller
from wing.eviction import Cause, Reply
from wing.kubernetes_objects import LeaseObject, NodeObject, PodPage, node_of, pods_of, reply_of, signs_of

RICH = {
    "metadata": {
        "name": "web-0",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"app": "web"},
        "annotations": {"kubernetes.io/config.mirror": ""},
        "finalizers": ["example.test/hold"],
        "deletionTimestamp": "2030-01-01T00:00:30Z",
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "friend"},
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": True},
        ],
    },
    "spec": {
        "nodeName": "worker-1",
        "priority": 100,
        "priorityClassName": "high",
        "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "disk", "hostPath": {"path": "/"}}],
        "tolerations": [{"operator": "Exists"}],
    },
    "status": {"phase": "Succeeded"},
}


def read(*items: object) -> list[object]:
    """Return the pods on a page of `items`."""
    page = msgspec.json.encode({"metadata": {}, "items": items})
    return list(pods_of(msgspec.json.decode(page, type=PodPage)))


def test_a_pod_with_everything() -> None:
    """The controller alone of its owners counts, and of its volumes those that go with it."""
    (pod,) = pods_of(msgspec.convert({"metadata": {}, "items": [RICH]}, PodPage))
    assert (pod.full_name, pod.uid, pod.node) == ("shop/web-0", "u-1", "worker-1")
    assert (pod.priority, pod.priority_class) == (100, "high")
    assert pod.controller == Controller(group="apps", kind="StatefulSet", name="web")
    assert (pod.mirror, pod.finished, pod.returns) == (True, True, True)
    assert (pod.local, pod.finalizers) == (("scratch",), ("example.test/hold",))
    assert pod.ends_at == datetime(2030, 1, 1, 0, 0, 30, tzinfo=UTC)
    assert pod.labels == {"app": "web"}


def test_a_pod_with_nothing() -> None:
    """Every field may be missing or null, and what is unknown is not looked at."""
    bare = {"metadata": {"labels": None, "new": 1}, "spec": {"volumes": None, "priority": None}}
    (pod,) = pods_of(msgspec.convert({"metadata": {}, "items": [bare]}, PodPage))
    assert (pod.controller, pod.mirror, pod.finished, pod.local, pod.ends_at) == (
        None,
        False,
        False,
        (),
        None,
    )
    assert read() == []


@pytest.mark.parametrize(
    ("toleration", "returns"),
    [
        ({"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "node.kubernetes.io/not-ready", "operator": "Exists"}, False),
    ],
)
def test_whom_a_cordon_does_not_keep_away(toleration: object, *, returns: bool) -> None:
    """A cordon is a taint, node.kubernetes.io/unschedulable:NoSchedule."""
    found = {"metadata": {}, "spec": {"tolerations": [toleration]}}
    (pod,) = pods_of(msgspec.convert({"metadata": {}, "items": [found]}, PodPage))
    assert pod.returns is returns


def test_a_node_and_its_signs() -> None:
    """Its cordon with its owner; Ready with its reason; when its Lease was renewed, to the microsecond."""
    node = msgspec.convert(
        {
            "metadata": {
                "name": "worker-1",
                "resourceVersion": "7",
                "annotations": {"tarmak.io/cordoned-by": "r-7"},
            },
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [{"type": "Ready", "status": "False", "reason": "Down", "message": "no"}]
            },
        },
        NodeObject,
    )
    lease = msgspec.json.decode(b'{"spec":{"renewTime":"2030-01-01T00:00:00.123456Z"}}', type=LeaseObject)
    found, signs = node_of(node), signs_of(node, lease)
    assert (found.name, found.version, found.cordoned, found.owner) == ("worker-1", "7", True, "r-7")
    assert (signs.ready, signs.reason) == (False, "Down: no")
    assert signs.renewed_at == datetime(2030, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    silent = signs_of(msgspec.convert({"metadata": {}}, NodeObject), None)
    assert (silent.ready, silent.reason, silent.renewed_at) == (False, "it has not said so", None)


def test_an_answer_with_a_status() -> None:
    """Message, causes and the time to wait, from the header or else from the details."""
    body = (
        b'{"message":"no","details":{"retryAfterSeconds":10,'
        b'"causes":[{"reason":"DisruptionBudget","message":"keep"}]}}'
    )
    causes = (Cause(reason="DisruptionBudget", message="keep"),)
    assert reply_of(429, body, None) == Reply(status=429, message="no", causes=causes, retry_after_s=10)
    assert reply_of(429, body, "3").retry_after_s == 3
    assert reply_of(429, body, "Wed, 21 Oct 2015 07:28:00 GMT").retry_after_s == 10


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"[1]", b'{"message":7}', b"\xff"])
def test_an_answer_that_is_no_status(body: bytes) -> None:
    """A proxy's page says nothing but its number."""
    assert reply_of(502, body, None) == Reply(status=502)
