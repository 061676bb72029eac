"""An upgrade of five real wings that are Nodes of a real Kubernetes API server, as that server's watch shows it."""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from kubernetes_asyncio.client import ApiClient

from tests.dev_mesh import DevMesh
from tests.integration.shop import WORKERS, Shop, bundles, cluster, fleet, opened
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


async def test_one_node_at_a_time_and_no_budget_broken(shop: Shop) -> None:
    """Each Node is cordoned once, by the rollout and alone; its budget holds at every moment; nothing is left."""
    digest = await shop.push()
    await shop.tarmak("upgrade", "--bundle", digest, "--role", "worker", "--max-unavailable", "1", *BRISK)
    await shop.watch.caught_up()
    assert shop.watch.wrong == []
    assert shop.watch.cordons == [(name, "r-1") for name in WORKERS]
    assert shop.watch.cordoned == set()
    assert shop.mesh.json("rollout", "show", "r-1")["state"] == "succeeded"
    for name, instance in shop.mesh.instances().items():
        assert (instance["outcome"], instance["observed"]) == ("converged", digest), name
