"""Without being asked: what never converged is converged at once, what differs is caught up by a rollout."""

from dataclasses import replace

import pytest

from broker.ids import Digest, InstanceId
from broker.messages import Observed, Verdict
from orchestrator.domain.effects import CatchUp, ConvergeAutomatically
from orchestrator.domain.instance import NodeSeen
from orchestrator.domain.model import Run
from orchestrator.domain.show import differs, reason
from orchestrator.domain.tickets import OpenRuns
from orchestrator.domain.views import RunState
from tests.unit.orchestrator.domain.playbook import DIGEST, NOW, Playbook, Wing, number, run

OTHER = Digest("sha256:" + "b" * 64)


def caught_up(effects: tuple[object, ...]) -> list[Digest]:
    return [effect.digest for effect in effects if isinstance(effect, CatchUp)]


def automatic(effects: tuple[object, ...]) -> list[ConvergeAutomatically]:
    return [effect for effect in effects if isinstance(effect, ConvergeAutomatically)]


def test_a_fresh_instance_is_converged_on_its_roles_bundle_at_once() -> None:
    """No record on the wing, no run in the journal: what joins a role gets what the role has."""
    book, wing = Playbook(role_desired=DIGEST), Wing()
    (wish,) = automatic(book.handle(wing.birth(book.at)))
    assert wish.digest == DIGEST


def test_at_most_one_automatic_run() -> None:
    """Once a run was made for it, whatever became of it, an instance is not touched again."""
    book, wing = Playbook(role_desired=DIGEST), Wing()
    book.handle(wing.birth(book.at))
    book.request(run(automatic=True))
    assert automatic(book.after(60).handle(wing.heartbeat(book.at))) == []


@pytest.mark.parametrize("verdict", list(Verdict))
def test_one_that_differs_is_caught_up_through_the_gates_once(verdict: Verdict) -> None:
    """An instance that had something else goes there by a rollout; once that was tried it waits."""
    proof = Observed(digest=OTHER, verdict=verdict, run=run().id, at=NOW)
    book, wing = Playbook(role_desired=DIGEST), Wing(observed=proof)
    effects = book.handle(wing.birth(book.at))
    assert (automatic(effects), caught_up(effects)) == ([], [DIGEST])
    book.instance = replace(book.instance, tried=DIGEST)
    assert caught_up(book.handle(wing.heartbeat(book.at))) == []
    assert differs(book.instance, DIGEST)
    assert "tarmak converge --instance worker-1" in reason(book.instance, DIGEST, book.at)


def test_what_failed_on_the_desired_bundle_waits_for_a_person() -> None:
    """It was tried; nothing goes round by itself."""
    proof = Observed(digest=DIGEST, verdict=Verdict.FAILED, run=run().id, at=NOW)
    book, wing = Playbook(role_desired=DIGEST), Wing(observed=proof)
    effects = book.handle(wing.birth(book.at))
    assert (automatic(effects), caught_up(effects)) == ([], [])


def test_one_that_serves_as_a_node_already_is_not_converged_at_once() -> None:
    """Whatever is known of its runs: it may have pods, so it goes through the gates and the drain."""
    book, wing = Playbook(role_desired=DIGEST), Wing()
    node = NodeSeen(name="worker-1", ready=True, unschedulable=False, owner=None, seen_at=NOW)
    book.instance = replace(book.instance, node=node)
    effects = book.handle(wing.birth(book.at))
    assert (automatic(effects), caught_up(effects)) == ([], [DIGEST])


def test_nothing_is_reconciled_while_the_journal_is_doubted() -> None:
    """A restored journal may want what is long past."""
    book, wing = Playbook(role_desired=DIGEST), Wing()
    book.around = replace(book.around, may_reconcile=False)
    assert automatic(book.handle(wing.birth(book.at))) == []


def open_runs(*runs: Run) -> OpenRuns:
    found = OpenRuns()
    for item in runs:
        found.put(item)
    return found


def test_a_ticket_releases_no_more_than_its_bound() -> None:
    """With `--parallel 2` the third run waits until one of the first two has ended."""
    first, second, third, fourth = (run(index) for index in range(1, 5))
    ticket = open_runs(first, second, fourth, third)
    assert list(ticket.waiting()) == [first, second, third, fourth]
    assert ticket.room(None) == 4
    assert ticket.room(2) == 2
    ticket.put(replace(first, released=True))
    ticket.put(replace(second, released=True, command=number(9)))
    assert ticket.room(2) == 0
    ticket.put(replace(first, released=True, state=RunState.SUCCEEDED))
    assert (ticket.room(2), next(ticket.waiting())) == (1, third)


def test_a_ticket_is_done_with_its_last_run() -> None:
    """A run counts until its final answer, whether it was released or not."""
    ticket = open_runs(run(1), run(2))
    ticket.put(replace(run(1), released=True))
    ticket.put(replace(run(1), released=True, state=RunState.SUCCEEDED))
    assert ticket
    ticket.put(replace(run(2), state=RunState.CANCELLED))
    assert not ticket


def test_an_absent_instance_does_not_hold_up_the_others() -> None:
    """With `--parallel 1` a dead instance's run waits for it, and the next one goes."""
    dead = replace(run(1), instance=InstanceId("worker-9"))
    assert list(open_runs(dead, run(2)).waiting(lambda who: who == dead.instance)) == [run(2)]
