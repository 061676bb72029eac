"""A cluster of real hosts from its description to its end, and etcd upgraded on it while a client writes."""

from pathlib import Path

from tests.lab import account
from tests.lab.fleet import ETCD, NEW, Fleet

NETWORK = "198.18.210"


def test_a_description_becomes_a_fleet(fleet: Fleet) -> None:
    """Each instance has joined and proved its bundle, with real services on it; nothing is left to do."""
    instances = fleet.instances()
    assert len(instances) == 8
    digest = fleet.digest()
    for name, instance in instances.items():
        assert (instance["presence"], instance["outcome"]) == ("online", "converged"), name
        assert instance["observed"] == digest
        assert fleet.ssh(name, "systemctl", "is-active", "wing").out.strip() == "active"
    shown = fleet.cluster("ssh", "worker-1", "--", "systemctl status wing")
    assert "active (running)" in shown.out
    assert (
        fleet.host("worker-1").run("dpkg-query", "-W", "-f", "${db:Status-Status}", "containerd")
        == "installed"
    )
    assert "Tarmak" in fleet.host("etcd-1").run("cat", "/etc/hosts")
    assert fleet.tarmak("status").code == 0
    assert "nothing to do" in fleet.cluster("plan", str(fleet.file)).out


def test_apply_done_again_changes_nothing(fleet: Fleet) -> None:
    """Whoever is there keeps identity, process and bundle."""
    before = {name: instance["boot"] for name, instance in fleet.instances().items()}
    said = fleet.apply()
    assert "all 8 instances are what" in said.err
    assert {name: instance["boot"] for name, instance in fleet.instances().items()} == before
    assert "token" not in said.err


def test_a_cluster_grows_and_shrinks(fleet: Fleet) -> None:
    """One made anew and one more become what the others are; one that goes is drained, and off the fleet."""
    fleet.describe(workers=4)
    fleet.apply("--replace", "worker-3")
    seen = fleet.instances()
    assert {name: seen[name]["presence"] for name in ("worker-3", "worker-4")} == {
        "worker-3": "online",
        "worker-4": "online",
    }
    assert all(each["outcome"] == "converged" for each in seen.values())
    fleet.describe(workers=3)
    said = fleet.apply().err
    assert said.index("worker-4: is being drained") < said.index("worker-4 is being ended")
    assert "worker-4" not in fleet.instances()
    account.check(fleet.events())


def test_etcd_is_upgraded_under_a_clients_writes(fleet: Fleet) -> None:
    """From 3.4 to 3.5, one after the other: no acknowledged write is lost, never two members are away."""
    with fleet.writing("upgrade") as writer:
        fleet.upgrade_etcd(NEW)
        assert max(map(len, writer.away)) == 1
    assert fleet.rollout()["state"] == "succeeded"
    assert {fleet.etcd().version(fleet.address(name)) for name in ETCD} == {"3.5.16"}
    for name in ETCD:
        kept = fleet.host(name).run("ls", "/var/backups/site/etcd").split()
        assert any("3.4" in snapshot for snapshot in kept), kept
    account.check(fleet.events())


def test_an_end_leaves_nothing(fleet: Fleet) -> None:
    """A stateful instance is given up by name only; then nothing of the cluster is left on this machine."""
    refused = fleet.cluster("destroy", "--yes", "--destroy-stateful", "etcd-1")
    assert refused.code == 2
    assert "etcd-2" in refused.err
    assert fleet.instances()
    bridge, places = fleet.lab.places.bridge, [fleet.lab.places.host(one.name) for one in fleet.lab.hosts()]
    assert fleet.destroy().code == 0
    assert not fleet.home.exists()
    links = [link.name for link in Path("/sys/class/net").iterdir()]
    assert bridge not in links
    assert not any(place.port in links for place in places)
    assert str(fleet.home) not in Path("/proc/self/mountinfo").read_text()
    running = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
    assert not any(str(fleet.home).encode() in line for line in running)
