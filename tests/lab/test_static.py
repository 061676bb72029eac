"""Hosts that exist: the provider `static` has two join that were made without Tarmak."""

import json
from pathlib import Path

import pytest
import yaml

from tests.integration.terraform_site import terraform
from tests.lab.conftest import Site
from tests.lab.fleet import Fleet

WANTED = {"version": "1"}


@pytest.fixture
def described(site: Site, tmp_path: Path) -> Fleet:
    """An inventory of the two hosts, with the keys by which they are known and are reached."""
    terraform()
    site.up("a", "b")
    pools = [
        {"name": "bastion", "hosts": [host(site, "a")]},
        {"name": "worker", "hosts": [host(site, "b")], "labels": {"zone": "b"}},
    ]
    table = {
        "name": "lab",
        "provider": {"kind": "static", "identity": str(site.key)},
        "pools": pools,
        "bundle": str(bundle(tmp_path)),
        "versions": WANTED,
    }
    fleet = Fleet(
        home=tmp_path / "static", file=tmp_path / "cluster.yaml", network=site.network, bastion="a-host"
    )
    fleet.file.write_text(yaml.safe_dump(table))
    return fleet


def host(site: Site, name: str) -> dict[str, str]:
    key = " ".join(site.places.host(name).host_key.read_text().split()[:2])
    return {"name": f"{name}-host", "address": site.address(name), "host_key": key}


def bundle(tmp_path: Path) -> Path:
    """Write a small site whose file says what the description does."""
    site = tmp_path / "bundle"
    (site / "manifests").mkdir(parents=True)
    (site / "manifests/site.pp").write_text(
        "file { '/etc/wanted': content => lookup('tarmak::versions.version') }\n"
    )
    (site / "hiera.yaml").write_text(
        "version: 5\nhierarchy:\n  - name: Described\n    path: tarmak.yaml\n"
        "    datadir: data\n    data_hash: yaml_data\n"
    )
    return site


def test_two_hosts_that_exist_join_and_converge(described: Fleet, site: Site) -> None:
    """Wing, unit and identity are brought over SSH; an end to the cluster leaves the hosts as they are."""
    described.apply()
    seen = described.instances()
    assert {name: (each["role"], each["outcome"]) for name, each in seen.items()} == {
        "a-host": ("bastion", "converged"),
        "b-host": ("worker", "converged"),
    }
    assert seen["b-host"]["labels"] == {"zone": "b"}
    for name in site.hosts:
        assert site.lab.host(name).run("cat", "/etc/wanted") == "1"
    assert json.loads(described.cluster("plan", str(described.file), "-o", "json").out)["pending"] is False
    assert described.cluster("destroy", "--yes").code == 0
    assert site.lab.host("b").run("systemctl", "is-active", "wing").strip() == "active"


def test_a_host_with_another_key_is_not_joined(described: Fleet, site: Site) -> None:
    """Nothing is brought to a stranger, nor to the others."""
    table = yaml.safe_load(described.file.read_text())
    table["pools"][1]["hosts"][0]["host_key"] = host(site, "a")["host_key"]
    described.file.write_text(yaml.safe_dump(table))
    refused = described.cluster("apply", str(described.file), "--yes")
    assert (refused.code, "b-host" in refused.err, "host key" in refused.err) == (1, True, True)
    assert site.lab.host("a").ask("test", "-e", "/opt/tarmak").code == 1
