"""The example site under real Puppet: every role converges, stays converged, and keeps to its root."""

import asyncio
import re
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from broker.ids import ClusterName, InstanceId, Role, RunId
from broker.messages import LogLine, RunOutcome, Verdict
from puppet_bridge.bundle import BundleFile, build, unpack
from puppet_bridge.command import PuppetSettings
from puppet_bridge.converge import ConvergeReport, ConvergeRequest, converge
from puppet_bridge.diff import Scope
from puppet_bridge.execution import Identity, ProcessIdentity
from puppet_bridge.runner import LocalPuppet

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
ROLES: Final = ("bastion", "vault", "etcd", "master", "worker")
LEAST_RESOURCES: Final = 60

pytestmark = pytest.mark.skipif(shutil.which("puppet") is None, reason="no puppet on this machine")


class Unwatched:
    """A watcher that keeps what Puppet complained of."""

    def __init__(self) -> None:
        self.complaints: list[str] = []

    async def process_started(self, process: ProcessIdentity) -> None:
        """Nobody has to find it again."""

    def waits(self, reason: str) -> None:
        """Nobody else holds the lock."""

    def said(self, line: LogLine) -> None:
        if line.level.value in {"warning", "err", "crit", "alert", "emerg"} and line.file:
            self.complaints.append(f"{line.file}:{line.line}: {line.message}")

    def progressed(self, execution: int, done: int, total: int, resource: str) -> None:
        """Nobody looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A directory that stands for a host, with Puppet's own places beside its root."""

    home: Path
    role: str
    number: int = 1
    pool: str = ""

    @property
    def root(self) -> Path:
        """What the site may manage."""
        return self.home / "root"

    def text(self, path: str) -> str:
        """Return the content of a file of the host."""
        return (self.root / path.lstrip("/")).read_text()

    async def converge(self, bundle: BundleFile, *, noop: bool = False) -> ConvergeReport:
        """Converge on `bundle`, and insist that Puppet complained of nothing in it."""
        self.root.mkdir(parents=True, exist_ok=True)
        instance = InstanceId(f"{self.role}-{self.number}")
        identity = Identity(
            instance=instance,
            role=Role(self.role),
            pool=self.pool,
            cluster=ClusterName("demo"),
            root=str(self.root),
        )
        settings = PuppetSettings(state=self.home / "puppet", lock=self.home / "lock")
        request = ConvergeRequest(
            run=RunId(str(uuid.uuid4())),
            digest=bundle.digest,
            bundle=unpack(bundle.path, self.home / "bundles", bundle.digest),
            scope=Scope(instance=instance, root=str(self.root)),
            noop=noop,
        )
        watcher = Unwatched()
        puppet = LocalPuppet(settings, identity)
        report = await converge(request, watcher, puppet=puppet, cancel=asyncio.Event())
        assert watcher.complaints == []
        return report


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> BundleFile:
    """Release 1.0.0, as it is in the repository."""
    return build(DEPLOY / "puppet", tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> BundleFile:
    """Release 2.0.0, as the demo makes it."""
    folder = tmp_path_factory.mktemp("second")
    subprocess.run((DEPLOY / "demo/v2.sh", folder / "site"), check=True)
    return build(folder / "site", folder)


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_converges_and_stays_so(role: str, tmp_path: Path, first: BundleFile) -> None:
    """Each role has its sixty resources, converges at once, and a second run changes nothing."""
    host = Host(home=tmp_path, role=role)
    report = await host.converge(first)
    assert report.result.verdict is Verdict.CONVERGED, report.result.reason
    assert report.result.outcome is RunOutcome.CHANGED
    assert report.result.total >= LEAST_RESOURCES
    again = await host.converge(first)
    assert (again.result.verdict, again.result.outcome) == (Verdict.CONVERGED, RunOutcome.UNCHANGED)


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_keeps_to_its_root(role: str, tmp_path: Path, first: BundleFile) -> None:
    """Where the root is no host's, only files below it are managed: no service, account or package."""
    host = Host(home=tmp_path, role=role, number=9, pool="other")
    report = await host.converge(first, noop=True)
    assert report.result.total >= LEAST_RESOURCES
    paths = [re.fullmatch(r"(?:File|Concat_file)\[(.+)\]", change.resource) for change in report.changes]
    assert len(paths) > LEAST_RESOURCES
    assert [path for path in paths if path is None or not path[1].startswith(f"{host.root}/")] == []


async def test_hiera_goes_from_instance_to_common(tmp_path: Path, first: BundleFile) -> None:
    """Instance, pool, role and common all have their say, and what merges is merged."""
    host = Host(home=tmp_path, role="worker", pool="large")
    await host.converge(first)
    assert "takes every change first" in host.text("/etc/motd")  # instance
    assert "maxPods: 220" in host.text("/var/lib/kubelet/config.yaml")  # pool
    assert 'memory: "2Gi"' in host.text("/var/lib/kubelet/config.yaml")  # pool over role
    network = host.text("/etc/sysctl.d/60-network.conf")
    assert "net.netfilter.nf_conntrack_max = 1048576" in network  # role
    assert "net.ipv4.tcp_syncookies = 1" in network  # common
    assert "etcd-3.site.example" in host.text("/etc/hosts")  # concat
    labels = host.text("/etc/default/kubelet")
    assert "site.example/canary=true,site.example/size=large,tarmak/pool=large" in labels  # all of them


async def test_the_second_release_is_four_files_away(
    tmp_path: Path, first: BundleFile, second: BundleFile
) -> None:
    """Release 2.0.0 changes on a converged host what a release should, and nothing else."""
    assert (first.manifest.version, second.manifest.version) == ("1.0.0", "2.0.0")
    host = Host(home=tmp_path, role="etcd")
    await host.converge(first)
    report = await host.converge(second)
    assert report.result.verdict is Verdict.CONVERGED
    changed = {
        change.resource.removeprefix(f"File[{host.root}").removesuffix("]") for change in report.changes
    }
    assert changed == {
        "/etc/motd",
        "/etc/site-release",
        "/etc/sysctl.d/60-memory.conf",
        "/var/lib/node_exporter/site.prom",
    }
    assert "vm.max_map_count = 524288" in host.text("/etc/sysctl.d/60-memory.conf")
