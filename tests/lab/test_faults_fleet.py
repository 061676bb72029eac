"""Each fault in the middle of a converge, and in the middle of a rollout: what was promised holds in the end.

Nothing is done on a host but the fault and its end. An operator may have to say once more what is wanted.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.lab import account
from tests.lab.fleet import Fleet, LateError

pytestmark = pytest.mark.long
NETWORK = "198.18.214"
WITHOUT = ("etcd", "master")
WORKERS = ("worker-1", "worker-2", "worker-3")
HIT = "worker-2"

Fault = Callable[[Fleet], Callable[[], object]]
"""Does it, and returns what ends it."""


def missed(fleet: Fleet, *names: str) -> None:
    """Wait until the orchestrator knows that these are away."""
    fleet.until(
        "it is missed", lambda: all(fleet.instances()[name]["presence"] != "online" for name in names)
    )


def power(fleet: Fleet) -> Callable[[], object]:
    fleet.host(HIT).power_off()
    missed(fleet, HIT)
    return fleet.host(HIT).boot


def reboot(fleet: Fleet) -> Callable[[], object]:
    fleet.host(HIT).reboot()
    return lambda: None


def partition_of_one(fleet: Fleet) -> Callable[[], object]:
    fleet.lab.partition(HIT)
    missed(fleet, HIT)
    return fleet.lab.heal


def partition_of_several(fleet: Fleet) -> Callable[[], object]:
    fleet.lab.partition(HIT, "worker-3")
    missed(fleet, HIT, "worker-3")
    return fleet.lab.heal


def loss(fleet: Fleet) -> Callable[[], object]:
    fleet.lab.loss(HIT, 40)
    return fleet.lab.heal


def full_disk(fleet: Fleet) -> Callable[[], object]:
    fleet.host(HIT).fill_disk()
    with suppress(LateError):  # a wing that can't write what it does may not be able to end it
        fleet.until("the run ends", lambda: fleet.instances()[HIT]["outcome"] != "running", patience_s=30)
    return fleet.host(HIT).free_disk


def clock_ahead(fleet: Fleet) -> Callable[[], object]:
    fleet.host(HIT).move_clock(3600)
    return lambda: fleet.host(HIT).move_clock(0)


def clock_behind(fleet: Fleet) -> Callable[[], object]:
    fleet.host(HIT).move_clock(-3600)
    return lambda: fleet.host(HIT).move_clock(0)


def brokers_disk(fleet: Fleet) -> Callable[[], object]:
    fleet.host("bastion-1").lose_broker_disk()
    return lambda: None


def bastions_power(fleet: Fleet) -> Callable[[], object]:
    fleet.host("bastion-1").power_off()
    return fleet.host("bastion-1").boot


FAULTS = (
    power,
    reboot,
    partition_of_one,
    partition_of_several,
    loss,
    full_disk,
    clock_ahead,
    clock_behind,
    brokers_disk,
    bastions_power,
)


@pytest.fixture(scope="module")
def releases() -> Iterator[str]:
    """Releases of the site, each another one."""
    return (f"2.0.{number}" for number in itertools.count())


@pytest.fixture
def bundle(fleet: Fleet, releases: Iterator[str]) -> str:
    """A bundle that no instance has."""
    fleet.describe(site=next(releases))
    fleet.apply()
    return fleet.digest()


def settled(fleet: Fleet) -> None:
    """Wait until every worker is there, and no run of theirs is under way."""
    fleet.until(
        "all are there", lambda: all(fleet.instances()[name]["presence"] == "online" for name in WORKERS)
    )
    open_ones = ("--state", "queued", "--state", "running")
    fleet.until("no run is under way", lambda: not fleet.json("run", "list", *open_ones))


def has(fleet: Fleet, bundle: str) -> bool:
    """Whether all workers have proved a bundle, and really are what it says."""
    instances = fleet.instances()
    return all(
        (instances[name]["observed"], instances[name]["outcome"]) == (bundle, "converged") for name in WORKERS
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_converge_survives_it(fleet: Fleet, bundle: str, fault: Fault) -> None:
    """Every command has one answer; who did not converge says so, and does when it is asked again."""
    asked = fleet.tarmak("converge", "--role", "worker", "--bundle", bundle, "--yes", "--no-wait")
    assert asked.code == 0, asked.err
    fleet.until("it runs", lambda: fleet.instances()[HIT]["outcome"] == "running")
    fault(fleet)()
    settled(fleet)
    if not has(fleet, bundle):
        again = fleet.tarmak("converge", "--role", "worker", "--bundle", bundle, "--yes")
        assert again.code == 0, again.err
    assert has(fleet, bundle)
    account.check(fleet.events())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rollout_survives_it(fleet: Fleet, bundle: str, fault: Fault) -> None:
    """It ends, or pauses with a reason; never is more than one away through it."""
    strategy = ("--role", "worker", "--canary-soak", "0", "--yes", "--no-wait")
    asked = fleet.tarmak("upgrade", "--bundle", bundle, *strategy)
    assert asked.code == 0, asked.err
    fleet.until("it runs", lambda: fleet.step(HIT) == "converging")
    fault(fleet)()
    ends = {"succeeded", "paused"}
    fleet.until("the rollout ends or pauses", lambda: fleet.rollout()["state"] in ends)
    if fleet.rollout()["state"] == "paused":
        assert fleet.rollout()["reason"]
        settled(fleet)
        assert fleet.tarmak("rollout", "retry").code == 0
        fleet.until("the rollout ends", lambda: fleet.rollout()["state"] in ends)
    assert fleet.rollout()["state"] == "succeeded", fleet.rollout()
    assert has(fleet, bundle)
    account.check(fleet.events())
