"""Instances whose machines are made anew on their way: what a step waits for, and what is never that."""

import pytest

from broker.ids import InstanceId
from broker.messages import CommandCheck, DrainPolicy, HealthChecks
from orchestrator.domain.rollout.events import (
    AbortAsked,
    InstanceChanged,
    PauseAsked,
    Reconnected,
    ResumeAsked,
    RetryAsked,
    RevertAsked,
    SkipAsked,
)
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout.show import rollout_view
from orchestrator.domain.rollout.strategy import Amount, Strategy
from orchestrator.domain.views import PresenceState
from tests.unit.orchestrator.rollout.upgrade import NEW, NOW, OLD, WORKER, Upgrade, converged, strategy

CHECKED = {WORKER: HealthChecks(commands=(CommandCheck(command=("true",)),))}
REPLACE = strategy(replace=True)
DRAINED = strategy(replace=True, drain=DrainPolicy())
WHOLE = Strategy(canary=0, health=CHECKED, replace=True)
RESUME = "tarmak upgrade --replace --resume r-1"


def test_a_worker_is_drained_made_anew_and_goes_the_rest_of_the_way() -> None:
    """Nothing is fetched onto the machine that goes; the one that comes is converged, and proved like any."""
    book = Upgrade(WHOLE, worker=1).start()
    assert book.under_way() == {"worker-1": "drain"}
    book.succeeds("worker-1")
    assert (book.steps["worker-1"], book.under_way()) == (StepState.REPLACING, {})
    assert list(book.slots) == ["worker-1"]
    book.goes("worker-1").rejoins("worker-1")
    seen = []
    while book.under_way():
        seen += book.under_way().values()
        book.succeeds("worker-1")
    assert seen == ["converge", "health", "uncordon"]
    assert (book.state, book.slots) == (RolloutState.SUCCEEDED, {})


def test_one_after_the_other_by_the_same_gates() -> None:
    """The second machine goes only when the first instance is back."""
    book = Upgrade(REPLACE, etcd=3).start()
    assert [name for name, state in book.steps.items() if state is StepState.REPLACING] == ["etcd-1"]
    book.rejoins("etcd-1")
    assert book.steps["etcd-2"] is StepState.PENDING
    book.succeeds("etcd-1")
    assert book.steps["etcd-2"] is StepState.REPLACING


def test_what_has_the_bundle_already_is_made_anew_all_the_same() -> None:
    """It is the machine that is meant."""
    book = Upgrade(REPLACE, worker=1)
    name = InstanceId("worker-1")
    book.instances[name] = converged(name, WORKER, NEW)
    book.start()
    assert book.steps["worker-1"] is StepState.REPLACING


def test_the_old_machine_is_never_taken_for_the_new_one() -> None:
    """Gone and back, in another boot, with whatever proof: it is who it was."""
    book = Upgrade(REPLACE, worker=1).start()
    name = InstanceId("worker-1")
    book.goes("worker-1", PresenceState.OFFLINE).comes("worker-1")
    book.instances[name] = converged(name, WORKER, NEW)
    book.hear(InstanceChanged(at=book.at, instance=name))
    assert (book.steps["worker-1"], book.under_way()) == (StepState.REPLACING, {})
    assert RESUME in book.why("worker-1")


def test_a_machine_that_joined_is_awaited_until_its_wing_is_there() -> None:
    """Its key alone converges nothing."""
    book = Upgrade(REPLACE, worker=1).start().rejoins("worker-1", PresenceState.UNKNOWN)
    assert (book.steps["worker-1"], book.under_way()) == (StepState.REPLACING, {})
    assert book.why("worker-1").startswith("its new machine has joined, and its wing is not heard of yet")
    book.comes("worker-1")
    assert book.under_way() == {"worker-1": "converge"}


@pytest.mark.parametrize(
    ("joined", "said"),
    [(False, "no new one has joined for 900 s"), (True, "the wing of the new one was not online for 900 s")],
)
def test_silence_fails_it_with_what_was_expected(*, joined: bool, said: str) -> None:
    """Its slot and its cordon stay, since it is away."""
    book = Upgrade(DRAINED, worker=2).start().succeeds("worker-1").goes("worker-1")
    if joined:
        book.rejoins("worker-1", PresenceState.UNKNOWN)
    assert book.next_wake() == 900
    book.after(900).wake()
    assert (book.state, book.steps["worker-1"]) == (RolloutState.PAUSED, StepState.FAILED)
    assert book.why("worker-1") == f"its machine was to be made anew, and {said}; its cordon stays"
    assert book.command("worker-1") == RESUME
    assert (list(book.slots), book.step("worker-1").cordoned) == (["worker-1"], True)


def test_signs_of_a_machine_put_the_deadline_off() -> None:
    """That the old one goes, or that the broker is there again, is no silence; others' doings are nothing."""
    book = Upgrade(REPLACE, worker=2).start().after(800).goes("worker-1")
    assert book.next_wake() == 900
    book.after(600)
    book.connected = False
    assert book.next_wake() is None
    book.after(3_000)
    book.connected = True
    book.hear(Reconnected(at=book.at))
    assert book.next_wake() == 900
    book.after(500).goes("worker-2")
    assert book.next_wake() == 400


def test_paused_it_stays_as_it_is_and_nobody_counts_the_time() -> None:
    """Whoever makes the machine may have been stopped by the same hand; what joins waits for the resume."""
    book = Upgrade(REPLACE, worker=1).start().hear(PauseAsked(at=NOW, by="ann"))
    assert book.next_wake() is None
    book.after(10_000).goes("worker-1").rejoins("worker-1")
    assert (book.steps["worker-1"], book.under_way()) == (StepState.REPLACING, {})
    assert book.why("worker-1") == "its turn comes when the rollout goes on, which is paused"
    book.hear(ResumeAsked(at=book.at, by="ann"))
    assert book.under_way() == {"worker-1": "converge"}


def test_resumed_after_hours_it_has_its_whole_time_again() -> None:
    """The time of the pause is no silence."""
    book = Upgrade(REPLACE, worker=1).start().hear(PauseAsked(at=NOW, by="ann"))
    book.after(10_000).hear(ResumeAsked(at=book.at, by="ann"))
    assert (book.next_wake(), book.steps["worker-1"]) == (900, StepState.REPLACING)


def test_a_retry_waits_for_the_machine_again() -> None:
    """It can't be asked for anything before; one that came meanwhile goes on at once."""
    book = Upgrade(DRAINED, worker=1).start().succeeds("worker-1").goes("worker-1").after(900).wake()
    book.hear(RetryAsked(at=book.at, by="ann"))
    assert (book.state, book.steps["worker-1"]) == (RolloutState.PROGRESSING, StepState.REPLACING)
    book.after(900).wake().rejoins("worker-1").hear(RetryAsked(at=book.at, by="ann"))
    assert book.under_way() == {"worker-1": "converge"}


def test_a_converge_that_failed_is_tried_again_on_the_new_machine() -> None:
    """It is neither made anew once more, nor drained: nothing was put on it."""
    book = Upgrade(DRAINED, worker=1).start().succeeds("worker-1").rejoins("worker-1").fails("worker-1")
    book.hear(RetryAsked(at=book.at, by="ann"))
    assert book.under_way() == {"worker-1": "converge"}


def test_one_that_had_come_back_is_drained_again_when_it_is_tried_again() -> None:
    """Its cordon was about to be lifted, so it may have work by now."""
    book = Upgrade(DRAINED, worker=1).start().succeeds("worker-1").rejoins("worker-1")
    book.succeeds("worker-1").fails("worker-1").hear(RetryAsked(at=book.at, by="ann"))
    assert book.under_way() == {"worker-1": "drain"}
    assert book.succeeds("worker-1").under_way() == {"worker-1": "converge"}


def test_left_out_by_the_machine_that_is_still_there() -> None:
    """Its cordon is lifted, and it goes on as it was."""
    book = Upgrade(DRAINED, worker=2).start().succeeds("worker-1")
    book.hear(SkipAsked(at=book.at, by="ann", instances=(InstanceId("worker-1"),)))
    assert book.under_way()["worker-1"] == "uncordon"
    book.succeeds("worker-1")
    assert book.steps["worker-1"] is StepState.SKIPPED
    assert book.under_way() == {"worker-2": "drain"}


def test_left_out_while_no_machine_is_there() -> None:
    """There is nobody to ask for anything; the others go on, as far as its role can spare it."""
    lenient = strategy(DRAINED, max_unavailable=Amount(value=2))
    book = Upgrade(lenient, worker=3).start().succeeds("worker-1", "worker-2").goes("worker-1")
    book.hear(SkipAsked(at=book.at, by="ann", instances=(InstanceId("worker-1"),)))
    assert book.steps["worker-1"] is StepState.SKIPPED
    assert list(book.slots) == ["worker-2"]


def test_aborted_it_names_what_may_be_left() -> None:
    """Whether the old machine is still there is not known; its cordon is named, and what lifts it."""
    book = Upgrade(DRAINED, worker=2).start().succeeds("worker-1").hear(AbortAsked(at=NOW, by="ann"))
    assert (book.state, book.steps["worker-1"]) == (RolloutState.ABORTED, StepState.FAILED)
    assert "may still be there, drained" in book.why("worker-1")
    view = rollout_view(book.rollout, book.scene, book.at)
    assert [cordon.command for cordon in view.cordons] == ["tarmak uncordon worker-1"]
    assert book.slots == {}


def test_on_the_way_back_the_new_machine_converges_to_what_the_old_one_had() -> None:
    """There is no way back to a machine that is gone."""
    book = Upgrade(DRAINED, worker=1).start().succeeds("worker-1").rejoins("worker-1").succeeds("worker-1")
    book.succeeds("worker-1")
    assert book.steps["worker-1"] is StepState.DONE
    book = Upgrade(DRAINED, worker=2).start().succeeds("worker-1").rejoins("worker-1").succeeds("worker-1")
    book.succeeds("worker-1").hear(RevertAsked(at=book.at, by="ann")).end_what_was_given_up()
    book.to_the_end()
    assert book.steps["worker-1"] is StepState.REVERTED
    proof = book.instances[InstanceId("worker-1")].observed
    assert proof is not None
    assert proof.digest == OLD


def test_on_the_way_back_a_machine_that_is_gone_is_waited_for() -> None:
    """The one that is being made is converged to what was there, and is not drained."""
    book = Upgrade(DRAINED, worker=2).start().succeeds("worker-1").goes("worker-1")
    book.hear(RevertAsked(at=book.at, by="ann"))
    assert "worker-1 is lost" in book.why("worker-1")
    book.rejoins("worker-1")
    assert book.under_way() == {"worker-1": "converge"}
    assert book.step("worker-1").goal == OLD


def later_wave() -> Upgrade:
    """Return a rollout that went back to its first wave while one of the second waits for a machine."""
    lenient = strategy(DRAINED, max_failures=Amount(value=3))
    book = Upgrade(lenient, worker=3).start().fails("worker-1").succeeds("worker-1").succeeds("worker-2")
    assert (book.steps["worker-1"], book.steps["worker-2"]) == (StepState.FAILED, StepState.REPLACING)
    book.hear(RetryAsked(at=book.at, by="ann", instances=(InstanceId("worker-1"),)))
    assert book.rollout.wave == 1
    assert "worker-2: away for r-1" in book.why("worker-1")
    return book


def test_a_machine_that_comes_goes_on_whichever_wave_is_open() -> None:
    """Its instance is away, and takes the room that the open wave waits for."""
    book = later_wave().rejoins("worker-2")
    assert book.under_way() == {"worker-2": "converge"}
    book.to_the_end(machines=True)
    assert book.state is RolloutState.SUCCEEDED


def test_a_machine_that_does_not_come_fails_whichever_wave_is_open() -> None:
    """Nobody waits for it without an end."""
    book = later_wave().after(900).wake()
    assert book.steps["worker-2"] is StepState.FAILED


def test_one_that_is_taken_off_the_roster_meanwhile_is_told_of_as_such() -> None:
    """Until its rollout hears of it."""
    book = Upgrade(REPLACE, worker=1).start()
    book.instances.clear()
    assert book.why("worker-1") == "worker-1 was taken off the roster"


def test_a_view_says_whose_machine_is_to_be_made() -> None:
    """Whoever makes machines goes by it: None, then False, then True."""

    def told(book: Upgrade) -> bool | None:
        return rollout_view(book.rollout, book.scene, book.at).steps[0].replaced

    book = Upgrade(DRAINED, worker=1).start()
    assert told(book) is None
    assert told(book.succeeds("worker-1")) is False
    assert told(book.rejoins("worker-1", PresenceState.UNKNOWN)) is True
    assert told(Upgrade(worker=1).start()) is None
