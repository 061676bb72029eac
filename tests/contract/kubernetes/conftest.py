"""A real control plane for all tests of the session, and a part of it for each."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.kube.place import Place, place
from tests.kube.servers import VARIABLE, ControlPlane, binary_from_environment


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """The control plane; where its servers could not be built, the tests on it are skipped."""
    binary = binary_from_environment()
    if binary is None:
        pytest.skip(f"{VARIABLE} is not set: ./dev servers builds Kubernetes' servers")
    async with ControlPlane(binary, tmp_path_factory.mktemp("kubernetes")) as running:
        yield running


@pytest.fixture
async def own(plane: ControlPlane) -> AsyncIterator[Place]:
    """A namespace and nodes of the test's own."""
    async with place(plane) as given:
        yield given
