"""Each test of a drain is one on a cluster in memory, and one on a real API server where there is one."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.cluster.memory import memory_site
from tests.contract.cluster.real import real_site
from tests.contract.cluster.sites import Site
from tests.contract.kubernetes.conftest import plane
from tests.kube.place import place
from tests.kube.servers import ControlPlane

__all__ = ["plane"]


@pytest.fixture(params=["memory", "kubernetes"])
def running(request: pytest.FixtureRequest) -> ControlPlane | None:
    """The control plane, if the test is to be on a real one."""
    return None if request.param == "memory" else request.getfixturevalue("plane")


@pytest.fixture
async def site(running: ControlPlane | None) -> AsyncIterator[Site]:
    """A cluster with two nodes, of which one is to be drained."""
    if running is None:
        async with memory_site() as memory:
            yield memory
        return
    async with place(running) as own, real_site(own) as real:
        yield real
