"""The upgrade of etcd while things go wrong: it ends upgraded, or paused with a reason and unharmed.

In each a client writes all the time, and what it was promised is looked for afterwards.
"""

import pytest

from tests.lab import account
from tests.lab.fleet import ETCD, NEW, Fleet

pytestmark = pytest.mark.long
NETWORK = "198.18.211"
WITHOUT = ("master", "worker")


def begun(fleet: Fleet, name: str) -> None:
    """Have the upgrade begun, and this member under it."""
    fleet.upgrade_etcd(NEW, "--no-wait")
    fleet.until(f"{name} is under upgrade", lambda: fleet.step(name) == "converging")


def ended(fleet: Fleet, *, after_pause: bool) -> None:
    """Wait for the end; a rollout that paused says why, and is done once it is told to try again."""
    fleet.until("the rollout ends or pauses", lambda: fleet.rollout()["state"] in {"succeeded", "paused"})
    found = fleet.rollout()
    if found["state"] == "paused":
        assert after_pause
        assert found["reason"]
        assert fleet.tarmak("rollout", "retry").code == 0
        fleet.until("the rollout ends", lambda: fleet.rollout()["state"] in {"succeeded", "paused"})
    assert fleet.rollout()["state"] == "succeeded", fleet.rollout()
    assert {fleet.etcd().version(fleet.address(name)) for name in ETCD} == {"3.5.16"}
    account.check(fleet.events())


def test_the_member_under_upgrade_loses_power(members: Fleet) -> None:
    """It comes back with what was half installed, and is upgraded without a hand on it."""
    with members.writing("power") as writer:
        begun(members, "etcd-2")
        members.host("etcd-2").power_off()
        members.until("it is missed", lambda: members.instances()["etcd-2"]["presence"] != "online")
        members.host("etcd-2").boot()
        ended(members, after_pause=True)
    assert max(map(len, writer.away)) == 1


def test_the_bastion_reboots_in_the_middle(members: Fleet) -> None:
    """Broker and orchestrator come back and go on where they were; no step is lost or done twice."""
    with members.writing("bastion") as writer:
        begun(members, "etcd-2")
        members.host("bastion-1").reboot()
        ended(members, after_pause=False)
    assert max(map(len, writer.away)) == 1


def test_the_member_under_upgrade_is_partitioned_away(members: Fleet) -> None:
    """Nothing else is touched while it can't be seen; once it can, the upgrade goes on."""
    with members.writing("partition") as writer:
        begun(members, "etcd-2")
        members.lab.partition("etcd-2")
        members.until("it is missed", lambda: members.instances()["etcd-2"]["presence"] != "online")
        assert members.step("etcd-3") in {"pending", "prefetching", "waiting"}
        members.lab.heal()
        ended(members, after_pause=True)
    assert max(map(len, writer.away)) == 1
