"""What a run proves, from how its executions ended."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from broker.messages import Level, LogLine, RunOutcome, Verdict
from puppet_bridge.diff import diff_hash
from puppet_bridge.execution import Ending, Execution
from puppet_bridge.outcome import Apply, Done, Policy, next_step
from tests.unit.puppet_bridge.executions import (
    CHANGED,
    EXEC,
    FAILED,
    FAILURE,
    MOTD,
    SCOPE,
    UNCHANGED,
    exited,
    policy,
    reported,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WOULD = exited(0, reported(MOTD, EXEC, noop=True))


def end(asked: Policy, *history: Execution) -> Done:
    """Return the end that follows from `history`."""
    step = next_step(asked, history)
    assert isinstance(step, Done)
    return step


def onward(asked: Policy, *history: Execution) -> Apply:
    """Return the apply that follows from `history`."""
    step = next_step(asked, history)
    assert isinstance(step, Apply)
    return step


def compile_error() -> Execution:
    line = LogLine(at=NOW, level=Level.ERR, source="Puppet", message="Syntax error", file="m.pp", line=4)
    return replace(exited(1), errors=(line,), fault="none")


def test_begins_with_an_apply() -> None:
    """A run begins with an apply at once, with all of its time."""
    assert onward(policy()) == Apply(noop=False, timeout_s=100.0)


def test_unchanged_first_apply_is_its_own_proof() -> None:
    """A first apply that changed nothing proves the instance."""
    assert end(policy(), UNCHANGED) == Done(outcome=RunOutcome.UNCHANGED, verdict=Verdict.CONVERGED)


def test_change_is_confirmed() -> None:
    """An apply that changed something is followed at once by another, in what is left of the time."""
    assert onward(policy(), CHANGED) == Apply(noop=False, timeout_s=99.0)
    assert end(policy(), CHANGED, UNCHANGED) == Done(outcome=RunOutcome.CHANGED, verdict=Verdict.CONVERGED)


def test_change_without_confirmation_is_applied() -> None:
    """With the confirming apply turned off a change is called applied, and no change converged."""
    asked = policy(confirm=False)
    assert end(asked, CHANGED) == Done(outcome=RunOutcome.CHANGED, verdict=Verdict.APPLIED)
    assert end(asked, UNCHANGED).verdict is Verdict.CONVERGED


def test_never_settles() -> None:
    """A run whose last apply still changed something failed, and names what and where."""
    again = exited(2, reported(EXEC))
    done = end(policy(), CHANGED, again, again)
    assert done.verdict is Verdict.FAILED
    assert done.reason == "never settles: Exec[again] (m.pp:9) still changed at apply 3 of 3"


def test_failures_pause() -> None:
    """After a failure a run pauses 2 s, after the second 5 s, and after the last attempt it ends."""
    assert onward(policy(), FAILED).after_s == 2.0
    assert onward(policy(), FAILED, FAILED).after_s == 5.0
    done = end(policy(), FAILED, FAILED, FAILED)
    assert (done.outcome, done.verdict) == (RunOutcome.FAILED, Verdict.FAILED)
    assert done.reason == "Exec[bad] (m.pp:7): returned 1"


def test_recovers() -> None:
    """A failure that is gone at the next attempt leaves a run that converges."""
    assert onward(policy(), FAILED, CHANGED).after_s == 0.0
    assert end(policy(), FAILED, CHANGED, UNCHANGED).verdict is Verdict.CONVERGED


def test_compile_error_fails_at_once() -> None:
    """A compile error is never tried again; the reason is the compiler's message with its place."""
    done = end(policy(), compile_error())
    assert done == Done(outcome=RunOutcome.NOT_RUN, verdict=Verdict.FAILED, reason="m.pp:4: Syntax error")


def test_compile_error_after_a_change() -> None:
    """A run that changed something before is not told as one that did not run."""
    assert end(policy(), CHANGED, compile_error()).outcome is RunOutcome.FAILED


def test_timeout_names_the_resource() -> None:
    """A run that was ended for its time names the resource at which it stood."""
    hung = replace(exited(1), ending=Ending.TIMED_OUT, at_resource="Exec[sleep]", ended=("sleep (7)",))
    done = end(policy(), hung)
    assert (done.outcome, done.verdict) == (RunOutcome.TIMEOUT, Verdict.FAILED)
    assert done.reason == (
        "timeout: Puppet did not end within 100 s; it was at Exec[sleep]; ended: sleep (7)"
    )


def test_time_is_the_runs() -> None:
    """All executions share one time: where none is left the run ends."""
    slow = replace(CHANGED, took_s=100.0)
    assert end(policy(), slow).outcome is RunOutcome.TIMEOUT
    asked = policy(approved=diff_hash((MOTD, EXEC), SCOPE))
    assert end(asked, replace(WOULD, took_s=100.0)).outcome is RunOutcome.TIMEOUT


def test_noop_proves_nothing() -> None:
    """A noop has no verdict; whether it would change something is in its report, not in its exit code."""
    asked = policy(noop=True)
    assert onward(asked).noop
    assert end(asked, WOULD) == Done(outcome=RunOutcome.CHANGED, verdict=None)
    nothing = exited(0, reported(noop=True))
    assert end(asked, nothing) == Done(outcome=RunOutcome.UNCHANGED, verdict=None)
    assert end(asked, exited(0)).outcome is RunOutcome.FAILED


@pytest.mark.parametrize(
    "spoilt",
    [
        FAILED,
        exited(0),
        exited(None),
        exited(-9),
        exited(3, reported()),
        exited(0, reported(noop=True)),
        exited(0, reported(completed=False)),
        exited(0, replace(reported(), failed=1)),
        exited(0, replace(reported(), failed_to_restart=1)),
        exited(0, replace(reported(), status="failed")),
        exited(4, reported()),
        exited(6, reported(MOTD)),
        replace(UNCHANGED, skips=1),
        replace(UNCHANGED, ending=Ending.TIMED_OUT),
        replace(UNCHANGED, ending=Ending.CANCELLED),
        exited(1, reported()),
        exited(0, reported(failures=(FAILURE,))),
    ],
)
@pytest.mark.parametrize("confirm", [True, False])
@pytest.mark.parametrize("before", [0, 1, 2])
def test_no_way_to_converged(spoilt: Execution, before: int, *, confirm: bool) -> None:
    """No run that ends in a failed, killed, timed-out, cancelled or unknown execution is a success."""
    match next_step(policy(confirm=confirm), (*[CHANGED] * before, replace(spoilt, noop=False))):
        case Done() as done:
            assert done.verdict is Verdict.FAILED
            assert done.reason
        case Apply() as step:
            assert before < 2
            assert not step.noop


def test_every_history_ends() -> None:
    """Whatever the executions, a run ends within its attempts, and converges only on an unchanged last."""
    for history in itertools.product((UNCHANGED, CHANGED, FAILED, exited(-15)), repeat=3):
        for length in range(1, 4):
            step = next_step(policy(), history[:length])
            if isinstance(step, Done):
                proven = history[length - 1] is UNCHANGED
                assert (step.verdict is Verdict.CONVERGED) is proven
                break
        else:
            pytest.fail("it goes on after its attempts")


def test_approved_diff_is_checked_first() -> None:
    """A run with an approved diff begins with a noop, and applies when that finds exactly the diff."""
    asked = policy(approved=diff_hash((EXEC, MOTD), SCOPE))
    assert onward(asked).noop
    assert onward(asked, WOULD) == Apply(noop=False, timeout_s=99.0)
    assert end(asked, WOULD, CHANGED, UNCHANGED).verdict is Verdict.CONVERGED


def test_other_diff_is_refused() -> None:
    """Another diff than the approved one ends the run before anything has changed, without a verdict."""
    done = end(policy(approved="0" * 64), WOULD)
    assert done.verdict is None
    assert done.reason.startswith("diff differs: approved was 000000000000")


def test_retry_is_a_part_of_what_was_approved() -> None:
    """Before a later attempt the noop may find less than was approved, never more."""
    asked = policy(approved=diff_hash((EXEC, MOTD), SCOPE))
    assert onward(asked, WOULD, FAILED).noop
    less = exited(0, reported(EXEC, noop=True))
    assert not onward(asked, WOULD, FAILED, less).noop
    more = exited(0, reported(replace(EXEC, after="1"), noop=True))
    assert end(asked, WOULD, FAILED, more).reason == "diff differs: not approved: Exec[again] (m.pp:9)"


def test_broken_noop_approves_nothing() -> None:
    """A noop that failed ends a run whose diff had to be checked."""
    asked = policy(approved="0" * 64)
    broken = replace(FAILED, noop=True)
    assert end(asked, broken).reason == "diff not checked: Exec[bad] (m.pp:7): returned 1"


def test_many_names_are_counted() -> None:
    """A reason names the first three, and counts the rest."""
    many = tuple(replace(EXEC, resource=f"Exec[{n}]", file=None) for n in range(5))
    again = exited(2, reported(*many))
    assert "Exec[0], Exec[1], Exec[2] and 2 more" in end(policy(attempts=1), again).reason
    failures = tuple(replace(FAILURE, resource=f"Exec[{n}]") for n in range(5))
    assert end(policy(attempts=1), exited(4, reported(failures=failures))).reason.endswith("; and 2 more")
