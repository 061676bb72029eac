"""Each test of the contract runs on a cluster in memory, and on a real API server where there is one."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.kubernetes.conftest import own, plane
from tests.contract.nodes.sites import MemorySite, RealSite, Site
from tests.kube.place import place
from tests.kube.servers import ControlPlane

__all__ = ["own", "plane"]


@pytest.fixture(params=["memory", "kubernetes"])
def running(request: pytest.FixtureRequest) -> ControlPlane | None:
    """The control plane, if the test is to be on a real one."""
    return None if request.param == "memory" else request.getfixturevalue("plane")


@pytest.fixture
async def site(running: ControlPlane | None) -> AsyncIterator[Site]:
    """A cluster without Nodes of the test's own."""
    if running is None:
        yield MemorySite()
        return
    async with place(running) as given:
        yield RealSite(given)
