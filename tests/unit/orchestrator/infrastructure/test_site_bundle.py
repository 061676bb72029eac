"""A cluster's bundle: the site's code with what the description knows."""

from pathlib import Path

import pytest
import yaml

from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.errors import InfrastructureError
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.site_bundle import packed
from puppet_bridge.bundle import unpack

HOSTS = (
    Host(
        name="bastion-1", role="bastion", pool="bastion", address="198.18.4.10", host_key="ssh-ed25519 AAAA"
    ),
    Host(name="etcd-1", role="etcd", pool="etcd", address="198.18.4.11"),
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "manifests").mkdir(parents=True)
    (folder / "manifests/site.pp").write_text("notice('hello')\n")
    (folder / "hiera.yaml").write_text("version: 5\n")
    (folder / ".git").mkdir()
    (folder / ".git/config").write_text("not ours")
    return folder


def cluster(**versions: str) -> Cluster:
    return Cluster.model_validate(
        {
            "name": "lab",
            "provider": {"kind": "local"},
            "network": {"cidr": "198.18.4.0/24"},
            "pools": [{"name": "bastion"}, {"name": "etcd"}],
            "versions": versions,
        }
    )


def test_the_bundle_knows_hosts_and_versions(site: Path, tmp_path: Path) -> None:
    """They are the data file that a level of Hiera reads; the site itself is left as it is."""
    made = packed(cluster(etcd="3.5.16-4"), site, HOSTS, tmp_path, lambda _: None)
    inside = unpack(made.path, tmp_path / "cache", made.digest)
    assert yaml.safe_load((inside / "data/tarmak.yaml").read_text()) == {
        "tarmak::hosts": {
            "bastion-1": {"role": "bastion", "address": "198.18.4.10"},
            "etcd-1": {"role": "etcd", "address": "198.18.4.11"},
        },
        "tarmak::versions": {"etcd": "3.5.16-4"},
    }
    assert not (inside / ".git").exists()
    assert not (site / "data").exists()


def test_the_same_cluster_gives_the_same_digest(site: Path, tmp_path: Path) -> None:
    """In whatever order its hosts are known; another version is another bundle."""
    one = packed(cluster(etcd="1"), site, HOSTS, tmp_path, lambda _: None)
    assert packed(cluster(etcd="1"), site, HOSTS[::-1], tmp_path, lambda _: None).digest == one.digest
    assert packed(cluster(etcd="2"), site, HOSTS, tmp_path, lambda _: None).digest != one.digest


def test_a_site_with_that_file_is_refused(site: Path, tmp_path: Path) -> None:
    """What somebody wrote there would be lost."""
    (site / "data").mkdir()
    (site / "data/tarmak.yaml").write_text("mine: 1\n")
    with pytest.raises(InfrastructureError, match="is made for each cluster"):
        packed(cluster(), site, HOSTS, tmp_path, lambda _: None)


def test_a_site_that_is_no_bundle_is_named(site: Path, tmp_path: Path) -> None:
    """With what is missing, by its own path."""
    (site / "manifests/site.pp").unlink()
    with pytest.raises(InfrastructureError, match=r"no bundle can be made of .*/site: .*manifests/site.pp"):
        packed(cluster(), site, HOSTS, tmp_path, lambda _: None)
