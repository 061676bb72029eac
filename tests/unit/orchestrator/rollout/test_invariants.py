"""Each law is seen to be broken where it is, and only there."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from broker.ids import ClusterName, Epoch, InstanceId, OrderId, Role, RunId
from broker.messages import (
    CHAIN_START,
    Command,
    Converge,
    Drain,
    Health,
    HealthChecks,
    Ping,
    Standing,
    Target,
    Uncordon,
)
from orchestrator.domain.invariants import broken, burst_broken, contradicted
from orchestrator.domain.model import Delivery
from orchestrator.domain.rollout.effects import BeginOrder, BeginRun, FreeSlot, RolloutEffect, TakeSlot
from orchestrator.domain.rollout.model import Rollout, RolloutState, StepState
from orchestrator.domain.rollout.strategy import Amount
from orchestrator.domain.views import RunState
from tests.unit.orchestrator.domain.playbook import BOOT, DIGEST, number, result, run
from tests.unit.orchestrator.rollout.upgrade import NEW, NOW, WORKER, Upgrade, strategy

W1 = InstanceId("worker-1")
ORDER, RUN = OrderId(number(0x51)), RunId(number(0x52))


def take(name: str, role: str = "worker") -> TakeSlot:
    return TakeSlot(instance=InstanceId(name), role=Role(role))


def converge(name: InstanceId = W1) -> BeginRun:
    return BeginRun(run=RUN, instance=name, digest=NEW, noop=False)


def drain(name: InstanceId = W1, owner: str = "r-1") -> BeginOrder:
    return BeginOrder(instance=name, body=Drain(order=ORDER, owner=owner))


def law(
    book: Upgrade, *effects: RolloutEffect, after: Rollout | None = None, changed: Sequence[str] = ()
) -> str:
    """Return the number of the law that a move would break, empty if it keeps them all."""
    moved = after or book.rollout
    names = [InstanceId(name) for name in changed]
    found = broken(book.rollout, moved, effects, book.scene, at=book.at, changed=names)
    return "" if found is None else found.partition(":")[0]


def test_no_more_may_be_away_than_allowed() -> None:
    """Law 1 counts those who are away for any reason, and slots given back in the same move."""
    book = Upgrade(worker=3)
    assert law(book, take("worker-1")) == ""
    assert law(book, take("worker-1"), take("worker-2")) == "1"
    book.goes("worker-3")
    assert law(book, take("worker-1")) == "1"
    assert law(book, take("worker-3")) == "", "it is away already"
    two = Upgrade(strategy(max_unavailable=Amount(value=2)), worker=3)
    assert law(two, take("worker-1"), take("worker-2")) == ""
    one = Upgrade(worker=3).start()
    assert law(one, FreeSlot(instance=W1), take("worker-2")) == "1", "something is under way on it"
    one.instances[W1] = replace(one.instances[W1], runs={}, orders={})
    assert law(one, FreeSlot(instance=W1), take("worker-2")) == ""


def test_voters_keep_their_quorum() -> None:
    """Law 2 looks at etcd and vault, whatever the strategy allows."""
    book = Upgrade(strategy(max_failures=Amount(value=3)), etcd=3)
    assert law(book, take("etcd-1", "etcd")) == ""
    rollout = replace(book.rollout, beyond=1, failed=1)
    steps = {**rollout.steps, InstanceId("etcd-3"): replace(book.step("etcd-3"), state=StepState.FAILED)}
    book.goes("etcd-3")
    assert law(book, take("etcd-1", "etcd"), after=replace(rollout, steps=steps)) == "2"
    assert law(Upgrade(etcd=1), take("etcd-1", "etcd")) == "", "that outage was confirmed"


def test_one_change_at_a_time_by_one_owner() -> None:
    """Law 3 sees a second change, and one without a slot."""
    book = Upgrade()
    assert law(book, converge()) == "3"
    assert law(book, take("worker-1"), converge()) == ""
    assert law(book, take("worker-1"), drain(), converge()) == "3"
    busy = Upgrade().start()
    assert law(busy, converge()) == "3"
    looks = BeginOrder(instance=W1, body=Health(order=ORDER, checks=HealthChecks()))
    assert law(busy, looks) == ""


def test_nothing_counts_as_converged_without_a_proof() -> None:
    """Law 6 asks the instance's own last report."""
    book = Upgrade()
    for state in (StepState.VERIFYING, StepState.REVERTED):
        steps = {**book.rollout.steps, W1: replace(book.step("worker-1"), state=state)}
        after = replace(book.rollout, steps=steps)
        assert law(book, after=after, changed=["worker-1"]) == "6"
    back = replace(book.step("worker-1"), state=StepState.REVERTED, back=True)
    after = replace(book.rollout, steps={**book.rollout.steps, W1: back})
    assert law(book, after=after, changed=["worker-1"]) == "", "it has what it had"


def test_only_our_own_cordon_is_touched() -> None:
    """Law 7 compares whose cordon an order is about with the rollout's own name."""
    book = Upgrade()
    assert law(book, take("worker-1"), drain(owner="r-2")) == "7"
    lift = BeginOrder(instance=W1, body=Uncordon(order=ORDER, owner="d-1"))
    assert law(book, lift) == "7"


def test_what_was_stopped_starts_nothing_new() -> None:
    """Law 8: in a paused, failed or aborted rollout nothing begins but what brings instances back."""
    book = Upgrade()
    for state in (RolloutState.PAUSED, RolloutState.FAILED, RolloutState.ABORTED, RolloutState.SUCCEEDED):
        after = replace(book.rollout, state=state)
        assert law(book, take("worker-1"), after=after) == "8"
        assert law(book, BeginRun(run=RUN, instance=W1, digest=NEW, noop=True), after=after) == "8"
        lift = BeginOrder(instance=W1, body=Uncordon(order=ORDER, owner="r-1"))
        assert law(book, lift, after=after) == ""


def command(epoch: int = 3, *, body: Converge | Ping | None = None) -> Command:
    wanted = body or Converge(run=RUN, digest=DIGEST, size=1, url="https://x/")
    return Command(
        id=number(9),
        at=NOW,
        target=Target(cluster=ClusterName("c"), role=WORKER, instance=W1, boot=BOOT),
        epoch=Epoch(epoch),
        not_after=NOW + timedelta(hours=1),
        body=wanted,
    )


def burst(sent: Command, *, seen: int = 3, written: bool = True) -> str:
    """Return the number of the law that sending a command would break."""
    instance = Upgrade().instances[W1]
    standing = Standing(boot=BOOT, connection=1, epoch=Epoch(seen), head_seq=0, head=CHAIN_START)
    delivery = Delivery(
        id=sent.id,
        instance=W1,
        boot=BOOT,
        body=sent.body,
        caused_by=None,
        created_at=NOW,
        not_after=NOW,
    )
    known = replace(instance, standing=standing, deliveries={sent.id: delivery} if written else {})
    found = burst_broken([sent], epoch=Epoch(3), instances={W1: known})
    return "" if found is None else found.partition(":")[0]


def test_nothing_goes_out_in_another_epoch_or_unwritten() -> None:
    """Laws 4 and 9: of the leader's own epoch, not below one that the wing has seen, and written before."""
    assert burst(command()) == ""
    assert burst(command(epoch=2)) == "4"
    assert burst(command(), seen=4) == "4"
    assert burst(command(), written=False) == "9"
    assert burst(command(body=Ping()), written=False) == "", "a control may be lost"


def test_an_end_stays_what_it_was_and_success_is_a_proof() -> None:
    """Law 5: one final answer. Law 6: no success without a result that proves it."""
    good = run(state=RunState.SUCCEEDED)
    proved = replace(good, result=result(good))
    assert contradicted({}, [proved]) is None
    assert (contradicted({proved.id: RunState.FAILED}, [proved]) or "").startswith("5")
    assert (contradicted({}, [good]) or "").startswith("6")
    noop = replace(run(noop=True, state=RunState.SUCCEEDED), result=result(run(noop=True), None))
    assert contradicted({}, [noop]) is None
