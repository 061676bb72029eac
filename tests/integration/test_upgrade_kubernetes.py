"""An upgrade of five real wings that are Nodes of a real Kubernetes API server, as its own watch shows it."""

import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from kubernetes_asyncio.client import ApiClient

from tests.dev_mesh import DevMesh, Tail
from tests.integration.shop import (
    BUDGET,
    NAMESPACE,
    NEEDED,
    WORKERS,
    Shop,
    bundles,
    cluster,
    fleet,
    opened,
)
from tests.kube.servers import VARIABLE, ControlPlane, binary_from_environment

BRISK = ("--canary-soak", "0", "--health-passes", "2", "--health-interval", "1s", "--yes")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    binary = binary_from_environment()
    if binary is None:
        pytest.skip(f"{VARIABLE} is not set: ./dev servers builds Kubernetes' servers")
    async with ControlPlane(binary, tmp_path_factory.mktemp("kubernetes")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(plane: ControlPlane) -> AsyncIterator[Mapping[str, ApiClient]]:
    async with cluster(plane) as kubelets:
        yield kubelets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture(scope="module")
def made(folder: Path) -> Iterator[Path]:
    return bundles(folder)


@pytest.fixture(scope="module")
def mesh(plane: ControlPlane, folder: Path, made: Iterator[Path]) -> Iterator[DevMesh]:
    with fleet(folder, plane) as running:
        digest = running.tarmak("bundle", "push", next(made), "--no-validate").out.strip()
        running.tarmak("converge", "--all", "--bundle", digest, "--yes")
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(
    plane: ControlPlane, mesh: DevMesh, clients: Mapping[str, ApiClient], made: Iterator[Path]
) -> AsyncIterator[Shop]:
    async with opened(plane, mesh, clients, made) as running:
        yield running


@contextlib.asynccontextmanager
async def upgrading(shop: Shop, name: str) -> AsyncIterator[tuple[str, Tail]]:
    """Begin an upgrade of one instance, and follow what comes of it; it must succeed, and leave nothing."""
    digest = await shop.push()
    since = max(event["cursor"] for event in shop.mesh.events())
    with shop.mesh.tail(since=since) as tail:
        words = ("--bundle", digest, "--instance", name, *BRISK, "--no-wait", "-o", "json")
        rollout = json.loads(await shop.tarmak("upgrade", *words))["id"]
        yield rollout, tail
        await shop.until(tail, "rollout_succeeded", rollout=rollout)
    await shop.watch.caught_up()
    assert shop.watch.wrong == []
    assert shop.watch.cordons == [(name, rollout)]
    assert shop.watch.cordoned == set()
    assert shop.mesh.instances()[name]["observed"] == digest


async def test_one_node_at_a_time_and_no_budget_broken(shop: Shop) -> None:
    """Each Node is cordoned once, by the rollout and alone; the budget always holds; nothing is left."""
    digest = await shop.push()
    await shop.tarmak("upgrade", "--bundle", digest, "--role", "worker", "--max-unavailable", "1", *BRISK)
    await shop.watch.caught_up()
    (rollout,) = shop.mesh.json("rollout", "list")
    assert rollout["state"] == "succeeded"
    assert shop.watch.wrong == []
    assert shop.watch.cordons == [(name, rollout["id"]) for name in WORKERS]
    assert shop.watch.cordoned == set()
    for name, instance in shop.mesh.instances().items():
        assert (instance["outcome"], instance["observed"]) == ("converged", digest), name
    assert shop.mesh.json("status")["healthy"]


async def test_a_budget_that_blocks_is_named_and_waited_for(shop: Shop) -> None:
    """`why` has pod, budget, both counts and the next command; once it is freed the rollout goes on."""
    await shop.need(len(WORKERS))
    nodes = Counter(pod["spec"]["nodeName"] for pod in shop.watch.pods())
    name = nodes.most_common(1)[0][0]
    pods = [pod for pod in shop.watch.pods() if pod["spec"]["nodeName"] == name]
    async with upgrading(shop, name) as (rollout, tail):
        held = {f"{NAMESPACE}/{pod['metadata']['name']}" for pod in pods}
        told: set[str] = set()
        while told != held:
            told.add((await shop.until(tail, "drain_blocked"))["pod"])
        said = await shop.tarmak("why", name)
        assert said.startswith(f"{name} draining in {rollout}: pod ")
        for pod in held:
            assert f"{pod} not evicted: budget {NAMESPACE}/{BUDGET} has 5 healthy, needs 5" in said
        assert said.endswith(f"\n  next: tarmak rollout skip {rollout} {name}\n")
        await shop.need(NEEDED)


async def test_a_node_is_healthy_by_a_lease_renewed_after_the_run(shop: Shop) -> None:
    """A kubelet that died leaves its Node Ready: the rollout waits, says so, and goes on when it is back."""
    name = WORKERS[3]
    shop.kubelets[name].alive = False
    async with upgrading(shop, name) as (rollout, tail):
        checked = await shop.until(tail, "checked", passed=False)
        assert checked["saw"].startswith("its Lease was renewed last at ")
        assert await shop.tarmak("why", name) == (
            f"{name} verifying in {rollout}: not healthy yet: node: {checked['saw']}\n"
            f"  next: tarmak instance show {name}\n"
        )
        shop.kubelets[name].alive = True
