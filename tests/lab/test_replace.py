"""Machines made anew by `tarmak upgrade --replace`: one at a time, behind the gates of a rollout."""

import pytest

from tests.lab import account
from tests.lab.fleet import Fleet

pytestmark = pytest.mark.long
NETWORK = "198.18.213"
WITHOUT = ("etcd", "master")
WORKERS = ("worker-1", "worker-2", "worker-3")


def machine(fleet: Fleet, name: str) -> str:
    return fleet.host(name).run("cat", "/etc/machine-id")


def test_workers_are_made_anew_one_after_the_other(fleet: Fleet) -> None:
    """Each is another machine under its name that has proved the bundle; never are two away."""
    before = {name: machine(fleet, name) for name in WORKERS}
    done = fleet.replaced("--role", "worker")
    assert done.code == 0, done.err
    assert not {machine(fleet, name) for name in WORKERS} & set(before.values())
    seen = fleet.instances()
    assert all((seen[name]["presence"], seen[name]["outcome"]) == ("online", "converged") for name in WORKERS)
    assert fleet.rollout()["state"] == "succeeded"
    account.check(fleet.events())
    assert "nothing to do" in fleet.cluster("plan", str(fleet.file)).out


def test_a_bastion_is_not_replaced_from_itself(fleet: Fleet) -> None:
    """It is refused before anything is drained."""
    refused = fleet.replaced("--role", "bastion")
    assert (refused.code, "the bastion" in refused.err) == (2, True)
