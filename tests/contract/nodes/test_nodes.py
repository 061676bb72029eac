"""The contract of `Nodes` and `Preflight`, kept in memory and on a real API server alike."""

import pytest

from orchestrator.domain.picture import Amounts
from orchestrator.ports import PreflightError
from tests.contract.nodes.sites import APP, GIB, ROOM, Site, watching


async def test_all_nodes_are_told_first(site: Site) -> None:
    """What there is comes as a whole: a name that is not among it is gone."""
    await site.node("a")
    await site.node("b")
    await site.cordon("b", "r-7")
    async with watching(site) as told:
        nodes = await told.all()
    assert set(nodes) == {"a", "b"}
    assert (nodes["a"].ready, nodes["a"].unschedulable, nodes["a"].owner) == (True, False, None)
    assert (nodes["b"].ready, nodes["b"].unschedulable, nodes["b"].owner) == (True, True, "r-7")


async def test_what_changes_is_told_as_it_happens(site: Site) -> None:
    """A new Node, Ready or not and why, cordoned and by whom, uncordoned, gone."""
    async with watching(site) as told:
        await told.all()
        await site.node("a")
        while not (await told.node()).ready:
            pass  # a Node may be made first, and be Ready then
        await site.set_ready("a", ready=False)
        sick = await told.node()
        assert (sick.ready, bool(sick.reason)) == (False, True)
        await site.set_ready("a", ready=True)
        assert (await told.node()).reason == ""
        await site.cordon("a", "d-3")
        cordoned = await told.node()
        assert (cordoned.unschedulable, cordoned.owner) == (True, "d-3")
        await site.uncordon("a")
        free = await told.node()
        assert (free.unschedulable, free.owner) == (False, None)
        await site.cordon("a", None)
        nameless = await told.node()
        assert (nameless.unschedulable, nameless.owner) == (True, None)
        await site.remove("a")
        gone = await told.change()
        assert (gone.name, gone.node) == (site.name("a"), None)


async def test_what_says_nothing_new_is_not_told(site: Site) -> None:
    """A status that was written once more is no news; the next news is the next change."""
    await site.node("a")
    async with watching(site) as told:
        await told.all()
        await site.repeat("a")
        await site.cordon("a", "r-1")
        assert (await told.node()).owner == "r-1"


async def test_an_outage_is_told_and_then_all_nodes_anew(site: Site) -> None:
    """The loss comes with its reason; what is told after it is what there is then."""
    await site.node("a")
    async with watching(site) as told:
        await told.all()
        await site.go()
        assert (await told.lost()).reason
        await site.come()
        assert set(await told.all()) == {"a"}
        await site.node("b")
        assert (await told.change()).name == site.name("b")


async def test_a_cluster_that_is_away_at_the_start_is_told(site: Site) -> None:
    """The watch begins with the loss, and goes on when there is something to watch."""
    await site.node("a")
    await site.go()
    async with watching(site) as told:
        assert (await told.lost()).reason
        await site.come()
        assert set(await told.all()) == {"a"}


async def test_a_look_has_the_room_and_the_pods_that_would_leave(site: Site) -> None:
    """All Nodes with what they have and what is asked of them; pods only of those that were named."""
    await site.node("a")
    await site.node("b")
    await site.pod("one", "a")
    await site.pod("two", "b")
    await site.cordon("b", None)
    picture = await site.preflight.look({site.name("a")})
    rooms = {room.name: room for room in picture.nodes}
    asks = Amounts(cpu_m=1_500, memory=2 * GIB, pods=1)
    for short, usable in (("a", True), ("b", False)):
        room = rooms[site.name(short)]
        assert (room.usable, room.allocatable, room.asked) == (usable, ROOM, asks)
    (pod,) = picture.pods
    assert (pod.full_name, pod.node) == (f"{site.namespace}/one", site.name("a"))
    assert (pod.labels, pod.asks, pod.ready) == (APP, asks, True)


async def test_a_look_has_budgets_as_their_controller_counted(site: Site) -> None:
    """What it allows, has, needs and expects, and whom it guards."""
    await site.node("a")
    await site.pod("one", "a")
    await site.budget("keep")
    picture = await site.preflight.look({site.name("a")})
    (budget,) = (each for each in picture.budgets if each.namespace == site.namespace)
    assert (budget.full_name, budget.allowed) == (f"{site.namespace}/keep", 0)
    assert (budget.healthy, budget.needed, budget.expected) == (1, 1, 1)
    (pod,) = picture.pods
    assert budget.selects(pod)
    assert budget.holds(pod)


async def test_a_look_at_a_cluster_that_is_away_says_so(site: Site) -> None:
    """It is an error with a reason, and the next look is as good as ever."""
    await site.node("a")
    await site.go()
    with pytest.raises(PreflightError) as caught:
        await site.preflight.look({site.name("a")})
    assert caught.value.reason
    await site.come()
    assert site.name("a") in {room.name for room in (await site.preflight.look(set())).nodes}
