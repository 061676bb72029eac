"""Without being asked: what never converged is converged at once, what differs is caught up by a rollout."""

from dataclasses import replace

import pytest

from broker.ids import Digest, InstanceId
from broker.messages import Observed, Verdict
from orchestrator.domain.effects import CatchUp, ConvergeAutomatically
from orchestrator.domain.instance import NodeSeen
from orchestrator.domain.show import differs, reason
from orchestrator.domain.tickets import releasable
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


def test_a_ticket_releases_no_more_than_its_bound() -> None:
    """With `--parallel 2` the third run waits until one of the first two has ended."""
    waiting = [run(index) for index in range(1, 5)]
    assert len(releasable(waiting, None)) == 4
    assert releasable(waiting, 2) == [waiting[0].id, waiting[1].id]
    busy = [replace(item, released=True, command=number(9)) for item in waiting[:2]]
    assert releasable([*busy, *waiting[2:]], 2) == []
    assert releasable([busy[1], *waiting[2:]], 2) == [waiting[2].id]


def test_an_absent_instance_does_not_hold_up_the_others() -> None:
    """With `--parallel 1` a dead instance's run waits for it, and the next one goes."""
    dead = replace(run(1), instance=InstanceId("worker-9"))
    assert releasable([dead, run(2)], 1, {dead.instance}) == [run(2).id]
