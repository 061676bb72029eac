"""Only what has never converged is converged without being asked."""

from dataclasses import replace

import pytest

from broker.ids import Digest, InstanceId
from broker.messages import Observed, Verdict
from orchestrator.domain.effects import ConvergeAutomatically
from orchestrator.domain.show import differs, reason
from orchestrator.domain.tickets import releasable
from tests.unit.orchestrator.domain.playbook import DIGEST, NOW, Playbook, Wing, number, run

OTHER = Digest("sha256:" + "b" * 64)


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
def test_one_that_has_a_record_is_left_alone(verdict: Verdict) -> None:
    """An instance that differs is shown with the next step, not touched."""
    proof = Observed(digest=OTHER, verdict=verdict, run=run().id, at=NOW)
    book, wing = Playbook(role_desired=DIGEST), Wing(observed=proof)
    assert automatic(book.handle(wing.birth(book.at))) == []
    assert differs(book.instance, DIGEST)
    assert "tarmak converge --instance worker-1" in reason(book.instance, DIGEST, book.at)


def test_nothing_is_reconciled_while_the_journal_is_doubted() -> None:
    """A restored journal may want what is long past."""
    book, wing = Playbook(role_desired=DIGEST), Wing()
    book.around = replace(book.around, may_reconcile=False)
    assert automatic(book.handle(wing.birth(book.at))) == []


def test_a_ticket_releases_no_more_than_its_bound() -> None:
    """With `--parallel 2` the third run waits until one of the first two has ended."""
    waiting = [run(index) for index in range(1, 5)]
    assert releasable(waiting, None) == (waiting, 4)
    assert releasable(waiting, 2) == (waiting, 2)
    busy = [replace(item, released=True, command=number(9)) for item in waiting[:2]]
    assert releasable([*busy, *waiting[2:]], 2) == (waiting[2:], 0)
    assert releasable([busy[1], *waiting[2:]], 2) == (waiting[2:], 1)


def test_an_absent_instance_does_not_hold_up_the_others() -> None:
    """With `--parallel 1` a dead instance's run waits for it, and the next one goes."""
    dead = replace(run(1), instance=InstanceId("worker-9"))
    assert releasable([dead, run(2)], 1, {dead.instance}) == ([run(2)], 1)
