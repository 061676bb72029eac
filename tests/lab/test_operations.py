"""What operators do on bad days: etcd back to a snapshot, and a new bastion for one that is lost."""

from pathlib import Path

import pytest

from tests.lab import account
from tests.lab.fleet import ETCD, Fleet
from tests.lab.writes import Etcd

pytestmark = pytest.mark.long
NETWORK = "198.18.212"
WITHOUT = ("master", "worker")


def written(etcd: Etcd, key: str) -> None:
    """Have a key there."""
    etcd.put(etcd.addresses[0], key, "here")


def there(etcd: Etcd, key: str) -> bool:
    """Whether all members have a key."""
    found = {etcd.get(address, key) for address in etcd.addresses}
    assert len(found) == 1
    return found == {"here"}


def identity(fleet: Fleet) -> str:
    """Return etcd's cluster id, as its members agree on it."""
    line = "set -a; . /etc/etcd/etcdctl.env; etcdctl -w fields endpoint status | grep ClusterID"
    (found,) = {fleet.ssh(name, line).out for name in ETCD}
    return found


def test_etcd_goes_back_to_a_snapshot(fleet: Fleet) -> None:
    """What was written before it is there, what came later isn't; done twice it makes two clusters."""
    etcd = fleet.etcd()
    written(etcd, "before")
    taken = fleet.cluster("snapshot", "take", "--instance", "etcd-1")
    assert taken.code == 0, taken.err
    file = Path(taken.out.strip())
    assert file.is_relative_to(fleet.home / "snapshots")
    written(etcd, "after")
    seen = {identity(fleet)}
    for source in (f"etcd-1/{file.name}", str(file)):
        refused = fleet.cluster("snapshot", "restore", source)
        assert (refused.code, there(etcd, "after")) == (2, True)
        done = fleet.cluster("snapshot", "restore", source, "--yes-restore", "lab")
        assert done.code == 0, done.err
        assert (there(etcd, "before"), there(etcd, "after")) == (True, False)
        assert identity(fleet) not in seen
        seen.add(identity(fleet))
        written(etcd, "after")
    assert fleet.tarmak("converge", "--role", "etcd", "--yes").code == 0


def test_a_snapshot_is_restored_where_a_member_was_forgotten(fleet: Fleet) -> None:
    """If one member fails, that is said with its name; the same command makes all well again."""
    etcd = fleet.etcd()
    written(etcd, "before")
    file = fleet.cluster("snapshot", "take").out.strip()
    program = "/usr/local/lib/etcd/restore"
    fleet.host("etcd-2").run("sh", "-c", f"mv {program} {program}.kept; ln -s /bin/false {program}")
    failed = fleet.cluster("snapshot", "restore", file, "--yes-restore", "lab")
    assert (failed.code, "etcd-2" in failed.err) == (1, True)
    fleet.host("etcd-2").run("mv", f"{program}.kept", program)
    done = fleet.cluster("snapshot", "restore", file, "--yes-restore", "lab")
    assert done.code == 0, done.err
    assert there(etcd, "before")


def test_a_new_bastion_takes_over_the_fleet(fleet: Fleet) -> None:
    """Its wings find the same authority behind the same address, and no hand is needed on any of them."""
    before = {name: each["boot"] for name, each in fleet.instances().items()}
    saved = fleet.cluster("backup")
    assert saved.code == 0, saved.err
    fleet.host("bastion-1").power_off()
    lost = fleet.cluster("apply", str(fleet.file), "--yes", "--replace", "bastion-1")
    assert (lost.code, "--restore-bastion" in lost.err) == (2, True)
    fleet.apply("--replace", "bastion-1", "--restore-bastion", saved.out.strip())
    after = fleet.instances()
    assert {name: after[name]["boot"] for name in ETCD} == {name: before[name] for name in ETCD}
    assert all(each["presence"] == "online" for each in after.values())
    done = fleet.tarmak("converge", "--instance", ",".join(ETCD), "--yes")
    assert done.code == 0, done.err
    account.check(fleet.events())


def test_a_host_that_is_down_is_named(fleet: Fleet) -> None:
    """Whoever lists sees the rest; nothing is restored unless all members can be reached."""
    file = fleet.cluster("snapshot", "take", "--instance", "etcd-1").out.strip()
    fleet.host("etcd-2").power_off()
    listed = fleet.cluster("snapshot", "list", "-o", "json")
    assert (listed.code, "etcd-2" in listed.err, "etcd-1" in listed.out) == (1, True, True)
    refused = fleet.cluster("snapshot", "restore", file, "--yes-restore", "lab")
    assert (refused.code, "etcd-2" in refused.err) == (1, True)
    etcd = fleet.etcd()
    written(etcd, "untouched")
    assert etcd.get(fleet.address("etcd-3"), "untouched") == "here"
