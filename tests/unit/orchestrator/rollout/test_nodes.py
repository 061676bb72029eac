"""What Kubernetes says of Nodes counts: who is not Ready is not available, whom others cordoned is theirs."""

from dataclasses import replace

from broker.ids import InstanceId
from orchestrator.domain import invariants
from orchestrator.domain.model import Cordon
from orchestrator.domain.rollout.effects import TakeSlot
from orchestrator.domain.rollout.events import RetryAsked
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout.scene import absence
from orchestrator.domain.rollout.strategy import ETCD, WORKER, Amount, Strategy
from tests.unit.orchestrator.rollout.upgrade import Upgrade, strategy

DRAINED = Strategy(canary=0, prefetch=False, health={})
W1 = InstanceId("worker-1")


def test_a_node_that_is_not_ready_takes_the_room_of_one() -> None:
    """Nobody else of its role goes away while it serves nothing; the wait says who, and why."""
    book = Upgrade().sees("worker-3", ready=False).start()
    assert book.under_way() == {}
    assert book.why("worker-1") == (
        "1 of 3 of role worker are not available (worker-3: Node not Ready: KubeletNotReady: no network),"
        " and at most 1 may be; bring them back first"
    )
    book.sees("worker-3")
    assert book.under_way() == {"worker-1": "converge"}


def test_a_node_that_is_not_ready_may_go_itself() -> None:
    """It is away already, so that it takes no room of its own, and the upgrade may be what mends it."""
    book = Upgrade().sees("worker-1", ready=False).start()
    assert book.under_way() == {"worker-1": "converge"}


def test_not_ready_is_told_with_its_reason_and_where_to_look() -> None:
    """The cause is a sentence of its own for an instance that is in no rollout."""
    book = Upgrade().sees("worker-1", ready=False)
    reason = absence(book.instances[W1], None)
    assert reason is not None
    assert reason.said["reason"] == "KubeletNotReady: no network"
    assert book.told_of(reason) == (
        "Node worker-1 of worker-1 is not Ready (KubeletNotReady: no network)",
        "kubectl describe node worker-1",
    )


def test_nobody_elses_cordon_takes_the_room_of_one() -> None:
    """Whoever is cordoned takes no new pods, so the others have to stay."""
    book = Upgrade().sees("worker-3", cordoned=True, owner="d-9").start()
    assert book.under_way() == {}
    assert "(worker-3: cordoned by d-9)" in book.why("worker-1")
    book.sees("worker-3")
    assert book.under_way() == {"worker-1": "converge"}


def test_a_voter_that_is_not_ready_counts_for_the_quorum() -> None:
    """Of three voters one is not Ready: a second may not go, whatever was said to go beyond."""
    book = Upgrade(etcd=3).sees("etcd-3", ready=False).start()
    assert book.under_way() == {}
    assert "etcd-3: Node not Ready" in book.why("etcd-1")


def test_whom_somebody_else_has_cordoned_waits_and_is_named() -> None:
    """It is not disrupted, though there is room; the wait says whose cordon it is, and is over with it."""
    book = Upgrade(worker=1).sees("worker-1", cordoned=True).start()
    assert book.under_way() == {}
    assert book.why("worker-1") == "worker-1 is cordoned by somebody else"
    assert book.command("worker-1") == "kubectl describe node worker-1"
    book.sees("worker-1", cordoned=True, owner="d-9")
    assert book.why("worker-1") == "worker-1 is cordoned by d-9"
    book.sees("worker-1")
    assert book.under_way() == {"worker-1": "converge"}


def test_whom_somebody_else_has_cordoned_goes_last() -> None:
    """Those who are away anyway go first, but not those who would have to wait."""
    pair = strategy(max_unavailable=Amount(value=2))
    book = Upgrade(pair, worker=4)
    book.sees("worker-1", cordoned=True).sees("worker-4", ready=False)
    waves = book.again(pair).rollout.waves
    assert [wave.instances for wave in waves] == [("worker-4", "worker-2"), ("worker-3", "worker-1")]


def test_an_annotation_without_a_cordon_is_stale() -> None:
    """Whoever the Node still names, it takes pods: nobody keeps it."""
    book = Upgrade(worker=1).sees("worker-1", owner="d-9").start()
    assert book.under_way() == {"worker-1": "converge"}


def test_our_own_cordon_is_in_nobodys_way() -> None:
    """A Node that bears this rollout's name, or that of a cordon that we know as ours, is taken over."""
    book = Upgrade(DRAINED, worker=1).sees("worker-1", cordoned=True, owner="r-1").start()
    assert book.under_way() == {"worker-1": "drain"}
    left = Upgrade(DRAINED, worker=1).sees("worker-1", cordoned=True, owner="r-0")
    left.instances[W1] = replace(left.instances[W1], cordon=Cordon(owner="r-0", since=left.at))
    assert left.start().under_way() == {"worker-1": "drain"}


def test_a_cordon_that_was_lifted_may_be_told_of_late() -> None:
    """Our wing's word that it is gone is enough for the next instance to go, though Kubernetes lags."""
    book = Upgrade(DRAINED, worker=2).sees("worker-1").start().succeeds("worker-1")
    node = book.instances[W1].node
    assert node is not None
    assert (node.unschedulable, node.owner) == (True, "r-1")
    book.succeeds("worker-1").succeeds("worker-1")
    assert book.steps["worker-1"] is StepState.DONE
    assert book.under_way() == {"worker-2": "drain"}


def test_the_sites_own_drain_leaves_no_name() -> None:
    """A cordon without a name is no obstacle to the rollout that has the instance, when it is tried again."""
    book = Upgrade(DRAINED, worker=1).sees("worker-1").start().succeeds("worker-1").fails("worker-1")
    book.instances[W1] = replace(book.instances[W1], cordon=None)
    book.sees("worker-1", cordoned=True)
    book.hear(RetryAsked(at=book.at, by="ann"))
    assert book.state is RolloutState.PROGRESSING
    assert book.under_way() == {"worker-1": "drain"}


def test_law_7_keeps_hands_off_whom_others_have_cordoned() -> None:
    """A move that would disrupt such an instance is found before it is made."""
    book = Upgrade().sees("worker-1", cordoned=True, owner="d-9")
    move = [TakeSlot(instance=W1, role=WORKER)]
    law = invariants.broken(book.rollout, book.rollout, move, book.scene, at=book.at)
    assert law == "7: worker-1 would be disrupted, and is cordoned by d-9"


def test_laws_1_and_2_count_nodes_that_are_not_ready() -> None:
    """One more away than allowed, or a quorum lost, is found whatever keeps the others away."""
    book = Upgrade().sees("worker-2", ready=False)
    move = [TakeSlot(instance=W1, role=WORKER)]
    law = invariants.broken(book.rollout, book.rollout, move, book.scene, at=book.at)
    assert law == "1: 2 of 3 of role worker would be away, allowed are 1"
    voters = Upgrade(etcd=3).sees("etcd-2", ready=False).sees("etcd-3", ready=False)
    move = [TakeSlot(instance=InstanceId("etcd-2"), role=ETCD)]
    law = invariants.broken(voters.rollout, voters.rollout, move, voters.scene, at=voters.at)
    assert law is not None
