"""What the wing builds upon: what a real API server lets a node's credential do, and how it refuses.

Where Kubernetes changes one of these, a test here says so before the wing's own tests fail of it.
"""

from kubernetes_asyncio.client import CoreV1Api, PolicyV1Api

from tests.kube import objects
from tests.kube.access import Answer, answer, until, until_answer, until_gone
from tests.kube.actors import FakeScheduler, playing
from tests.kube.manifests import Json, is_ready
from tests.kube.place import Node, Place

NOBODY = "00000000-0000-0000-0000-000000000000"
LABELS = {"app": "web"}


async def pod_on(own: Place, node: Node, name: str = "web") -> Json:
    """Make a ready pod on a node."""
    return await objects.make_pod(own.admin, name, node.name, namespace=own.namespace, labels=LABELS)


async def refused(status: int, node: Node, pod: Json, *, uid: str | None = None) -> Answer:
    """Ask for an eviction until the answer is `status`."""
    return await until_answer(status, lambda: objects.evict(node.api, pod, uid=uid))


async def test_node_evicts_its_own_pod(own: Place) -> None:
    """A node's credential may evict a pod bound to that node; the pod goes when its kubelet has ended it."""
    node = await own.node("a")
    pod = await pod_on(own, node)
    core = CoreV1Api(own.admin)
    async with playing(node.kubelet):
        await refused(200, node, pod, uid=pod["metadata"]["uid"])
        await until_gone("web", core.list_namespaced_pod, own.namespace)


async def test_node_evicts_no_pod_of_another_node(own: Place) -> None:
    """The eviction of another node's pod is forbidden."""
    node, other = await own.node("a"), await own.node("b")
    pod = await pod_on(own, other)
    said = await refused(403, node, pod)
    assert "can only evict pods with spec.nodeName set to itself" in said.body["message"]


async def test_node_sees_its_own_pods_alone(own: Place) -> None:
    """A node may list the pods bound to it, and neither those of another node nor all of them."""
    node, other = await own.node("a"), await own.node("b")
    await pod_on(own, node, "mine")
    await pod_on(own, other, "theirs")
    core = CoreV1Api(node.api)
    mine = await core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={node.name}")
    assert [pod.metadata.name for pod in mine.items] == ["mine"]
    theirs = core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={other.name}")
    assert (await answer(theirs)).status == 403
    assert (await answer(core.list_pod_for_all_namespaces())).status == 403


async def test_node_reads_no_budgets(own: Place) -> None:
    """A node may not read disruption budgets, so that only an eviction's answer tells of one."""
    node = await own.node("a")
    policy = PolicyV1Api(node.api)
    listed = policy.list_namespaced_pod_disruption_budget(own.namespace)
    assert (await answer(listed)).status == 403


async def test_vanished_pod_is_forbidden_to_read(own: Place) -> None:
    """A pod that is gone is forbidden to its node, not absent; its eviction says that it is absent."""
    node = await own.node("a")
    pod = await pod_on(own, node)
    await objects.remove_pod(own.admin, "web", own.namespace)
    core = CoreV1Api(node.api)
    said = await until_answer(403, lambda: core.read_namespaced_pod("web", own.namespace))
    assert said.body["message"].endswith(f"no relationship found between node '{node.name}' and this object")
    said = await answer(objects.evict(node.api, pod))
    assert (said.status, said.body["reason"]) == (404, "NotFound")


async def test_budget_blocks_an_eviction(own: Place) -> None:
    """A budget that allows no disruption answers 429 with itself as the cause, and no time to wait."""
    node = await own.node("a")
    pod = await pod_on(own, node)
    await objects.make_budget(own.admin, "keep", LABELS, namespace=own.namespace, min_available=1)
    said = await refused(429, node, pod)
    assert said.body["reason"] == "TooManyRequests"
    assert said.causes == [
        ("DisruptionBudget", "The disruption budget keep needs 1 healthy pods and has 1 currently")
    ]
    assert "Retry-After" not in said.headers


async def test_blocking_budget_hides_a_wrong_uid(own: Place) -> None:
    """While a budget blocks, an eviction of a pod that has been replaced answers 429 too, not 409."""
    node = await own.node("a")
    pod = await pod_on(own, node)
    await objects.make_budget(own.admin, "keep", LABELS, namespace=own.namespace, min_available=1)
    said = await refused(429, node, pod, uid=NOBODY)
    assert said.causes[0][0] == "DisruptionBudget"


async def test_wrong_uid_costs_the_budget_a_disruption(own: Place) -> None:
    """An eviction with the UID of a replaced pod answers 409, and uses up the budget all the same."""
    node = await own.node("a")
    pod = await pod_on(own, node)
    await objects.make_budget(own.admin, "keep", LABELS, namespace=own.namespace, max_unavailable=1)
    await objects.make_replicaset(own.admin, "web", 1, namespace=own.namespace)
    await objects.until_budget(
        own.admin, "keep", lambda status: status["disruptionsAllowed"] == 1, namespace=own.namespace
    )
    assert (await refused(409, node, pod, uid=NOBODY)).body["reason"] == "Conflict"
    await objects.until_budget(
        own.admin, "keep", lambda status: status["disruptionsAllowed"] == 0, namespace=own.namespace
    )


async def test_two_budgets_are_an_error(own: Place) -> None:
    """A pod of two budgets can't be evicted at all: the answer is a 500 without a reason."""
    node = await own.node("a")
    pod = await pod_on(own, node)
    for name in ("one", "two"):
        await objects.make_budget(own.admin, name, LABELS, namespace=own.namespace, min_available=0)
    said = await refused(500, node, pod)
    assert "more than one PodDisruptionBudget" in said.body["message"]
    assert "reason" not in said.body


async def test_terminating_namespace_takes_no_evictions(own: Place) -> None:
    """In a namespace that is being ended an eviction is forbidden, with a cause of its own."""
    node = await own.node("a")
    pod = await objects.make_pod(
        own.admin, "held", node.name, namespace=own.namespace, finalizers=["example.test/hold"]
    )
    await objects.terminate_namespace(own.admin, own.namespace)
    said = await refused(403, node, pod)
    assert [reason for reason, _ in said.causes] == ["NamespaceTerminating"]


async def test_stale_cordon_is_a_conflict(own: Place) -> None:
    """A node may cordon itself, but not upon a version of itself that is no longer the latest."""
    node = await own.node("a")
    core = CoreV1Api(node.api)
    version = node.object["metadata"]["resourceVersion"]
    cordon = {"metadata": {"resourceVersion": version}, "spec": {"unschedulable": True}}
    cordoned = await core.patch_node(node.name, cordon, _content_type=objects.MERGE)
    assert cordoned.spec.unschedulable
    uncordon = {"metadata": {"resourceVersion": version}, "spec": {"unschedulable": None}}
    said = await answer(core.patch_node(node.name, uncordon, _content_type=objects.MERGE))
    assert (said.status, said.body["reason"]) == (409, "Conflict")


async def test_evicted_pods_come_back_elsewhere(own: Place) -> None:
    """What is evicted from a cordoned node runs on the other one, so that the budget allows the next."""
    old, new = await own.node("a"), await own.node("b")
    names = {"namespace": own.namespace}
    async with playing(FakeScheduler(own.admin), old.kubelet, new.kubelet):
        await objects.set_schedulable(own.admin, new.name, schedulable=False)
        await objects.make_deployment(own.admin, "web", 2, **names)
        pods = await objects.until_pods(own.admin, LABELS, is_ready, count=2, **names)
        await objects.make_budget(own.admin, "keep", LABELS, min_available=1, **names)
        await objects.set_schedulable(own.admin, old.name, schedulable=False)
        await objects.set_schedulable(own.admin, new.name, schedulable=True)
        for pod in pods:
            assert pod["spec"]["nodeName"] == old.name
            await refused(200, old, pod)
        await objects.until_pods(
            own.admin,
            LABELS,
            lambda pod: is_ready(pod) and pod["spec"]["nodeName"] == new.name,
            count=2,
            **names,
        )


async def test_cordon_keeps_no_daemon_off(own: Place) -> None:
    """A DaemonSet's pod comes to a cordoned node; a static pod has a mirror that the node owns."""
    node = await own.node("a")
    await objects.set_schedulable(own.admin, node.name, schedulable=False)
    async with playing(FakeScheduler(own.admin), node.kubelet):
        await objects.make_daemonset(own.admin, "agent", namespace=own.namespace)
        (daemon,) = await objects.until_pods(
            own.admin, {"app": "agent"}, is_ready, count=1, namespace=own.namespace
        )
    assert daemon["spec"]["nodeName"] == node.name
    mirror = await objects.make_mirror_pod(node.api, "static", node.object)
    assert [owner["kind"] for owner in mirror["metadata"]["ownerReferences"]] == ["Node"]


async def test_server_comes_back_where_it_was(own: Place) -> None:
    """After an outage the API server answers at the same address, and watches tell of what changes then."""
    node = await own.node("a")
    await own.plane.stop_apiserver()
    await own.plane.start_apiserver()
    await objects.set_schedulable(own.admin, node.name, schedulable=False)
    seen = await until(
        lambda change: change.object["spec"].get("unschedulable", False),
        CoreV1Api(node.api).list_node,
        field_selector=f"metadata.name={node.name}",
    )
    assert seen["metadata"]["uid"] == node.object["metadata"]["uid"]
