"""What goes wrong on the way: failures, silence, deaths; and what operators do about it."""

import pytest

from broker.ids import InstanceId
from broker.messages import CommandCheck, DrainPolicy, HealthChecks, OnTimeout
from orchestrator.domain.model import Order
from orchestrator.domain.rollout.events import (
    AbortAsked,
    BreachFound,
    InstanceGone,
    PauseAsked,
    ProgressSeen,
    ResumeAsked,
    RetryAsked,
    RevertAsked,
    RoomChanged,
    SkipAsked,
)
from orchestrator.domain.rollout.model import RolloutState, Slot, StepState
from orchestrator.domain.rollout.strategy import Amount, OnFailure, Strategy
from tests.unit.orchestrator.rollout.upgrade import NEW, OLD, WORKER, Upgrade, named, strategy

DRAINED = Strategy(canary=0, prefetch=False, health={})
W1, W2 = InstanceId("worker-1"), InstanceId("worker-2")


def test_a_failed_converge_pauses_and_nobody_else_is_touched() -> None:
    """The first failure stops the rollout; the failed one stays cordoned, in its slot, and is named."""
    book = Upgrade(DRAINED).start().succeeds("worker-1").fails("worker-1", "Exec[x] failed")
    assert (book.state, book.steps["worker-1"]) == (RolloutState.PAUSED, StepState.FAILED)
    assert book.under_way() == {}
    assert set(book.slots) == {"worker-1"}
    assert book.why() == "1 of 3 failed (worker-1), as many as it bears; worker-1: Exec[x] failed"
    assert book.command() == "tarmak rollout retry r-1 worker-1"
    assert (book.command("worker-1") or "").startswith("tarmak run show ")


def test_a_budget_of_failures_is_borne() -> None:
    """The rollout goes on after a failure that it bears, if its role can spare the failed one."""
    lenient = strategy(max_failures=Amount(value=2), max_unavailable=Amount(value=2))
    book = Upgrade(lenient, worker=4).start()
    book.fails("worker-1").succeeds("worker-2")
    assert book.state is RolloutState.PROGRESSING
    assert book.under_way() == {"worker-3": "converge"}
    book.to_the_end()
    assert book.state is RolloutState.PAUSED
    assert book.why().startswith("all others are done, but 1 of 4 failed (worker-1)")


def test_a_percentage_of_failures_waits_for_enough_finished_ones() -> None:
    """One of two failed is no verdict on a hundred; the budget counts once enough have finished."""
    lenient = strategy(
        max_failures=Amount(value=50, percent=True), min_finished=3, max_unavailable=Amount(value=3)
    )
    book = Upgrade(lenient, worker=6).start().fails("worker-1")
    assert book.state is RolloutState.PROGRESSING
    book.fails("worker-2").fails("worker-3")
    assert book.state is RolloutState.PAUSED


def test_a_drain_that_fails_is_taken_back() -> None:
    """Nothing was changed, so our cordon is lifted, the slot given back, and the step has failed."""
    book = Upgrade(DRAINED).start().fails("worker-1", "timeout: shop/cart-0 left")
    assert book.under_way() == {"worker-1": "uncordon"}
    book.succeeds("worker-1")
    assert (book.state, book.steps["worker-1"]) == (RolloutState.PAUSED, StepState.FAILED)
    assert book.why("worker-1") == "the drain failed: timeout: shop/cart-0 left; nothing was changed"
    assert book.slots == {}


def test_a_cordon_that_shall_be_kept_is_kept() -> None:
    """By the policy `keep` a drain that failed leaves the instance cordoned, in its slot."""
    keep = strategy(DRAINED, drain=DrainPolicy(on_timeout=OnTimeout.KEEP))
    book = Upgrade(keep).start().fails("worker-1")
    assert book.under_way() == {}
    assert set(book.slots) == {"worker-1"}


def test_what_was_cut_off_is_asked_for_again() -> None:
    """A wing that died in the middle of a drain, or of a converge, is asked again; of converges only once."""
    book = Upgrade(DRAINED).start().is_cut_off("worker-1")
    assert book.under_way() == {"worker-1": "drain"}
    book.succeeds("worker-1").is_cut_off("worker-1")
    assert book.under_way() == {"worker-1": "converge"}
    book.is_cut_off("worker-1")
    assert book.steps["worker-1"] is StepState.FAILED


def test_what_never_started_is_asked_for_again_when_the_wing_is_back() -> None:
    """A command that expired before its wing came back was no try."""
    book = Upgrade().start().goes("worker-1").never_starts("worker-1")
    assert (book.state, book.steps["worker-1"]) == (RolloutState.PROGRESSING, StepState.CONVERGING)
    assert book.under_way() == {}
    assert "in the middle of its converge" in book.why("worker-1")
    book.comes("worker-1")
    assert book.under_way() == {"worker-1": "converge"}


def test_silence_is_failure_only_while_both_are_connected() -> None:
    """A lost instance, or an orchestrator without a broker, fails nobody; an online silent one fails."""
    book = Upgrade().start().begins("worker-1")
    assert book.next_wake() == 900
    book.goes("worker-1").after(10_000).wake()
    assert (book.state, book.next_wake()) == (RolloutState.PROGRESSING, None)
    book.comes("worker-1")
    assert book.next_wake() == 900
    book.connected = False
    assert book.next_wake() is None
    book.connected = True
    book.after(899).hear(ProgressSeen(at=book.at, instance=W1, work=book.work("worker-1").id))
    assert book.next_wake() == 900
    book.after(900).wake()
    assert book.steps["worker-1"] is StepState.FAILED
    assert book.why("worker-1") == "nothing was heard of its converging for 900 s, though it is online"
    assert len(book.cancelled) == 1


def test_a_blocked_drain_is_told_with_its_budget_and_the_way_out() -> None:
    """What holds a pod stands in one sentence, with the command that goes on without the instance."""
    book = Upgrade(DRAINED).start()
    book.blocked("worker-1", "shop/cart-0 not evicted: budget shop/cart has 2 healthy, needs 2")
    assert book.why("worker-1") == (
        "pod shop/cart-0 not evicted: budget shop/cart has 2 healthy, needs 2;"
        " scale it up, or leave the instance out"
    )
    assert book.command("worker-1") == "tarmak rollout skip r-1 worker-1"


def test_paused_nothing_new_starts_and_what_is_away_comes_back() -> None:
    """A pause cancels a drain and takes it back; a converge that has begun goes on to its end."""
    pair = strategy(DRAINED, max_unavailable=Amount(value=2))
    book = Upgrade(pair).start().succeeds("worker-1").begins("worker-1")
    assert book.under_way() == {"worker-1": "converge", "worker-2": "drain"}
    book.hear(PauseAsked(at=book.at, by="ann"))
    assert len(book.cancelled) == 1
    book.is_cancelled("worker-2").succeeds("worker-2").succeeds("worker-1").succeeds("worker-1")
    assert book.under_way() == {}
    assert book.steps["worker-2"] is StepState.PENDING
    assert book.steps["worker-1"] is StepState.SOAKING
    assert book.slots == {}
    assert book.why() == "ann paused it; nothing new starts"
    book.hear(ResumeAsked(at=book.at, by="ann")).to_the_end()
    assert book.state is RolloutState.SUCCEEDED


def test_a_converge_that_was_sent_and_not_begun_is_cancelled_by_a_pause() -> None:
    """Its instance keeps what it had, and is brought back."""
    book = Upgrade(DRAINED).start().succeeds("worker-1")
    book.hear(PauseAsked(at=book.at, by="ann")).is_cancelled("worker-1")
    assert book.under_way() == {"worker-1": "uncordon"}
    assert book.desired["worker-1"] == OLD
    book.succeeds("worker-1")
    assert book.steps["worker-1"] is StepState.PENDING


def test_a_converge_that_began_before_its_cancel_came_goes_on() -> None:
    """A cancel may come too late; what has converged is looked at and brought back as always."""
    book = Upgrade(DRAINED).start().succeeds("worker-1")
    book.hear(PauseAsked(at=book.at, by="ann")).succeeds("worker-1")
    assert book.under_way() == {"worker-1": "uncordon"}
    book.succeeds("worker-1")
    assert book.steps["worker-1"] is StepState.SOAKING


def test_abort_ends_once_nothing_is_under_way() -> None:
    """What had not begun keeps what it had; the end comes when the drain has been taken back."""
    book = Upgrade(DRAINED).start().hear(AbortAsked(at=Upgrade().at, by="ann"))
    assert (book.state, book.why()) == (
        RolloutState.PAUSED,
        "ann aborted it; it ends once what has begun is over",
    )
    book.is_cancelled("worker-1").succeeds("worker-1")
    assert book.state is RolloutState.ABORTED
    assert set(book.steps.values()) == {StepState.SKIPPED}
    assert book.slots == {}


def test_retry_tries_failed_ones_again_in_the_slot_that_they_hold() -> None:
    """A retried instance is drained again, for somebody may have uncordoned it; then the rollout goes on."""
    book = Upgrade(DRAINED).start().succeeds("worker-1").fails("worker-1")
    book.hear(RetryAsked(at=book.at, by="ann"))
    assert book.state is RolloutState.PROGRESSING
    assert book.under_way() == {"worker-1": "drain"}
    assert set(book.slots) == {"worker-1"}
    book.to_the_end()
    assert book.state is RolloutState.SUCCEEDED


def test_a_failed_one_that_is_left_out_still_counts_as_away() -> None:
    """Left out, it stops the rollout only where its role can't spare another one beside it."""
    book = Upgrade(worker=3).start().fails("worker-1")
    book.hear(SkipAsked(at=book.at, by="ann", instances=(W1,)))
    assert (book.state, book.steps["worker-1"]) == (RolloutState.PAUSED, StepState.SKIPPED)
    assert book.slots == {}
    assert book.why() == (
        "worker-2 can't go: worker-1 failed and counts as away;"
        " mend that one, or go past it with --beyond-failed"
    )


def test_one_that_was_left_out_is_not_caught_up_afterwards() -> None:
    """What was skipped before it was changed goes on being wanted as it is, whatever its role gets."""
    book = Upgrade(worker=2).start()
    book.hear(SkipAsked(at=book.at, by="ann", instances=(W2,))).to_the_end()
    assert book.state is RolloutState.SUCCEEDED
    assert book.desired == {"worker-1": NEW, "worker-2": OLD, "worker": NEW}


def test_beyond_failed_looks_past_failures_that_an_operator_has_seen() -> None:
    """With `--beyond-failed 1` one failed instance doesn't keep the others from going on."""
    book = Upgrade(worker=3).start().fails("worker-1")
    book.hear(ResumeAsked(at=book.at, by="ann", beyond=1))
    assert book.under_way() == {"worker-2": "converge"}
    book.to_the_end()
    assert book.why().startswith("all others are done, but 1 of 3 failed")


def test_beyond_failed_never_goes_below_a_quorum() -> None:
    """Voters are counted whatever an operator looks past."""
    book = Upgrade(etcd=3).start().fails("etcd-1")
    book.hear(ResumeAsked(at=book.at, by="ann", beyond=1))
    assert book.under_way() == {}
    assert book.state is RolloutState.PAUSED
    assert book.why().startswith("etcd-2 can't go: etcd-1 failed and counts as away")


@pytest.mark.parametrize("by_strategy", [False, True])
def test_revert_takes_back_the_failed_one_first_and_then_all_that_were_changed(*, by_strategy: bool) -> None:
    """Each is proved to have what it had; those that were never begun are left alone."""
    way = OnFailure.REVERT if by_strategy else OnFailure.PAUSE
    book = Upgrade(strategy(DRAINED, on_failure=way), worker=3).start()
    book.succeeds("worker-1", "worker-1", "worker-1").succeeds("worker-2").fails("worker-2")
    if not by_strategy:
        book.hear(RevertAsked(at=book.at, by="ann"))
    assert book.state is RolloutState.REVERTING
    assert book.under_way() == {"worker-2": "converge"}, "in its slot, and cordoned already"
    book.succeeds("worker-2").succeeds("worker-2")
    assert book.under_way() == {"worker-1": "drain"}
    book.to_the_end()
    assert book.state is (RolloutState.FAILED if by_strategy else RolloutState.ABORTED)
    assert book.steps == {
        "worker-1": StepState.REVERTED,
        "worker-2": StepState.REVERTED,
        "worker-3": StepState.SKIPPED,
    }
    assert {item.observed.digest for item in book.instances.values() if item.observed} == {OLD}
    assert book.desired["worker-1"] == book.desired["worker-2"] == OLD
    assert all(item.cordon is None for item in book.instances.values())
    assert book.slots == {}


def test_a_revert_that_fails_pauses_with_its_cordon_named() -> None:
    """The instance that can't be taken back is named, and can be tried again."""
    book = Upgrade(DRAINED).start().succeeds("worker-1").fails("worker-1")
    book.hear(RevertAsked(at=book.at, by="ann")).fails("worker-1", "no bundle")
    assert book.state is RolloutState.PAUSED
    assert book.why() == "revert failed: worker-1 could not be taken back: no bundle; its cordon stays"
    book.hear(RetryAsked(at=book.at, by="ann")).to_the_end()
    assert book.state is RolloutState.ABORTED


def test_a_revert_in_the_middle_waits_for_what_has_begun() -> None:
    """A converge that is under way ends first, and is then taken back in the slot that it holds."""
    book = Upgrade(DRAINED).start().succeeds("worker-1").begins("worker-1")
    book.hear(RevertAsked(at=book.at, by="ann"))
    assert book.under_way() == {"worker-1": "converge"}
    book.succeeds("worker-1")
    assert book.under_way() == {"worker-1": "converge"}
    assert book.step("worker-1").back
    book.to_the_end()
    assert book.steps["worker-1"] is StepState.REVERTED


def test_whoever_was_to_be_uncordoned_is_drained_again_on_the_way_back() -> None:
    """Of an uncordon that was asked for it may never be heard that pods may come again."""
    book = Upgrade(strategy(DRAINED, on_failure=OnFailure.REVERT)).start()
    book.succeeds("worker-1", "worker-1").after(900).wake()
    assert (book.state, book.step("worker-1").back) == (RolloutState.REVERTING, True)
    book.end_what_was_given_up()
    book.hear(RoomChanged(at=book.at))
    assert book.under_way() == {"worker-1": "drain"}


def test_a_revert_in_the_middle_of_a_drain_takes_it_back() -> None:
    """What was not changed has nothing to go back from."""
    book = Upgrade(DRAINED).start().begins("worker-1").hear(RevertAsked(at=Upgrade().at, by="ann"))
    book.is_cancelled("worker-1").succeeds("worker-1")
    assert book.state is RolloutState.ABORTED
    assert set(book.steps.values()) == {StepState.SKIPPED}


def test_an_automatic_rollout_ends_with_its_failure() -> None:
    """Nobody waits for a catch-up: it has failed, and an operator looks at its instance."""
    book = Upgrade(automatic=True, worker=1).start().fails("worker-1")
    assert book.state is RolloutState.FAILED
    assert book.slots == {}


def test_an_owner_keeps_others_out() -> None:
    """An instance that is drained for somebody else is waited for, by name."""
    book = Upgrade(worker=1)
    book.slots[W1] = Slot(instance=W1, role=WORKER, owner="d-4", since=book.at)
    book.start()
    assert book.under_way() == {}
    assert book.why("worker-1") == "worker-1 is away for d-4, and one at a time disrupts it"


def test_one_that_is_taken_off_the_roster_is_left_out() -> None:
    """The rollout goes on without it, and its slot is free."""
    book = Upgrade(worker=2).start()
    del book.instances[W1]
    book.hear(InstanceGone(at=book.at, instance=W1))
    assert book.steps["worker-1"] is StepState.SKIPPED
    assert book.under_way()["worker-2"] == "converge"


def test_a_breach_stops_the_rollout_and_names_the_law() -> None:
    """A move that would break a law is not made; the rollout pauses and says which."""
    book = Upgrade().start().hear(BreachFound(at=Upgrade().at, law="1: two would be away"))
    assert book.state is RolloutState.PAUSED
    assert "would have broken law 1: two would be away" in book.why()


def test_health_that_fails_after_the_converge_fails_the_step() -> None:
    """Converged is not enough: what is not healthy keeps its cordon and its slot."""
    checks = {WORKER: HealthChecks(commands=(CommandCheck(command=("check",)),))}
    book = Upgrade(strategy(DRAINED, health=checks)).start().succeeds("worker-1", "worker-1")
    book.blocked("worker-1", "command check: exit 1")
    assert book.why("worker-1") == "not healthy yet: command check: exit 1"
    book.fails("worker-1", "command check: exit 1")
    assert (book.state, book.steps["worker-1"]) == (RolloutState.PAUSED, StepState.FAILED)
    assert set(book.slots) == {"worker-1"}


def test_a_cordon_that_an_ended_rollout_left_is_taken_over() -> None:
    """A later rollout drains in its own name, and lifts the cordon at its end."""
    from dataclasses import replace  # noqa: PLC0415 - only this test needs it

    from orchestrator.domain.model import Cordon  # noqa: PLC0415

    book = Upgrade(DRAINED, worker=1)
    book.instances[W1] = replace(book.instances[W1], cordon=Cordon(owner="r-0", since=book.at))
    book.start()
    order = book.work("worker-1")
    assert isinstance(order, Order)
    assert getattr(order.body, "takes_over", None) == "r-0"
    book.to_the_end()
    assert book.instances[W1].cordon is None


def test_each_move_is_told() -> None:
    """Whoever follows the tail sees every step and every state."""
    book = Upgrade(worker=1).start().to_the_end()
    assert named(book.told)[0] == "rollout_progressing"
    assert named(book.told)[-1] == "rollout_succeeded"
    assert [tell.body["state"] for tell in book.told if tell.kind == "step_moved"] == [
        "waiting",
        "converging",
        "verifying",
        "uncordoning",
        "soaking",
        "done",
    ]
    assert NEW in book.desired.values()
