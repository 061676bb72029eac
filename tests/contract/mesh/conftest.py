"""Every mesh that the contract holds for: in memory, in virtual time; and Mosquitto, in real time."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.acl import render_acl
from broker.ids import ClusterName, OrchestratorName
from broker.mosquitto import MosquittoFiles, PrivateMosquitto
from tests.certificates import Certificates
from tests.contract.mesh.sites import MemorySite, MosquittoSite, Site


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority for all tests of the session."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@contextlib.asynccontextmanager
async def running(folder: Path, certificates: Certificates) -> AsyncIterator[MosquittoSite]:
    """Run a private Mosquitto with the ACL of the cluster `main`."""
    files = MosquittoFiles(
        ca=certificates.ca,
        certificate=certificates.server.certificate,
        key=certificates.server.key,
        acl=render_acl(
            clusters=[ClusterName("main")],
            orchestrators=[OrchestratorName("orchestrator_1"), OrchestratorName("orchestrator_2")],
        ),
    )
    async with PrivateMosquitto(folder / "broker", files=files) as broker:
        yield MosquittoSite(broker, certificates)


@pytest.fixture
async def mosquitto(tmp_path: Path, certificates: Certificates) -> AsyncIterator[MosquittoSite]:
    """Mosquitto alone, for what only a real broker does."""
    async with running(tmp_path, certificates) as site:
        yield site


@pytest.fixture(params=[pytest.param("memory", marks=pytest.mark.looptime), "mosquitto"])
async def site(
    request: pytest.FixtureRequest, tmp_path: Path, certificates: Certificates
) -> AsyncIterator[Site]:
    """Each mesh in turn."""
    if request.param == "memory":
        yield MemorySite()
        return
    async with running(tmp_path, certificates) as mosquitto:
        yield mosquitto
