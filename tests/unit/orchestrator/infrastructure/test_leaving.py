"""Machines that end: who is drained before, who is off the fleet after, and what stops all of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from orchestrator.infrastructure.changes import Action, Changes, InstanceChange
from orchestrator.infrastructure.errors import InfrastructureError, ReachError
from orchestrator.infrastructure.fleet import Seen
from orchestrator.infrastructure.leaving import Leaving


@dataclass
class Orchestrator:
    """Stands for a `Fleet`: who is there, who won't be drained, and what was asked for."""

    online: dict[str, bool] = field(
        default_factory=lambda: dict.fromkeys(("worker-1", "worker-2", "etcd-1"), True)
    )
    stuck: str = ""
    gone: bool = False
    new: str = ""
    asked: list[str] = field(default_factory=list)

    async def instances(self) -> dict[str, Seen]:
        if self.gone:
            raise ReachError(what="bastion-1 can't be reached")
        return {
            name: Seen(id=name, online=online, desired=None, observed=None, outcome="", reason="")
            for name, online in self.online.items()
        }

    async def drain(self, name: str) -> None:
        if name == self.stuck:
            raise ReachError(what="the drain failed", why="pod shop/cart-0 is held by a budget")
        self.asked.append(f"drain {name}")

    async def uncordon(self, name: str) -> None:
        if name == self.new:
            raise ReachError(what="the uncordon failed", why="worker-1 is not cordoned by Tarmak")
        self.asked.append(f"uncordon {name}")

    async def revoke(self, name: str) -> None:
        self.asked.append(f"revoke {name}")


def change(instance: str, action: Action) -> InstanceChange:
    return InstanceChange(instance=instance, role=instance.rpartition("-")[0], action=action)


async def done(
    fleet: Orchestrator, *changes: InstanceChange, given: Sequence[str] | None = ()
) -> Sequence[str]:
    """Have machines end; returns what was asked of the orchestrator, with `apply` in its place."""
    leaving = Leaving(lambda: fleet, Changes(instances=changes), given=given, tell=lambda _: None)  # type: ignore[arg-type,return-value]
    await leaving.begin()
    fleet.asked.append("apply")
    await leaving.end()
    await leaving.back()
    return fleet.asked


async def test_one_that_goes_is_drained_before_and_off_the_fleet_after() -> None:
    """What ran on it has gone elsewhere before its machine ends."""
    gone = change("worker-2", Action.DESTROY)
    assert await done(Orchestrator(), gone) == ["drain worker-2", "apply", "revoke worker-2"]


async def test_one_that_is_made_anew_takes_work_again() -> None:
    """It stays of the fleet."""
    anew = change("worker-1", Action.REPLACE)
    assert await done(Orchestrator(), anew) == ["drain worker-1", "apply", "uncordon worker-1"]


async def test_a_new_machine_without_a_cordon_is_well() -> None:
    """The one that had it has ended; that there is none is said, and no failure."""
    anew = change("worker-1", Action.REPLACE)
    assert await done(Orchestrator(new="worker-1"), anew) == ["drain worker-1", "apply"]


async def test_what_does_not_end_is_not_asked_for() -> None:
    """A machine more, one that starts, or none at all: the orchestrator isn't even needed."""
    fleet = Orchestrator(gone=True)
    assert await done(fleet, change("worker-3", Action.CREATE), change("etcd-1", Action.START)) == ["apply"]


async def test_state_that_was_given_up_is_not_drained() -> None:
    """Nor anything, if that was said."""
    lost, gone = change("etcd-1", Action.REPLACE), change("worker-1", Action.DESTROY)
    assert await done(Orchestrator(), lost, gone, given=["etcd-1"]) == [
        "drain worker-1",
        "apply",
        "revoke worker-1",
    ]
    assert await done(Orchestrator(), lost, gone, given=None) == ["apply", "revoke worker-1"]


async def test_one_that_is_not_there_is_not_waited_for() -> None:
    """A machine that was lost is what one replaces."""
    fleet = Orchestrator({"worker-1": False})
    assert await done(fleet, change("worker-1", Action.REPLACE)) == ["apply", "uncordon worker-1"]


async def test_a_bastion_that_ends_too_is_asked_nothing() -> None:
    """The whole cluster goes, or a new bastion comes first."""
    both = change("bastion-1", Action.REPLACE), change("worker-1", Action.REPLACE)
    assert await done(Orchestrator(gone=True), *both) == ["apply"]


@pytest.mark.parametrize("fleet", [Orchestrator(stuck="worker-2"), Orchestrator(gone=True)])
async def test_nothing_ends_if_one_is_not_drained(fleet: Orchestrator) -> None:
    """With the reason, and the way around it."""
    with pytest.raises(InfrastructureError, match="--no-drain goes on without"):
        await done(fleet, change("worker-1", Action.DESTROY), change("worker-2", Action.DESTROY))
    assert "apply" not in fleet.asked
