"""What every journal keeps of rollouts, orders and slots."""

from dataclasses import replace
from datetime import time, timedelta

from broker.ids import InstanceId, OrderId, Role, RolloutId, RunId
from broker.messages import (
    CommandCheck,
    Drain,
    DrainPolicy,
    EtcdCheck,
    Health,
    HealthChecks,
    HttpCheck,
    NodeCheck,
    Uncordon,
    VaultCheck,
)
from orchestrator.domain.model import Order
from orchestrator.domain.rollout.model import (
    Cause,
    Leaving,
    Rollout,
    RolloutState,
    Slot,
    Step,
    StepState,
    Timings,
    Wave,
    Why,
)
from orchestrator.domain.rollout.strategy import Amount, OnFailure, Strategy, Window
from orchestrator.domain.views import RunState
from tests.contract.journal.places import INSTANCE, TICKET, Place, committed
from tests.unit.orchestrator.domain.playbook import DIGEST, NOW, A, number, run

WORKER = Role("worker")
OTHER = InstanceId("worker-2")
INSTANCES = {
    A: INSTANCE,
    OTHER: replace(INSTANCE, enrolment=replace(INSTANCE.enrolment, id=OTHER, key="k2")),
}
STRATEGY = Strategy(
    roles=(Role("etcd"), WORKER),
    max_unavailable=Amount(value=30, percent=True),
    max_failures=Amount(value=10, percent=True),
    min_finished=5,
    health={
        WORKER: HealthChecks(node=NodeCheck(), commands=(CommandCheck(command=("true",)),)),
        Role("etcd"): HealthChecks(etcd=EtcdCheck(leaving=True), http=(HttpCheck(url="https://x"),)),
        Role("vault"): HealthChecks(vault=VaultCheck()),
    },
    drain=DrainPolicy(),
    on_failure=OnFailure.REVERT,
    replace=True,
    window=Window(begin=time(22, 30), end=time(4), days=("sat", "sun"), zone="Europe/Berlin"),
)


def rollout(value: int, **more: object) -> Rollout:
    made = Rollout(
        id=RolloutId(f"r-{value}"),
        bundle=DIGEST,
        strategy=STRATEGY,
        requested_by="ann",
        created_at=NOW,
        state=RolloutState.PAUSED,
        why=Why(cause=Cause.SOME_FAILED, said={"count": "2"}),
        waves=(Wave(number=1, role=WORKER, instances=(A,), canary=True),),
        back_waves=(Wave(number=1, role=WORKER, instances=(A,)),),
        whole_roles=(WORKER,),
        soak_until=NOW,
        forgiven=1,
        beyond=2,
        reverting=True,
        reverted_by="ann",
    )
    return replace(made, **more)  # type: ignore[arg-type] # whatever a test says


def over(value: int, *, days: int = 0) -> Rollout:
    ended = NOW + timedelta(days=days)
    return rollout(value, state=RolloutState.SUCCEEDED, finished_at=ended)


def step(instance: InstanceId = A, **more: object) -> Step:
    made = Step(
        instance=instance,
        role=WORKER,
        wave=1,
        target=DIGEST,
        origin=DIGEST,
        approved="sha256:x",
        state=StepState.DRAINING,
        why=Why(cause=Cause.DRAIN_BLOCKED, said={"pod": "shop/cart-0"}),
        touched=True,
        cordoned=True,
        former="k",
        replaced=True,
        work=number(9),
        tries=2,
        leaving=Leaving.SKIPPED,
        since=NOW,
        progressed_at=NOW,
        timings=Timings(begun_at=NOW, away_at=NOW),
    )
    return replace(made, **more)  # type: ignore[arg-type] # whatever a test says


def order(value: int, owner: str = "r-7", **more: object) -> Order:
    id_ = OrderId(number(value))
    made = Order(
        id=id_,
        instance=A,
        role=WORKER,
        owner=owner,
        body=Drain(order=id_, policy=DrainPolicy(), owner=owner),
        requested_by="ann",
        created_at=NOW,
        not_after=NOW + timedelta(hours=1),
        command=number(0x77),
        state=RunState.RUNNING,
        accepted=True,
        reason="blocked",
        started_at=NOW,
        total=5,
        evicted=3,
        blocked=("shop/cart-0 not evicted: budget",),
        left=("x/y",),
    )
    return replace(made, **more)  # type: ignore[arg-type] # whatever a test says


def slot(instance: InstanceId = A) -> Slot:
    return Slot(instance=instance, role=WORKER, owner="r-7", since=NOW)


def steps(of: int, *made: Step) -> dict[tuple[RolloutId, InstanceId], Step]:
    return {(RolloutId(f"r-{of}"), each.instance): each for each in made}


def rollouts(*made: Rollout) -> dict[RolloutId, Rollout]:
    return {each.id: each for each in made}


def orders(*made: Order) -> dict[OrderId, Order]:
    return {each.id: each for each in made}


async def test_an_open_rollout_is_there_after_a_restart_with_its_steps(place: Place) -> None:
    """Strategy, waves and every step are as they were committed; one that is over is not among the open."""
    first = step()
    again = await committed(
        place,
        instances=INSTANCES,
        rollouts=rollouts(over(6), rollout(7)),
        steps=steps(7, first, step(OTHER)) | steps(6, step()),
    )
    moved = step(OTHER, state=StepState.DONE, why=None)
    again = await committed(again, steps=steps(7, moved))
    loaded = await again.journal.load()
    assert list(loaded.rollouts) == [rollout(7, steps={A: first, OTHER: moved})]
    assert loaded.newest_rollout == 7


async def test_a_rollouts_own_row_leaves_its_steps_alone(place: Place) -> None:
    """The steps within a rollout's value are not those that are written."""
    await committed(place, instances=INSTANCES, rollouts=rollouts(rollout(7)), steps=steps(7, step()))
    again = await committed(place, rollouts=rollouts(rollout(7, wave=2, steps={OTHER: step(OTHER)})))
    assert list((await again.journal.load()).rollouts) == [rollout(7, wave=2, steps={A: step()})]


async def test_rollouts_are_listed_newest_first_in_pages(place: Place) -> None:
    """They are ordered by number, not by text, and come without their steps."""
    made = [rollout(value) for value in (2, 9, 10)]
    await committed(place, instances=INSTANCES, rollouts=rollouts(*made), steps=steps(10, step()))
    assert list(await place.archive.rollouts(limit=2, before=None)) == [made[2], made[1]]
    assert list(await place.archive.rollouts(limit=2, before=RolloutId("r-9"))) == [made[0]]
    assert await place.archive.rollout(RolloutId("r-10")) == replace(made[2], steps={A: step()})
    assert await place.archive.rollout(RolloutId("r-11")) is None


async def test_open_orders_are_there_after_a_restart(place: Place) -> None:
    """Every kind of order comes back as it was; one that is answered does not."""
    drain = order(1)
    uncordon = order(2, body=Uncordon(order=OrderId(number(2)), owner="r-7"))
    checks = STRATEGY.health[WORKER]
    health = order(3, "d-4", body=Health(order=OrderId(number(3)), checks=checks, since=NOW))
    ended = order(4, "d-12", state=RunState.SUCCEEDED, finished_at=NOW)
    again = await committed(place, instances=INSTANCES, orders=orders(drain, uncordon, health, ended))
    loaded = await again.journal.load()
    assert sorted(loaded.orders, key=lambda each: each.id) == [drain, uncordon, health]
    assert loaded.newest_drain == 12
    assert list(await again.archive.orders("r-7")) == [uncordon, drain]
    assert await again.archive.order(ended.id) == ended
    assert await again.archive.order(OrderId(number(5))) is None


async def test_slots_are_taken_and_freed(place: Place) -> None:
    """Who disrupts an instance is known after a restart, until it is freed."""
    again = await committed(place, instances=INSTANCES, slots={A: slot(), OTHER: slot(OTHER)})
    assert sorted((await again.journal.load()).slots, key=lambda each: each.instance) == [slot(), slot(OTHER)]
    again = await committed(again, freed={A})
    assert list((await again.journal.load()).slots) == [slot(OTHER)]


async def test_a_run_keeps_its_rollout_and_its_approved_diff(place: Place) -> None:
    """What ties a run to its rollout survives."""
    tied = run(rollout=RolloutId("r-7"), diff="sha256:x", ticket=None)
    again = await committed(place, instances=INSTANCES, runs={RunId(tied.id): tied})
    assert await again.archive.run(tied.id) == tied


async def test_dry_runs_of_a_bundle_are_found_newest_first(place: Place) -> None:
    """A plan is a request for dry runs; requests for other bundles, or for real runs, are none."""
    plans = [replace(TICKET, id=number(value), noop=True) for value in (1, 2, 3)]
    foreign = replace(plans[0], id=number(4), digest=DIGEST.replace("a", "b"))
    await committed(place, tickets=[TICKET, foreign, *plans])
    assert list(await place.archive.plans(DIGEST, limit=2)) == [plans[2], plans[1]]


async def test_old_rollouts_and_orders_are_forgotten(place: Place) -> None:
    """What is over goes with its steps; what is open, or ended later, stays."""
    await committed(
        place,
        instances=INSTANCES,
        rollouts=rollouts(over(1), rollout(2), over(3, days=2), over(4, days=2)),
        steps=steps(1, step()) | steps(2, step()),
        orders=orders(order(1, state=RunState.SUCCEEDED), order(2)),
    )
    await place.journal.forget(NOW + timedelta(days=1))
    kept = [item.id for item in await place.archive.rollouts(limit=9, before=None)]
    assert kept == ["r-4", "r-3", "r-2"]
    assert await place.archive.rollout(RolloutId("r-1")) is None
    assert [item.id for item in await place.archive.orders("r-7")] == [number(2)]
    # A rollout that is begun under an old number must not find the steps of the one before.
    again = await committed(place, rollouts=rollouts(rollout(1)))
    found = {item.id: item for item in (await again.journal.load()).rollouts}
    assert found[RolloutId("r-1")].steps == {}


async def test_numbers_are_counted_on_from_what_was_forgotten(place: Place) -> None:
    """The newest rollout and the newest bare drain stay, however old: no number is given twice."""
    ended = RunState.SUCCEEDED
    await committed(
        place,
        instances=INSTANCES,
        rollouts=rollouts(over(1), over(2)),
        orders=orders(order(1, "d-1", state=ended), order(2, "d-2", state=ended)),
    )
    await place.journal.forget(NOW + timedelta(days=90))
    loaded = await place.journal.load()
    assert (loaded.newest_rollout, loaded.newest_drain) == (2, 2)
    assert [item.id for item in await place.archive.rollouts(limit=9, before=None)] == ["r-2"]
    assert list(await place.archive.orders("d-1")) == []
