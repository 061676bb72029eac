"""What the simulation found: moments that nobody had thought of."""

import pytest

from broker.ids import InstanceId, Role
from broker.messages import DrainPolicy, EtcdCheck, HealthChecks, OnTimeout, Verdict
from orchestrator.domain.rollout.events import (
    AbortAsked,
    PauseAsked,
    ResumeAsked,
    RetryAsked,
    RevertAsked,
    RoomChanged,
)
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout.strategy import Amount, Strategy
from tests.unit.orchestrator.rollout.upgrade import Upgrade, strategy

DRAINED = Strategy(canary=0, prefetch=False, health={})
PROBED = Strategy(canary=0, prefetch=False, drain=None, health={Role("etcd"): HealthChecks(etcd=EtcdCheck())})


def test_a_look_at_the_quorum_of_which_nothing_is_heard_is_made_again() -> None:
    """It is given up at the progress deadline, without a failure, and asked for once more."""
    book = Upgrade(PROBED, etcd=3).start().begins("etcd-1")
    assert book.next_wake() == 900
    book.after(900).wake()
    assert (book.steps["etcd-1"], len(book.cancelled)) == (StepState.WAITING, 1)
    assert "could not say whether" in book.why("etcd-1")


@pytest.mark.parametrize("stopped", [False, True])
def test_a_look_that_nothing_would_follow_is_not_waited_for(*, stopped: bool) -> None:
    """While a gate is shut, or the rollout stands still, no deadline comes: it would come without end."""
    book = Upgrade(PROBED, etcd=3).start().is_cut_off("etcd-1")
    assert book.next_wake() == 30
    if stopped:
        book.hear(PauseAsked(at=book.at, by="ann"))
    else:
        book.goes("etcd-2")
    assert book.next_wake() is None


def test_a_drain_that_failed_is_done_again_when_the_step_is_tried_again() -> None:
    """A cordon that was kept is no sign of an empty Node."""
    keep = strategy(DRAINED, drain=DrainPolicy(on_timeout=OnTimeout.KEEP))
    book = Upgrade(keep).start().fails("worker-1")
    book.hear(RetryAsked(at=book.at, by="ann"))
    assert book.under_way() == {"worker-1": "drain"}


def test_a_step_whose_way_back_failed_goes_the_whole_way_when_it_is_tried_again() -> None:
    """It was to be left after its drain had failed, and then its cordon could not be lifted."""
    book = Upgrade(DRAINED).start().fails("worker-1").fails("worker-1")
    assert book.steps["worker-1"] is StepState.FAILED
    book.hear(RetryAsked(at=book.at, by="ann")).succeeds("worker-1")
    assert book.under_way() == {"worker-1": "converge"}


def test_an_answer_that_is_no_longer_true_is_no_proof() -> None:
    """A converge that succeeded before the instance was changed again has failed."""
    book = Upgrade(DRAINED).start().succeeds("worker-1")
    book.is_changed_after("worker-1", Verdict.FAILED)
    assert book.steps["worker-1"] is StepState.FAILED
    assert "changed again since" in book.why("worker-1")


def test_failures_are_seen_to_before_a_wave_is_taken_on() -> None:
    """One failure too many stops the rollout before anything is begun that it would only cancel."""
    two = strategy(max_unavailable=Amount(value=2))
    book = Upgrade(two, worker=4).start().succeeds("worker-1").fails("worker-2")
    assert book.state is RolloutState.PAUSED
    assert (book.under_way(), book.cancelled) == ({}, [])


def test_what_was_cut_off_goes_on_with_the_rollout_whichever_wave_is_open() -> None:
    """An instance of a later wave that is away is not forgotten for a retry in an earlier one."""
    lenient = strategy(DRAINED, max_failures=Amount(value=2), max_unavailable=Amount(value=2), canary=1)
    book = Upgrade(lenient, worker=3).start().fails("worker-1").succeeds("worker-1")
    book.succeeds("worker-2").goes("worker-2").is_cut_off("worker-2")
    book.hear(PauseAsked(at=book.at, by="ann")).comes("worker-2")
    book.hear(RetryAsked(at=book.at, by="ann", instances=(InstanceId("worker-1"),)))
    assert book.under_way()["worker-2"] == "converge"


def test_an_abort_does_not_wait_for_what_is_never_begun_again() -> None:
    """A converge that was cut off on its way ends as failed, and its cordon stays to be seen to."""
    book = Upgrade(DRAINED).start().succeeds("worker-1").begins("worker-1")
    book.goes("worker-1").is_cut_off("worker-1")
    book.hear(AbortAsked(at=book.at, by="ann")).comes("worker-1")
    assert book.state is RolloutState.ABORTED
    assert book.steps["worker-1"] is StepState.FAILED


def test_on_the_way_back_only_what_was_changed_is_tried_again() -> None:
    """A step that failed before it changed anything has what it had."""
    lenient = strategy(DRAINED, max_failures=Amount(value=3))
    book = Upgrade(lenient).start().fails("worker-1").succeeds("worker-1").succeeds("worker-2")
    book.fails("worker-2").hear(RevertAsked(at=book.at, by="ann"))
    book.hear(PauseAsked(at=book.at, by="ann"))
    book.hear(RetryAsked(at=book.at, by="ann", instances=(InstanceId("worker-1"),)))
    assert book.steps["worker-1"] is StepState.FAILED


def test_what_is_given_up_and_not_ended_counts_as_away() -> None:
    """A converge that was silent for too long may still go on: nobody takes its place."""
    lenient = strategy(max_failures=Amount(value=3))
    book = Upgrade(lenient, worker=2).start().after(900).wake()
    assert book.steps["worker-1"] is StepState.FAILED
    book.hear(ResumeAsked(at=book.at, by="ann", beyond=0)).hear(RoomChanged(at=book.at))
    assert "worker-2" not in book.under_way()
