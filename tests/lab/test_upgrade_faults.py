"""The upgrade of etcd while things go wrong: it ends upgraded, or paused with a reason and unharmed.

In each a client writes all the time, and what it was promised is looked for afterwards.
"""

from collections.abc import Iterator

import pytest

from tests.lab import account
from tests.lab.fleet import ETCD, NEW, OLD, Fleet

NETWORK = "198.18.211"
AWAY = ("draining", "converging", "verifying", "uncordoning")


@pytest.fixture(autouse=True)
def old_members(fleet: Fleet) -> Iterator[None]:
    """Have three members with the old version, made anew where the test before has upgraded them."""
    fleet.describe(etcd=OLD)
    if {fleet.etcd().version(fleet.address(name)) for name in ETCD} != {"3.4.23"}:
        words = [word for name in ETCD for word in ("--replace", name, "--destroy-stateful", name)]
        fleet.apply(*words)
    yield
    fleet.lab.heal()


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


def test_the_member_under_upgrade_loses_power(fleet: Fleet) -> None:
    """It comes back with what was half installed, and is upgraded without a hand on it."""
    with fleet.writing("power") as writer:
        begun(fleet, "etcd-2")
        fleet.host("etcd-2").power_off()
        fleet.until("it is missed", lambda: fleet.instances()["etcd-2"]["presence"] != "online")
        fleet.host("etcd-2").boot()
        ended(fleet, after_pause=True)
    assert max(map(len, writer.away)) == 1


def test_the_bastion_reboots_in_the_middle(fleet: Fleet) -> None:
    """Broker and orchestrator come back and go on where they were; no step is lost or done twice."""
    with fleet.writing("bastion") as writer:
        begun(fleet, "etcd-2")
        fleet.host("bastion-1").reboot()
        ended(fleet, after_pause=False)
    assert max(map(len, writer.away)) == 1


def test_the_member_under_upgrade_is_partitioned_away(fleet: Fleet) -> None:
    """Nothing else is touched while it can't be seen; once it can, the upgrade goes on."""
    with fleet.writing("partition") as writer:
        begun(fleet, "etcd-2")
        fleet.lab.partition("etcd-2")
        fleet.until("it is missed", lambda: fleet.instances()["etcd-2"]["presence"] != "online")
        assert fleet.step("etcd-3") in {"pending", "prefetching", "waiting"}
        fleet.lab.heal()
        ended(fleet, after_pause=True)
    assert max(map(len, writer.away)) == 1
