"""A rollout as operators see it: its plan, its steps, what it left behind, and why whatever waits does."""

from dataclasses import replace
from datetime import time

import pytest

from broker.ids import InstanceId
from broker.messages import (
    CommandCheck,
    DrainPolicy,
    EtcdCheck,
    HealthChecks,
    HttpCheck,
    NodeCheck,
    VaultCheck,
)
from orchestrator.domain.rollout.events import AbortAsked, PauseAsked, RevertAsked
from orchestrator.domain.rollout.model import StepState
from orchestrator.domain.rollout.show import rollout_view, step_why_view, why_views
from orchestrator.domain.rollout.strategy import (
    ETCD,
    VAULT,
    WORKER,
    Amount,
    Strategy,
    StrategyError,
    Window,
    amount,
)
from orchestrator.domain.rollout_views import RolloutView, WhyView
from tests.unit.orchestrator.rollout.upgrade import NEW, NOW, OLD, QUICK, Upgrade, strategy

W1 = InstanceId("worker-1")
DRAINED = Strategy(canary=0, prefetch=False, health={})


def view(book: Upgrade) -> RolloutView:
    return rollout_view(book.rollout, book.scene, book.at, took_s={WORKER: 10.0, ETCD: 20.0})


def whys(book: Upgrade, *, every: bool = False) -> list[WhyView]:
    return list(why_views(book.rollout, book.scene, book.at, every=every))


def test_a_plan_names_what_each_gate_and_check_asks_for() -> None:
    """Counts, quorum, drains, checks and the window stand in the plan, role by role."""
    health = {
        WORKER: HealthChecks(node=NodeCheck(), http=(HttpCheck(url="http://localhost/healthz"),)),
        ETCD: HealthChecks(etcd=EtcdCheck(), commands=(CommandCheck(command=("check", "it")),)),
        VAULT: HealthChecks(vault=VaultCheck()),
    }
    window = Window(begin=time(22), end=time(4), days=("mon", "fri"), zone="Europe/Berlin")
    book = Upgrade(Strategy(health=health, window=window), worker=3, etcd=3, vault=1)
    assert view(book).needs == (
        (
            "etcd: at most 1 of 3 away at once, never fewer than 2 left, drained first,"
            " then healthy 3 times in a row: etcd member, check it"
        ),
        "vault: at most 1 of 1 away at once, drained first, then healthy 3 times in a row: Vault",
        (
            "worker: at most 1 of 3 away at once, drained first,"
            " then healthy 3 times in a row: Node Ready, GET http://localhost/healthz"
        ),
        "disruption starts within mon fri 22:00-04:00 Europe/Berlin only",
    )
    assert view(book).confirmations == ("vault-1 is the only vault: while it is away there is none",)


def test_a_plan_says_how_long_it_takes_by_past_runs() -> None:
    """As many at once as may be away, and the soaks between; unknown if that of one role is."""
    two = strategy(max_unavailable=Amount(value=2), canary=1, canary_soak_s=60, soak_s=5)
    assert view(Upgrade(two, worker=5)).expected_s == (10 + 60) + (10 + 5) + (10 + 5)
    assert view(Upgrade(QUICK, worker=1, master=1)).expected_s is None


def test_pods_past_their_budgets_have_to_be_agreed_to() -> None:
    """Deleting instead of evicting is an outage that a person confirms."""
    book = Upgrade(strategy(drain=DrainPolicy(disable_eviction=True)))
    assert view(book).confirmations == ("disable_eviction deletes pods past every budget",)


def test_a_step_shows_where_it_comes_from_and_goes_to() -> None:
    """On the way back the two change places, and what it ran is named while it does."""
    book = Upgrade(DRAINED, worker=1).start().succeeds("worker-1")
    (step,) = view(book).steps
    assert (step.origin, step.target, step.back, step.run) == (OLD, NEW, False, book.work("worker-1").id)
    book.fails("worker-1").hear(RevertAsked(at=book.at, by="ann"))
    (step,) = view(book).steps
    assert (step.target, step.back) == (OLD, True)


def test_a_cordon_that_was_left_is_named_with_what_lifts_it() -> None:
    """An aborted rollout says whom it left cordoned, why, and the command."""
    book = Upgrade(DRAINED, worker=2).start().succeeds("worker-1").fails("worker-1", "Exec[x] failed")
    assert view(book).cordons == (), "it has not ended"
    book.hear(AbortAsked(at=book.at, by="ann"))
    (cordon,) = view(book).cordons
    assert (cordon.instance, cordon.owner, cordon.command) == ("worker-1", "r-1", "tarmak uncordon worker-1")
    assert cordon.reason == "the converge failed: Exec[x] failed"


def test_why_names_what_needs_someone_and_with_every_also_what_only_waits() -> None:
    """Of a paused rollout: itself and what failed; those whose turn has only to come are left out."""
    book = Upgrade(DRAINED, worker=3).start().succeeds("worker-1").fails("worker-1", "Exec[x] failed")
    assert [each.subject for each in whys(book)] == ["r-1", "worker-1"]
    assert [each.subject for each in whys(book, every=True)] == ["r-1", "worker-1", "worker-2", "worker-3"]
    waiting = whys(book, every=True)[2]
    assert (
        waiting.sentence
        == "worker-2 pending in r-1: its turn comes when the rollout goes on, which is paused"
    )
    assert waiting.command == "tarmak why r-1"


def test_a_step_that_is_done_needs_no_reason() -> None:
    """Nothing is said of what is well."""
    book = Upgrade(QUICK, worker=2).start().succeeds("worker-1")
    assert book.steps["worker-1"] is StepState.DONE
    assert step_why_view(book.rollout, book.step("worker-1"), book.scene, book.at) is None


def test_what_is_under_way_says_what_it_waits_for() -> None:
    """Not sent, not begun, at work, held up on the host, being taken back, lost, without a broker."""
    book = Upgrade(DRAINED, worker=1).start().succeeds("worker-1")
    assert book.why("worker-1").endswith("was sent, and its wing has not begun yet")
    book.begins("worker-1")
    assert book.why("worker-1") == "its converge is under way"
    book.blocked("worker-1", "Puppet is at work already: process 4711")
    assert book.why("worker-1") == "its run waits on the host: Puppet is at work already: process 4711"
    run = book.work("worker-1")
    book._put(replace(run, command=None, reason="lost since noon"))
    assert book.why("worker-1").endswith("waits to be sent: lost since noon")
    book.goes("worker-1")
    assert "in the middle of its converge" in book.why("worker-1")
    book.connected = False
    assert book.why("worker-1") == "the broker can't be reached"
    del book.instances[W1]
    assert book.why("worker-1") == "worker-1 was taken off the roster"


def test_a_drain_that_is_taken_back_says_so() -> None:
    """Nobody wonders why a pause cordons."""
    book = Upgrade(DRAINED, worker=1).start().begins("worker-1")
    book.hear(PauseAsked(at=book.at, by="ann"))
    assert book.why("worker-1").startswith("its drain is taken back")


@pytest.mark.parametrize(
    ("text", "of_ten"), [("1", 1), (3, 3), ("30%", 3), ("1%", 1), (" 25 % ", 2), ("100%", 10)]
)
def test_an_amount_is_a_count_or_a_percentage(text: str | int, of_ten: int) -> None:
    """A percentage rounds down, and is at least 1."""
    assert amount(text, name="max_unavailable").of(10) == of_ten


@pytest.mark.parametrize("text", ["0", "-1", "x", "", "0%", "101%", "1.5", "٣"])
def test_what_is_no_amount_is_refused_by_its_fields_name(text: str) -> None:
    """The message names the field and shows what is meant."""
    with pytest.raises(StrategyError, match=r"^max_failures: "):
        amount(text, name="max_failures")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"canary": -1}, "canary"),
        ({"soak_s": -1}, "soak_s"),
        ({"passes": 0}, "passes"),
        ({"min_finished": 0}, "min_finished"),
        ({"progress_deadline_s": 0}, "progress_deadline_s"),
        ({"roles": (WORKER, WORKER)}, "roles"),
    ],
)
def test_a_strategy_that_can_mean_nothing_is_refused(changes: dict[str, int], field: str) -> None:
    """Each refusal begins with the field."""
    with pytest.raises(StrategyError) as refused:
        strategy(**changes)
    assert refused.value.field == field


def test_a_window_that_is_none_is_refused() -> None:
    """A day, a zone, or two times that can't be meant."""
    for changes, field in (
        ({"days": ("monday",)}, "window.days"),
        ({"zone": "Nowhere/At-All"}, "window.zone"),
        ({"end": time(22)}, "window"),
    ):
        with pytest.raises(StrategyError) as refused:
            Window(**{"begin": time(22), "end": time(4), **changes})  # type: ignore[arg-type] # by field name
        assert refused.value.field == field


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_began() -> None:
    """On Monday from 22:00 means until Tuesday at 4:00, and opens again a week later."""
    night = Window(begin=time(22), end=time(4), days=("mon",))
    monday = NOW.replace(hour=23)
    assert night.is_open(monday)
    assert night.is_open(monday.replace(day=3, hour=3))
    assert not night.is_open(monday.replace(day=3, hour=4))
    assert not night.is_open(monday.replace(day=3, hour=23))
    assert night.opens(monday.replace(day=3, hour=4)) == monday.replace(day=9, hour=22)
    assert night.opens(monday) == monday
