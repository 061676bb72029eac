"""The example site on hosts of their own: what real Puppet compiles with the root "/", and does not apply."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from orchestrator.infrastructure import cluster_file, site_bundle
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.instances import instances
from orchestrator.infrastructure.site_bundle import DATA

SITE: Final = Path(__file__).parents[2] / "deploy/puppet"
LAB: Final = Path(__file__).parents[2] / "deploy/lab/cluster.yaml"
MODULES: Final = "/etc/puppet/code/modules:/usr/share/puppet/modules"

pytestmark = pytest.mark.skipif(shutil.which("puppet") is None, reason="no puppet on this machine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What a host shall be, as Puppet compiled it."""

    resources: dict[str, dict[str, Any]]

    def titles(self, kind: str) -> set[str]:
        return {name[len(kind) + 1 : -1] for name in self.resources if name.startswith(f"{kind}[")}

    def file(self, path: str) -> str:
        return self.resources[f"File[{path}]"]["content"]

    def hosts(self) -> str:
        fragments = (self.resources[f"Concat::Fragment[{name}]"] for name in self.titles("Concat::Fragment"))
        return "".join(fragment["content"] for fragment in fragments if fragment["target"] == "/etc/hosts")


def described(folder: Path) -> Path:
    """Return a copy of the site with what the lab's description says, as `tarmak cluster` packs it."""
    cluster = cluster_file.load(LAB)
    hosts = [
        Host(name=one.name, role=one.role.value, pool=one.pool, address=one.address)
        for one in instances(cluster, {})
    ]
    shutil.copytree(SITE, folder)
    (folder / DATA).write_text(site_bundle.described(cluster, hosts))
    return folder


def compile_site(
    home: Path, role: str, *, cluster: str = "lab", virtual: str = "kvm", site: Path | None = None
) -> Catalog:
    """Compile the site for the first instance of a role, on a host with systemd."""
    site = site or described(home / "site")
    facts = home / "facts"
    facts.mkdir(parents=True, exist_ok=True)
    said = {"instance": f"{role}-1", "role": role, "pool": "", "cluster": cluster, "labels": {}, "root": "/"}
    known = {"tarmak": said, "virtual": virtual, "service_provider": "systemd"}
    (facts / "host.json").write_text(json.dumps(known))
    done = subprocess.run(
        (
            *("puppet", "catalog", "compile", f"{role}-1", "--render-as", "json"),
            *(f"--confdir={home}/conf", f"--codedir={home}/code", f"--vardir={home}/var"),
            *(f"--logdir={home}/log", f"--rundir={home}/run", f"--pluginfactdest={facts}"),
            *(f"--manifest={site}/manifests/site.pp", f"--hiera_config={site}/hiera.yaml"),
            f"--modulepath={site}/modules:{MODULES}",
        ),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout[done.stdout.index("{") :])["resources"]
    return Catalog(
        resources={f"{each['type']}[{each['title']}]": each.get("parameters", {}) for each in listed}
    )


Compiled = Callable[..., Catalog]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """`compile_site` without a place of one's own; what was compiled once is not compiled again."""

    @cache
    def compile_once(role: str, **kept: str) -> Catalog:
        return compile_site(tmp_path_factory.mktemp(role), role, **kept)

    return compile_once


@pytest.mark.parametrize(
    ("role", "packages", "services"),
    [
        ("bastion", {"haproxy"}, {"haproxy"}),
        ("vault", set(), set()),
        ("etcd", {"etcd-server", "etcd-client"}, {"etcd"}),
        ("master", {"containerd"}, {"containerd"}),
        ("worker", {"containerd"}, {"containerd"}),
    ],
)
def test_a_hosts_role_has_packages_and_services(
    role: str, packages: set[str], services: set[str], compiled: Compiled
) -> None:
    """On a host each role has what every host has, and its own; files lie in their places and are root's."""
    catalog = compiled(role)
    assert {"chrony", "cron", "auditd"} | packages <= catalog.titles("Package")
    assert {"ssh", "cron", "chrony", "auditd", "systemd-sysctl"} | services <= catalog.titles("Service")
    assert catalog.resources["File[/etc/motd]"]["owner"] == "root"


def test_a_container_has_no_kernel_and_no_clock(compiled: Compiled) -> None:
    """In a container, services for the kernel and the clock are not run; what they would need is written."""
    catalog = compiled("etcd", virtual="systemd_nspawn")
    assert not {"auditd", "chrony", "systemd-sysctl"} & catalog.titles("Service")
    assert "auditd" not in catalog.titles("Package")
    assert {"etcd", "ssh", "cron"} <= catalog.titles("Service")
    assert "vm.dirty_ratio = 10" in catalog.file("/etc/sysctl.d/60-memory.conf")


def test_a_service_runs_once_its_program_is_there(compiled: Compiled, tmp_path: Path) -> None:
    """What no Debian package brings is configured everywhere, and runs where its program is."""
    without = compiled("worker")
    assert "kubelet" not in without.titles("Service")
    assert "File[/etc/systemd/system/kubelet.service]" in without.resources
    site = described(tmp_path / "site")
    common = site / "data/common.yaml"
    common.write_text(common.read_text().replace("/usr/local/bin/kubelet", "/bin/sh"))
    assert "kubelet" in compile_site(tmp_path / "with", "worker", site=site).titles("Service")


def test_a_cluster_has_its_own_hosts(compiled: Compiled) -> None:
    """Members, load balancer and /etc/hosts follow from the cluster's list of hosts; common has another."""
    etcd = compiled("etcd")
    assert (
        "ETCD_INITIAL_CLUSTER=etcd-1=https://198.18.4.11:2380,etcd-2=https://198.18.4.12:2380,"
        "etcd-3=https://198.18.4.13:2380\n"
    ) in etcd.file("/etc/etcd/etcd.env")
    assert json.loads(etcd.file("/etc/etcd/member.json"))["endpoint"] == "https://198.18.4.11:2379"
    assert "198.18.4.10\tbastion-1.lab.example bastion-1 api.lab.example api\n" in etcd.hosts()
    assert "127.0.1.1" not in etcd.hosts()
    bastion = compiled("bastion")
    assert "server master-1 198.18.4.14:6443 check" in bastion.file("/etc/haproxy/haproxy.cfg")
    other = compiled("etcd", cluster="elsewhere")
    assert json.loads(other.file("/etc/etcd/member.json"))["endpoint"] == "https://10.20.0.11:2379"


def test_etcds_version_is_the_clusters(compiled: Compiled) -> None:
    """The cluster's data name the version, server and client alike; elsewhere images bring the packages."""
    lab = compiled("etcd")
    versions = {lab.resources[f"Package[{name}]"]["ensure"] for name in ("etcd-server", "etcd-client")}
    assert versions == {"3.4.23-4+b4"}
    assert compiled("etcd", cluster="elsewhere").titles("Package") == set()


def test_etcd_identifies_itself_as_its_wing(compiled: Compiled) -> None:
    """The wing's certificate is copied for etcd alone to read; its renewal restarts nothing."""
    catalog = compiled("etcd")
    key = catalog.resources["File[/etc/etcd/pki/member.key]"]
    assert (key["source"], key["owner"], key["mode"]) == ("/etc/tarmak/wing.key", "etcd", "0600")
    assert key["show_diff"] is False
    assert "notify" not in key
    assert catalog.resources["File[/etc/etcd/pki/ca.crt]"]["notify"] == "Site::Service[etcd]"


def test_root_keeps_its_way_in(compiled: Compiled) -> None:
    """Whoever brought a host into the mesh can go on going in as root, by key and by nothing else."""
    settings = compiled("worker").file("/etc/ssh/sshd_config.d/10-site.conf")
    assert "PermitRootLogin prohibit-password\n" in settings
    assert "PasswordAuthentication no\n" in settings
    assert "AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u .ssh/authorized_keys\n" in settings
