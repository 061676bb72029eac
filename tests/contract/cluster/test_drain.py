"""A drain on a cluster: what goes, what stays, what refuses, what blocks, and what becomes of the cordon."""

import asyncio
from datetime import UTC, datetime

import pytest

from broker.messages import (
    CordonChanged,
    DrainBlocked,
    DrainFinished,
    DrainStarted,
    OnTimeout,
    PodEvicted,
)
from tests.contract.cluster.sites import BRISK, OWNER, STRICT, Site, Watched, drained
from wing.cluster import ConflictError
from wing.cordon import lift
from wing.drain_state import Pace
from wing.events import Done, Stopped, Unable


def blocked(watched: Watched) -> list[DrainBlocked]:
    """Return what was told to be blocked."""
    return [fact for fact in watched.told if isinstance(fact, DrainBlocked)]


def finished(watched: Watched) -> DrainFinished:
    """Return the drain's own account of its end."""
    (fact,) = watched.of(DrainFinished)
    assert isinstance(fact, DrainFinished)
    return fact


async def test_everything_that_may_go_goes(site: Site) -> None:
    """The node is cordoned in its owner's name, its pods go and are told one by one; the cordon stays."""
    for name in ("a", "b", "c"):
        await site.pod(name)
    watched = Watched()
    assert await drained(site, watched) == Done()
    assert await site.pods_on(site.node) == set()
    kinds = [type(fact) for fact in watched.told]
    assert kinds == [CordonChanged, DrainStarted, PodEvicted, PodEvicted, PodEvicted, DrainFinished]
    names = {fact.pod for fact in watched.told if isinstance(fact, PodEvicted)}
    assert names == {f"{site.namespace}/{name}" for name in ("a", "b", "c")}
    assert (finished(watched).evicted, finished(watched).left) == (3, ())
    node = await site.api.node()
    assert (node.cordoned, node.owner) == (True, OWNER)


async def test_an_empty_node_is_drained_at_once(site: Site) -> None:
    """With nothing to go the drain is done, and the node cordoned."""
    watched = Watched()
    assert await drained(site, watched) == Done()
    assert [type(fact) for fact in watched.told] == [CordonChanged, DrainStarted, DrainFinished]


async def test_daemons_and_static_pods_stay(site: Site) -> None:
    """What would come right back is left, and neither named as evicted nor as left behind."""
    await site.daemon("agent")
    await site.mirror("static")
    await site.pod("web")
    before = await site.pods_on(site.node)
    watched = Watched()
    assert await drained(site, watched) == Done()
    assert await site.pods_on(site.node) == before - {"web"}


async def test_finished_pods_go_whatever_they_have(site: Site) -> None:
    """A pod that has ended refuses nothing: no controller and a local volume are nobody's loss."""
    await site.pod("ended", controlled=False, emptydir=True, finished=True)
    assert await drained(site, Watched()) == Done()
    assert await site.pods_on(site.node) == set()


async def test_one_refusal_refuses_the_whole(site: Site) -> None:
    """Every refusal is named, nothing is evicted, and the cordon is lifted again."""
    await site.pod("bare", controlled=False)
    await site.pod("scratch", emptydir=True)
    await site.pod("web")
    watched = Watched()
    end = await drained(site, watched)
    assert isinstance(end, Unable)
    for name in ("bare", "scratch"):
        assert f"{site.namespace}/{name}" in end.reason
    assert "force" in end.reason
    assert "delete_emptydir_data" in end.reason
    assert await site.pods_on(site.node) == {"bare", "scratch", "web"}
    node = await site.api.node()
    assert (node.cordoned, node.owner) == (False, None)
    assert watched.of(PodEvicted) == watched.of(DrainStarted) == []
    assert len(finished(watched).left) == 2


async def test_what_is_allowed_goes(site: Site) -> None:
    """`force` and `delete_emptydir_data` let bare pods and local volumes go."""
    await site.pod("bare", controlled=False, emptydir=True)
    assert await drained(site, Watched(), force=True, delete_emptydir_data=True) == Done()
    assert await site.pods_on(site.node) == set()


async def test_a_critical_pod_stays_unless_it_is_asked_for(site: Site) -> None:
    """The priority class system-node-critical is what the node itself needs."""
    await site.pod("critical", controlled=False, priority_class="system-node-critical")
    assert await drained(site, Watched()) == Done()
    assert await site.pods_on(site.node) == {"critical"}
    assert await drained(site, Watched(), critical=True, force=True) == Done()
    assert await site.pods_on(site.node) == set()


async def test_a_budget_blocks_and_then_frees(site: Site) -> None:
    """A blocked pod is told with its budget and its counts, and goes as soon as the budget lets it."""
    await site.pod("web")
    await site.budget("keep")
    watched = Watched()
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(drained(site, watched))
        told = await watched.until(lambda fact: isinstance(fact, DrainBlocked))
        assert isinstance(told, DrainBlocked)
        assert (told.pod, told.budget) == (f"{site.namespace}/web", f"{site.namespace}/keep")
        assert (told.healthy, told.needed) == (1, 1)
        await site.drop_budget("keep")
    assert draining.result() == Done()


async def test_two_budgets_on_one_pod_fail_it_and_no_other(site: Site) -> None:
    """Such a pod can't be evicted at all: the others go, the drain fails and names it."""
    await site.pod("web")
    await site.pod("other", labels={"app": "other"})
    for name in ("one", "two"):
        await site.budget(name, min_available=0)
    watched = Watched()
    end = await drained(site, watched)
    assert isinstance(end, Unable)
    assert f"{site.namespace}/web: This pod has more than one PodDisruptionBudget" in end.reason
    assert await site.pods_on(site.node) == {"web"}
    assert not (await site.api.node()).cordoned


async def test_past_the_budgets_only_when_told_to(site: Site) -> None:
    """`disable_eviction` deletes, whatever holds the pod."""
    await site.pod("web")
    await site.budget("keep")
    assert await drained(site, Watched(), disable_eviction=True) == Done()
    assert await site.pods_on(site.node) == set()


async def test_a_namespace_that_is_being_deleted_takes_its_pods_along(site: Site) -> None:
    """The drain waits for a pod that goes with its namespace, and says what holds it."""
    await site.pod("held", finalizers=["example.test/hold"])
    await site.end_namespace()
    watched = Watched()
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(drained(site, watched, pace=STRICT))
        told = await watched.until(lambda fact: isinstance(fact, DrainBlocked))
        assert isinstance(told, DrainBlocked)
        assert told.pod == f"{site.namespace}/held"
        await site.release("held")
    assert draining.result() == Done()


async def test_a_pod_that_is_reborn_elsewhere_is_gone_from_here(site: Site) -> None:
    """A StatefulSet's pod comes back under its own name on another node: it is not chased."""
    await site.stateful("db")
    watched = Watched()
    assert await drained(site, watched) == Done()
    assert "db-0" not in await site.pods_on(site.node)
    assert finished(watched).evicted == 1


async def test_a_pod_that_never_goes_is_named_at_the_end_of_the_time(site: Site) -> None:
    """The answer says which pod is left and what holds it; by default our cordon is lifted."""
    await site.pod("held", finalizers=["example.test/hold"])
    await site.pod("web")
    watched = Watched()
    end = await drained(site, watched, pace=STRICT, timeout_s=5)
    assert isinstance(end, Unable)
    assert "not done within 5 s" in end.reason
    assert f"{site.namespace}/held" in end.reason
    assert "example.test/hold" in end.reason
    assert f"{site.namespace}/web" not in end.reason
    assert not (await site.api.node()).cordoned
    assert finished(watched).evicted == 1
    await site.release("held")


async def test_a_cordon_may_be_kept(site: Site) -> None:
    """With `keep` a failed drain leaves its cordon, in its owner's name."""
    await site.pod("web")
    await site.budget("keep")
    end = await drained(site, Watched(), timeout_s=1, on_timeout=OnTimeout.KEEP)
    assert isinstance(end, Unable)
    assert "cordon of r-7 is kept" in end.reason
    assert (await site.api.node()).owner == OWNER


@pytest.mark.parametrize(("selector", "ends"), [("app=web", Done), ("app in (other, third)", Unable)])
async def test_at_last_only_what_is_named_is_deleted(site: Site, selector: str, ends: type) -> None:
    """When the time is over a blocked pod is deleted if a selector names it, and otherwise left alone."""
    await site.pod("web")
    await site.budget("keep")
    end = await drained(
        site, Watched(), timeout_s=1, on_timeout=OnTimeout.DELETE, delete_selectors=(selector,)
    )
    assert isinstance(end, ends)
    assert await site.pods_on(site.node) == (set() if ends is Done else {"web"})


async def test_a_node_that_was_cordoned_before_is_drained_and_not_owned(site: Site) -> None:
    """Somebody else's cordon stays theirs, and is not lifted even when the drain is refused."""
    await site.set_cordon(cordoned=True)
    await site.pod("bare", controlled=False)
    watched = Watched()
    assert isinstance(await drained(site, watched), Unable)
    node = await site.api.node()
    assert (node.cordoned, node.owner) == (True, None)
    assert await drained(site, Watched(), force=True) == Done()
    (told,) = watched.of(CordonChanged)
    assert isinstance(told, CordonChanged)
    assert not told.owned


async def test_a_node_that_somebody_uncordons_is_cordoned_again(site: Site) -> None:
    """The drain says so, and the cordon is its own from then on."""
    await site.pod("web")
    await site.budget("keep")
    watched = Watched()
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(drained(site, watched))
        await watched.until(lambda fact: isinstance(fact, DrainBlocked))
        await site.set_cordon(cordoned=False)
        told = await watched.until(
            lambda fact: isinstance(fact, CordonChanged) and "uncordoned" in fact.reason
        )
        assert isinstance(told, CordonChanged)
        assert (told.cordoned, told.owned) == (True, True)
        assert (await site.api.node()).cordoned
        await site.drop_budget("keep")
    assert draining.result() == Done()


async def test_a_later_owner_takes_a_cordon_over(site: Site) -> None:
    """A cordon that an ended rollout left becomes the next one's, if that is told so; no other's does."""
    assert await drained(site, Watched(), owner="r-6") == Done()
    watched = Watched()
    assert await drained(site, watched) == Done()
    (told,) = watched.of(CordonChanged)
    assert isinstance(told, CordonChanged)
    assert (told.owned, told.reason) == (False, "r-6 had cordoned it")
    watched = Watched()
    assert await drained(site, watched, takes_over="r-6") == Done()
    (told,) = watched.of(CordonChanged)
    assert isinstance(told, CordonChanged)
    assert (told.owned, told.reason) == (True, "taken over from r-6")
    assert (await site.api.node()).owner == OWNER


async def test_an_api_server_that_goes_away_is_waited_for(site: Site) -> None:
    """An outage in the middle is told, and the drain goes on after it."""
    await site.pod("web")
    await site.budget("keep")
    watched = Watched()
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(drained(site, watched))
        await watched.until(lambda fact: isinstance(fact, DrainBlocked))
        await site.stop()
        await watched.until(lambda fact: isinstance(fact, DrainBlocked) and "can't be reached" in fact.reason)
        await site.start()
        await site.drop_budget("keep")
    assert draining.result() == Done()
    assert await site.pods_on(site.node) == set()


async def test_two_hundred_and_fifty_pods_go(site: Site) -> None:
    """A full node is emptied, with no more evictions at once than agreed."""
    for number in range(250):
        await site.pod(f"web-{number}")
    watched = Watched()
    assert await drained(site, watched, pace=Pace(look_s=0.5, at_once=8)) == Done()
    assert finished(watched).evicted == 250
    assert len(watched.of(PodEvicted)) == 250


async def test_a_drain_that_was_killed_goes_on_where_it_was(site: Site) -> None:
    """Begun again by the same owner, it finds its own cordon and evicts what is left."""
    await site.pod("free", labels={"app": "other"})
    await site.pod("web")
    await site.budget("keep")
    killed = Watched()
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(drained(site, killed))
        await killed.until(lambda fact: isinstance(fact, PodEvicted))
        await killed.until(lambda fact: isinstance(fact, DrainBlocked))
        draining.cancel()
    assert killed.of(DrainFinished) == []
    assert (await site.api.node()).owner == OWNER
    await site.drop_budget("keep")
    watched = Watched()
    assert await drained(site, watched) == Done()
    (cordon,) = watched.of(CordonChanged)
    assert isinstance(cordon, CordonChanged)
    assert (cordon.owned, "before" in cordon.reason) == (True, True)
    assert finished(watched).evicted == 1


async def test_a_cancelled_drain_evicts_no_more_and_leaves_the_cordon(site: Site) -> None:
    """What is left is named, and the cordon is for whoever cancelled to lift."""
    await site.pod("web")
    await site.budget("keep")
    watched = Watched()
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(drained(site, watched))
        await watched.until(lambda fact: isinstance(fact, DrainBlocked))
        watched.cancel.set()
    assert draining.result() == Stopped()
    assert await site.pods_on(site.node) == {"web"}
    assert (await site.api.node()).owner == OWNER
    assert len(finished(watched).left) == 1


async def test_a_cordon_upon_an_old_version_of_the_node_is_a_conflict(site: Site) -> None:
    """Nobody's change to the node is overwritten unseen."""
    seen = await site.api.node()
    await site.set_cordon(cordoned=True)
    with pytest.raises(ConflictError):
        await site.api.cordon(seen, OWNER, datetime.now(UTC))


@pytest.mark.parametrize(("owner", "stays"), [(OWNER, False), ("r-6", True)])
async def test_a_cordon_is_lifted_by_its_owner_only(site: Site, owner: str, *, stays: bool) -> None:
    """Uncordon in another's name leaves the node as it is."""
    await site.api.cordon(await site.api.node(), OWNER, datetime.now(UTC))
    node = await lift(site.api, owner, patience_s=BRISK.patience_s, pause_s=BRISK.look_s)
    assert node == await site.api.node()
    assert (node.cordoned, node.owner) == (stays, OWNER if stays else None)


async def test_a_persons_cordon_is_nobodys_to_lift(site: Site) -> None:
    """A cordon without an owner stays."""
    await site.set_cordon(cordoned=True)
    assert (await lift(site.api, OWNER, patience_s=5, pause_s=0.1)).cordoned
