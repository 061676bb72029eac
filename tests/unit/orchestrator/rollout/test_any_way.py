"""Whatever happens in whatever order: every law holds at each move, all has a reason, and comes to an end."""

from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.ids import InstanceId
from broker.messages import CommandCheck, EtcdCheck, HealthChecks
from orchestrator.domain.rollout.acts import may_skip
from orchestrator.domain.rollout.events import (
    AbortAsked,
    PauseAsked,
    ResumeAsked,
    RetryAsked,
    RevertAsked,
    SkipAsked,
)
from orchestrator.domain.rollout.model import Cause, RolloutState, StepState
from orchestrator.domain.rollout.sentences import TABLE
from orchestrator.domain.rollout.strategy import ETCD, WORKER, Amount, OnFailure, Strategy
from orchestrator.domain.views import PresenceState
from tests.unit.orchestrator.rollout.upgrade import NEW, OLD, Upgrade
from tests.unit.orchestrator.rollout.why_page import PAGE, page

CHECKS: Final = {
    WORKER: HealthChecks(commands=(CommandCheck(command=("true",)),)),
    ETCD: HealthChecks(etcd=EtcdCheck()),
}
Deed = Callable[[Upgrade, InstanceId], object]


def works(book: Upgrade, name: InstanceId) -> bool:
    step = book.rollout.steps[name]
    return step.work is not None and any(work.id == step.work for work in book.instances[name].work())


def at_work(deed: Deed) -> Deed:
    """Return a deed that needs something under way on the instance."""
    return lambda book, name: deed(book, name) if works(book, name) else None


def alive(deed: Deed) -> Deed:
    """Return a deed that needs a rollout that has not ended, nor is about to."""
    return lambda book, name: None if book.state.is_final or book.rollout.aborted_by else deed(book, name)


def resumed(book: Upgrade, _name: InstanceId) -> None:
    if book.state is RolloutState.PAUSED:
        book.hear(ResumeAsked(at=book.at, by="ann"))


def retried(book: Upgrade, _name: InstanceId) -> None:
    if StepState.FAILED in book.steps.values():
        book.hear(RetryAsked(at=book.at, by="ann"))


def skipped(book: Upgrade, name: InstanceId) -> None:
    if may_skip(book.rollout.steps[name]):
        book.hear(SkipAsked(at=book.at, by="ann", instances=(name,)))


def reverted(book: Upgrade, _name: InstanceId) -> None:
    if book.state is not RolloutState.REVERTING:
        book.hear(RevertAsked(at=book.at, by="ann"))


def time_passes(book: Upgrade, _name: InstanceId) -> None:
    book.after(min(book.next_wake() or 1, 5_000)).wake()


def mended(book: Upgrade, name: InstanceId) -> None:
    """Let a Node be Ready, and nobody else's; that it was ours may never be heard to have ended."""
    node = book.instances[name].node
    if node is not None and node.owner == "r-1":
        book.sees(name, cordoned=node.unschedulable, owner=node.owner)
    else:
        book.unsees(name)


DEEDS: Final[dict[str, Deed]] = {
    "succeeds": at_work(lambda book, name: book.succeeds(name)),
    "succeeds again": at_work(lambda book, name: book.succeeds(name)),
    "begins": at_work(lambda book, name: book.begins(name)),
    "fails": at_work(lambda book, name: book.fails(name)),
    "is cut off": at_work(lambda book, name: book.is_cut_off(name)),
    "never starts": at_work(lambda book, name: book.never_starts(name)),
    "is cancelled": at_work(lambda book, name: book.is_cancelled(name)),
    "goes": lambda book, name: book.goes(name, PresenceState.LOST),
    "comes": lambda book, name: book.comes(name),
    "rejoins": lambda book, name: book.rejoins(name),
    "is cordoned by another": lambda book, name: book.sees(name, cordoned=True, owner="d-9"),
    "is cordoned without a name": lambda book, name: book.sees(name, cordoned=True),
    "is not Ready": lambda book, name: book.sees(name, ready=False),
    "is Ready": lambda book, name: book.sees(name),
    "is not seen": lambda book, name: book.unsees(name),
    "time passes": time_passes,
    "pause": alive(lambda book, _name: book.hear(PauseAsked(at=book.at, by="ann"))),
    "resume": alive(resumed),
    "abort": alive(lambda book, _name: book.hear(AbortAsked(at=book.at, by="ann"))),
    "retry": alive(retried),
    "skip": alive(skipped),
    "revert": alive(reverted),
}
STRATEGIES: Final = st.builds(
    Strategy,
    canary=st.integers(0, 2),
    canary_soak_s=st.sampled_from((0, 60)),
    soak_s=st.sampled_from((0, 30)),
    max_unavailable=st.sampled_from((Amount(value=1), Amount(value=2), Amount(value=50, percent=True))),
    max_failures=st.sampled_from((Amount(value=1), Amount(value=2), Amount(value=50, percent=True))),
    prefetch=st.booleans(),
    replace=st.booleans(),
    health=st.sampled_from(({}, CHECKS)),
    on_failure=st.sampled_from(OnFailure),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    strategy=STRATEGIES,
    fleet=st.sampled_from(({"worker": 3, "etcd": 3}, {"worker": 5}, {"worker": 1, "master": 1, "etcd": 1})),
    deeds=st.lists(st.tuples(st.sampled_from(sorted(DEEDS)), st.integers(0, 5)), max_size=60),
)
def test_laws_hold_and_all_ends(
    strategy: Strategy, fleet: dict[str, int], deeds: list[tuple[str, int]]
) -> None:
    """Laws and reasons are checked at each move; when nothing bad happens any more, all comes to an end."""
    book = Upgrade(strategy, **fleet).start()
    names = sorted(book.instances)
    for deed, whom in deeds:
        DEEDS[deed](book, names[whom % len(names)])
    for name in names:
        book.comes(name)
        mended(book, name)
    if book.state is RolloutState.PAUSED and not book.rollout.aborted_by:
        book.hear(ResumeAsked(at=book.at, by="ann"))
    book.to_the_end(machines=True)
    assert_rest(book)


def assert_rest(book: Upgrade) -> None:
    """Assert that nothing is left that nobody waits for or knows of."""
    assert book.state.is_final or book.state is RolloutState.PAUSED, book.steps
    for name, step in book.rollout.steps.items():
        instance = book.instances[name]
        if step.state is StepState.DONE:
            assert instance.observed is not None
            assert instance.observed.digest == NEW
        if step.state is StepState.REVERTED:
            assert instance.observed is not None
            assert instance.observed.digest == OLD
        if instance.cordon is not None:
            assert step.state in {StepState.FAILED, StepState.SKIPPED}, step
        if book.state.is_final:
            assert name not in book.slots


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_a_sentence(cause: Cause) -> None:
    """The table of reasons is whole."""
    assert TABLE[cause].sentence


def test_the_page_of_reasons_is_the_table() -> None:
    """What operators read is what they are told; `python -m` of `why_page` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page()
