"""What a drain would meet is told before it begins: budgets that hold it, and pods with nowhere to go."""

from dataclasses import replace
from typing import Any

import pytest

from broker.ids import InstanceId
from broker.messages import DrainPolicy
from orchestrator.domain.picture import (
    GIB,
    Amounts,
    BudgetSeen,
    NodeRoom,
    Picture,
    PodSeen,
    Requirement,
    Taint,
    Toleration,
)
from orchestrator.domain.preflight import Leaving, warnings

POLICY = DrainPolicy()
CART = (Requirement(key="app", operator="In", values=("cart",)),)
HELD = "budget shop/cart allows no disruption: 2 of 2 healthy needed; it will hold the drain of {}"
MASTER = Taint(key="node-role.kubernetes.io/control-plane", value="", effect="NoSchedule")


def node(name: str, cores: int = 4, gib: int = 16, pods: int = 110, **more: Any) -> NodeRoom:
    room = Amounts(cpu_m=cores * 1000, memory=gib * GIB, pods=pods)
    return NodeRoom(**{"name": name, "usable": True, "allocatable": room, "asked": Amounts(), **more})


def pod(name: str = "cart-0", on: str = "worker-1", cores: float = 1, gib: float = 1, **more: Any) -> PodSeen:
    asks = Amounts(cpu_m=int(cores * 1000), memory=int(gib * GIB), pods=1)
    plain = {"namespace": "shop", "name": name, "node": on, "labels": {"app": "cart"}, "asks": asks}
    return PodSeen(**{**plain, **more})


def budget(**more: Any) -> BudgetSeen:
    counted = {"allowed": 0, "healthy": 2, "needed": 2, "expected": 2}
    return BudgetSeen(**{"namespace": "shop", "name": "cart", "selector": CART, **counted, **more})


def wave(number: int, *names: str) -> Leaving:
    return Leaving(wave=number, nodes={name: InstanceId(name) for name in names})


def told(picture: Picture, *waves: Leaving, policy: DrainPolicy = POLICY) -> list[str]:
    """Return the warnings for a fleet of which every wave is drained."""
    return list(warnings(picture, waves, policy))


ROOMY = (node("worker-1"), node("worker-2"), node("worker-3"))


def test_a_budget_that_allows_nothing_is_named_with_whom_it_holds() -> None:
    """The sentence has the budget, its counts, and every instance whose drain would wait for it."""
    pods = (pod("cart-0", "worker-1"), pod("cart-1", "worker-3"))
    picture = Picture(nodes=ROOMY, pods=pods, budgets=(budget(),))
    assert told(picture, wave(1, "worker-1"), wave(2, "worker-2"), wave(3, "worker-3")) == [
        HELD.format("worker-1 and worker-3")
    ]
    short = replace(picture, budgets=(budget(healthy=1),))
    assert "2 of 2 healthy needed, 1 are;" in told(short, wave(1, "worker-1"))[0]


@pytest.mark.parametrize(
    "harmless",
    [
        budget(allowed=1),
        budget(namespace="other"),
        budget(selector=None),
        budget(selector=(Requirement(key="app", operator="NotIn", values=("cart",)),)),
        budget(selector=(Requirement(key="app", operator="DoesNotExist"),)),
        budget(selector=(Requirement(key="tier", operator="Exists"),)),
        budget(selector=(Requirement(key="app", operator="Unheard"),)),
    ],
)
def test_a_budget_that_allows_one_or_guards_others_is_not_told(harmless: BudgetSeen) -> None:
    """Neither is one of another namespace, or without a selector."""
    assert told(Picture(nodes=ROOMY, pods=(pod(),), budgets=(harmless,)), wave(1, "worker-1")) == []


@pytest.mark.parametrize(
    "guarding",
    [
        (),
        (Requirement(key="app", operator="Exists"),),
        (Requirement(key="tier", operator="NotIn", values=("web",)),),
        (Requirement(key="tier", operator="DoesNotExist"),),
    ],
)
def test_every_form_of_selector_is_understood(guarding: tuple[Requirement, ...]) -> None:
    """An empty one guards all of its namespace."""
    found = told(
        Picture(nodes=ROOMY, pods=(pod(),), budgets=(budget(selector=guarding),)), wave(1, "worker-1")
    )
    assert len(found) == 1


def test_a_pod_that_is_not_ready_may_go_as_the_api_server_would_let_it() -> None:
    """It may if enough others are healthy, or if its budget says so; a pending one may always."""
    sick = pod(ready=False)
    assert not budget().holds(sick)
    assert budget(healthy=1).holds(sick)
    assert budget(needed=0).holds(sick)
    assert not budget(healthy=1, evicts_unready=True).holds(sick)
    assert not budget().holds(pod(pending=True))
    assert budget(evicts_unready=True).holds(pod())


def test_a_pod_of_two_budgets_can_not_be_evicted() -> None:
    """The API server answers with an error, whatever they allow."""
    both = (budget(allowed=1), budget(name="all", selector=(), allowed=1))
    assert told(Picture(nodes=ROOMY, pods=(pod(),), budgets=both), wave(1, "worker-1")) == [
        "pod shop/cart-0 has more than one budget (all, cart), so it can't be evicted at all"
    ]


def test_budgets_mean_nothing_to_a_drain_that_deletes() -> None:
    """With disable_eviction they hold nothing."""
    picture = Picture(nodes=ROOMY, pods=(pod(),), budgets=(budget(),))
    assert told(picture, wave(1, "worker-1"), policy=DrainPolicy(disable_eviction=True)) == []


def test_critical_pods_stay_unless_asked_for() -> None:
    """What a drain leaves meets no budget."""
    picture = Picture(nodes=ROOMY, pods=(pod(critical=True),), budgets=(budget(),))
    assert told(picture, wave(1, "worker-1")) == []
    assert len(told(picture, wave(1, "worker-1"), policy=DrainPolicy(critical=True))) == 1


def test_pods_on_other_nodes_are_nobodys_concern() -> None:
    """Only what stands on the Nodes of the plan is looked at."""
    picture = Picture(nodes=ROOMY, pods=(pod(on="worker-9"),), budgets=(budget(),))
    assert told(picture, wave(1, "worker-1")) == []


def test_a_wave_whose_pods_do_not_fit_elsewhere_is_told_with_the_figures() -> None:
    """It says what is asked for, what is free, of what there is too little, and that it is an estimate."""
    busy = Amounts(cpu_m=3_500, memory=4 * GIB, pods=10)
    nodes = (node("worker-1"), node("worker-2", asked=busy), node("worker-3", asked=busy))
    pods = tuple(pod(f"cart-{index}", "worker-1") for index in range(3))
    (line,) = told(Picture(nodes=nodes, pods=pods), wave(1, "worker-1"))
    assert line == (
        "wave 1 (worker-1): its 3 pods may not fit elsewhere: they request 3.0 cores, 3.0 GiB and 3 places"
        " for pods, and 1.0 cores, 24.0 GiB and 200 places for pods are free on 2 other Nodes: too little cpu"
        " (an estimate by requests alone)"
    )


def test_the_others_of_its_wave_take_nothing() -> None:
    """They leave at the same time; one at a time each would have had the other's room."""
    nodes = (node("worker-1"), node("worker-2"))
    pods = (pod("a-0", "worker-1"), pod("b-0", "worker-2"))
    assert told(Picture(nodes=nodes, pods=pods), wave(1, "worker-1"), wave(2, "worker-2")) == []
    assert told(Picture(nodes=nodes, pods=pods), wave(1, "worker-1", "worker-2")) == [
        "wave 1 (worker-1 and worker-2): no schedulable Ready Node is left that would take its 2 pods"
    ]


def test_neither_cordoned_nor_sick_nodes_take_pods() -> None:
    """Only schedulable Ready ones count."""
    nodes = (node("worker-1"), node("worker-2", usable=False))
    assert told(Picture(nodes=nodes, pods=(pod(),)), wave(1, "worker-1")) == [
        "wave 1 (worker-1): no schedulable Ready Node is left that would take its pod"
    ]


def test_a_pod_larger_than_any_node_has_free_is_named() -> None:
    """In sum there is room enough, and none for that one."""
    busy = Amounts(cpu_m=2_000, memory=8 * GIB, pods=10)
    nodes = (node("worker-1"), *(node(f"worker-{index}", asked=busy) for index in range(2, 6)))
    picture = Picture(nodes=nodes, pods=(pod(), pod("db-0", cores=3)))
    (line,) = told(picture, wave(1, "worker-1"))
    assert line.startswith("wave 1 (worker-1): pod shop/db-0 requests more than any other Node has free (an")


def test_what_is_free_on_an_overfull_node_takes_nothing_from_the_others() -> None:
    """Less than nothing is nothing."""
    over = Amounts(cpu_m=400_000, memory=GIB, pods=10)
    nodes = (node("worker-1"), node("worker-2", asked=over), node("worker-3"))
    assert told(Picture(nodes=nodes, pods=(pod(),)), wave(1, "worker-1")) == []


@pytest.mark.parametrize(
    ("toleration", "goes"),
    [
        (None, False),
        (Toleration(key="", value="", effect="", exists=True), True),
        (Toleration(key=MASTER.key, value="", effect="NoSchedule", exists=True), True),
        (Toleration(key=MASTER.key, value="", effect="", exists=False), True),
        (Toleration(key=MASTER.key, value="x", effect="", exists=False), False),
        (Toleration(key=MASTER.key, value="", effect="NoExecute", exists=True), False),
        (Toleration(key="other", value="", effect="", exists=True), False),
        (Toleration(key="", value="", effect="", exists=False), False),
    ],
)
def test_taints_keep_off_whoever_does_not_tolerate_them(toleration: Toleration | None, goes: bool) -> None:  # noqa: FBT001
    """A master takes none but its own; a taint that only prefers others keeps nobody off."""
    nodes = (node("worker-1"), node("master-1", taints=(MASTER, replace(MASTER, effect="PreferNoSchedule"))))
    known = frozenset() if toleration is None else frozenset({toleration})
    found = told(Picture(nodes=nodes, pods=(pod(tolerations=known),)), wave(1, "worker-1"))
    assert (found == []) is goes


def test_an_instance_without_its_node_is_told() -> None:
    """Its name in Kubernetes may be another than its id."""
    assert told(Picture(nodes=ROOMY), wave(1, "worker-9")) == [
        "worker-9: there is no Node worker-9; if it has another name, say so in the roster: node = NAME"
    ]


def test_many_names_are_cut() -> None:
    """A sentence names three, and counts the rest."""
    names = [f"worker-{index}" for index in range(1, 7)]
    pods = tuple(pod(f"cart-{name}", name) for name in names)
    picture = Picture(nodes=tuple(node(name) for name in (*names, "spare")), pods=pods, budgets=(budget(),))
    (line,) = told(picture, *(wave(index, name) for index, name in enumerate(names, 1)))
    assert line.endswith("the drain of worker-1, worker-2, worker-3 and 3 more")
