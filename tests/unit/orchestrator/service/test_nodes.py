"""What Kubernetes tells reaches rollouts through the whole service, and plans say what drains would meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from broker.ids import Digest, InstanceId, Role
from orchestrator.adapters.memory_kubernetes import MemoryKubernetes
from orchestrator.domain.instance import NodeSeen
from orchestrator.domain.nodes import NODE_MEMORY, AllNodes, NodeChanged, NodesLost
from orchestrator.domain.picture import Amounts, BudgetSeen, NodeRoom, Picture, PodSeen
from orchestrator.domain.rollout.strategy import Strategy
from orchestrator.domain.views import Selector
from orchestrator.operations import UpgradeRequest
from orchestrator.records import Batch
from orchestrator.service.assembly import Service
from tests.unit.orchestrator.domain.playbook import NOW
from tests.unit.orchestrator.service.stage import BUNDLE, Stage, until

pytestmark = pytest.mark.looptime

NEXT = Digest("sha256:" + "b" * 64)
EVERYONE = Selector(everything=True)
UPGRADE = UpgradeRequest(
    selector=EVERYONE, digest=NEXT, strategy=Strategy(canary=0, prefetch=False), requested_by="ann"
)
W1 = InstanceId("worker-1")


def node(name: str = "worker-1", *, ready: bool = True, cordoned: bool = False) -> NodeSeen:
    reason = "" if ready else "KubeletNotReady"
    return NodeSeen(name=name, ready=ready, unschedulable=cordoned, owner=None, seen_at=NOW, reason=reason)


@asynccontextmanager
async def upgrading(tmp: Path, *nodes: NodeSeen, wings: int = 2) -> AsyncIterator[tuple[Stage, Service]]:
    """A service that watches a cluster of these Nodes, and wings that are online."""
    stage = Stage(wings)
    stage.kubernetes = MemoryKubernetes()
    for each in nodes:
        stage.kubernetes.put(each)
    await stage.begin()
    await stage.journal.commit(Batch(bundles=[replace(BUNDLE, digest=NEXT)]))
    async with stage.orchestrator(tmp) as service, stage.alive():
        await until(service, "instance_online", count=wings)
        yield stage, service


def known(service: Service, who: InstanceId = W1) -> NodeSeen | None:
    """Return what is known of an instance's Node."""
    return service.core.state.instances[who].node


async def test_a_rollout_waits_for_a_node_and_goes_on_when_it_is_uncordoned(tmp_path: Path) -> None:
    """Nothing but the Node's own news sets it going again."""
    async with upgrading(tmp_path) as (stage, service):
        assert stage.kubernetes is not None
        for cordoned in (False, True):
            stage.kubernetes.put(node(cordoned=cordoned))
        await until(service, "node_cordoned")
        await service.rollouts.upgrade(UPGRADE)
        await until(service, "step_moved")
        (held,) = await service.rollouts.why("worker-2")
        assert "(worker-1: cordoned by somebody else)" in held.sentence
        stage.kubernetes.put(node())
        await until(service, "rollout_succeeded")


async def test_news_reach_the_instance_that_is_the_node(tmp_path: Path) -> None:
    """By the name that the roster gives it, else by its id; Nodes that are nobody's are left alone."""
    async with upgrading(tmp_path) as (stage, service):
        desk = service.nodes
        assert desk is not None
        await desk.step(AllNodes(nodes=(node(), node("n-2"), node("stranger"))))
        assert (known(service), known(service, InstanceId("worker-2"))) == (node(), None)
        roster = tuple(replace(wing.enrolment, node="n-2") for wing in stage.wings[1:])
        await service.core.enrol((stage.wings[0].enrolment, *roster))
        assert known(service, InstanceId("worker-2")) == node("n-2")
        await desk.step(NodeChanged(name="n-2", node=None))
        assert known(service, InstanceId("worker-2")) is None
        await desk.step(AllNodes(nodes=()))
        assert known(service) is None


async def test_who_joins_is_told_of_its_node_at_once(tmp_path: Path) -> None:
    """A new instance need not wait until its Node changes."""
    async with upgrading(tmp_path, node("worker-3")) as (stage, service):
        desk = service.nodes
        assert desk is not None
        await desk.step(AllNodes(nodes=(node("worker-3"),)))
        new = replace(stage.wings[0].enrolment, id=InstanceId("worker-3"), role=Role("worker"))
        await service.core.enrol((*(wing.enrolment for wing in stage.wings), new))
        assert known(service, InstanceId("worker-3")) == node("worker-3")


async def test_a_lost_watch_is_told_once_and_its_knowledge_goes(tmp_path: Path) -> None:
    """What was known is forgotten when its time is over; `status` says why nothing is known."""
    async with upgrading(tmp_path, node(ready=False)) as (_, service):
        desk = service.nodes
        assert desk is not None
        await desk.step(AllNodes(nodes=(node(ready=False),)))
        for reason in ("no route", "no route", "refused"):
            await desk.step(NodesLost(reason=reason))
        (lost,) = await until(service, "kubernetes_lost")
        assert lost.body == {"reason": "no route"}
        status = await service.fleet.status()
        assert "Kubernetes: its Nodes can't be watched (refused)" in status.problems[0]
        assert "its Node worker-1 is not Ready (KubeletNotReady)" in " ".join(status.problems)
        (forgotten,) = await until(service, "node_forgotten")
        assert forgotten.at == lost.at + NODE_MEMORY
        assert known(service) is None
        await desk.step(AllNodes(nodes=(node(),)))
        await until(service, "kubernetes_found")
        assert "Kubernetes" not in " ".join((await service.fleet.status()).problems)


async def test_a_plan_warns_of_what_its_drains_would_meet(tmp_path: Path) -> None:
    """Budgets that hold, and pods with nowhere to go; a cluster that can't be asked is a warning too."""
    room = Amounts(cpu_m=4000, memory=2**30, pods=10)
    pod = PodSeen(
        namespace="shop", name="cart-0", node="worker-1", labels={}, asks=Amounts(cpu_m=1, memory=1, pods=1)
    )
    held = BudgetSeen(namespace="shop", name="cart", selector=(), allowed=0, healthy=2, needed=2, expected=2)
    async with upgrading(tmp_path, node(), node("worker-2")) as (stage, service):
        assert stage.kubernetes is not None
        rooms = tuple(
            NodeRoom(name=name, usable=True, allocatable=room, asked=Amounts())
            for name in ("worker-1", "worker-2")
        )
        stage.kubernetes.picture = Picture(nodes=rooms, pods=(pod,), budgets=(held,))
        plan = await service.rollouts.preview(UPGRADE)
        (line,) = plan.warnings
        assert line.startswith(
            "budget shop/cart allows no disruption: 2 of 2 healthy needed; it will hold the"
        )
        undrained = replace(UPGRADE, strategy=replace(UPGRADE.strategy, drain=None))
        assert (await service.rollouts.preview(undrained)).warnings == ()
        stage.kubernetes.lose("no route")
        plan = await service.rollouts.preview(UPGRADE)
        assert plan.warnings == ("it is not known what the drains would meet: no route",)
