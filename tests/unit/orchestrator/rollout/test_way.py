"""One instance's way through a rollout, and the waves in which instances go it."""

from dataclasses import replace

from broker.ids import InstanceId, Role
from broker.messages import CommandCheck, EtcdCheck, HealthChecks
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout.strategy import Amount, Strategy
from orchestrator.domain.views import PresenceState
from tests.unit.orchestrator.rollout.upgrade import NEW, OLD, QUICK, WORKER, Upgrade, converged, strategy

CHECKED = {WORKER: HealthChecks(commands=(CommandCheck(command=("true",)),))}


def test_a_worker_goes_the_whole_way_and_back() -> None:
    """It is dry-run, drained, converged, looked at, uncordoned and soaked before it counts as done."""
    book = Upgrade(Strategy(canary=0), worker=1).start()
    seen = [book.under_way()["worker-1"]]
    while book.under_way():
        book.succeeds("worker-1")
        seen += book.under_way().values()
    assert seen == ["noop", "drain", "converge", "health", "uncordon"]
    assert book.state is RolloutState.SUCCEEDED
    assert book.steps == {"worker-1": StepState.DONE}
    assert book.slots == {}


def test_the_second_wave_opens_when_the_first_has_ended() -> None:
    """A wave opens only after every instance of the one before is done."""
    book = Upgrade(worker=3).start()
    assert book.under_way() == {"worker-1": "converge"}
    book.succeeds("worker-1")
    assert book.under_way() == {"worker-2": "converge"}
    assert book.why("worker-3") == "its wave 3 opens after wave 2"


def test_the_canary_goes_alone_and_is_watched() -> None:
    """The canary is watched for its own time before anyone else is touched, and looked at once more."""
    book = Upgrade(strategy(canary=1, canary_soak_s=60, health=CHECKED, max_unavailable=Amount(value=2)))
    book.start().succeeds("worker-1").succeeds("worker-1")
    assert book.steps["worker-1"] is StepState.SOAKING
    assert book.under_way() == {}
    assert book.next_wake() == 60
    book.after(60).wake()
    assert book.under_way() == {"worker-1": "health"}
    book.succeeds("worker-1")
    assert book.steps["worker-1"] is StepState.DONE
    assert set(book.under_way()) == {"worker-2", "worker-3"}


def test_a_canary_that_sickens_while_it_is_watched_stops_the_rollout() -> None:
    """What is not healthy at the end of the soak has failed, and nobody else is touched."""
    book = Upgrade(strategy(canary=1, canary_soak_s=60, health=CHECKED)).start()
    book.succeeds("worker-1").succeeds("worker-1").after(60).wake().fails("worker-1", "no answer")
    assert (book.state, book.steps["worker-1"]) == (RolloutState.PAUSED, StepState.FAILED)
    assert book.why("worker-1") == "it failed while it was watched: no answer"
    assert book.under_way() == {}


def test_roles_go_one_after_the_other() -> None:
    """Etcd before master before worker, each to its end."""
    book = Upgrade(worker=1, master=1, etcd=3).start()
    order = []
    while book.under_way():
        (name,) = book.under_way()
        order.append(name)
        book.succeeds(name)
    assert order == ["etcd-1", "etcd-2", "etcd-3", "master-1", "worker-1"]


def test_a_percentage_rounds_down_and_is_at_least_one() -> None:
    """30 % of seven workers are two at once; of guarded roles it is one whatever is asked for."""
    book = Upgrade(strategy(max_unavailable=Amount(value=30, percent=True)), worker=7).start()
    assert len(book.under_way()) == 2
    book = Upgrade(strategy(max_unavailable=Amount(value=3)), etcd=5).start()
    assert len(book.under_way()) == 1


def test_what_has_the_bundle_already_is_skipped() -> None:
    """An instance whose last report proves the bundle is not touched."""
    book = Upgrade(worker=2)
    name = InstanceId("worker-1")
    book.instances[name] = converged(name, WORKER, NEW)
    book.start()
    assert book.steps["worker-1"] is StepState.SKIPPED
    assert book.under_way() == {"worker-2": "converge"}


def test_desired_is_set_when_the_converge_begins_and_the_roles_at_the_end() -> None:
    """Those who join a role get the new bundle only once the rollout has succeeded."""
    book = Upgrade(worker=2).start()
    assert book.desired == {"worker-1": NEW}
    book.to_the_end()
    assert book.desired == {"worker-1": NEW, "worker-2": NEW, "worker": NEW}


def test_one_that_is_away_already_goes_first() -> None:
    """A failed instance costs no availability, so it is taken before the healthy ones."""
    book = Upgrade(worker=3)
    name = InstanceId("worker-3")
    instance = book.instances[name]
    assert instance.observed is not None
    failed = replace(instance.observed, verdict=type(instance.observed.verdict).FAILED)
    book.instances[name] = replace(instance, observed=failed)
    book.rollout = book._made(QUICK, automatic=False)
    book.start()
    assert book.under_way() == {"worker-3": "converge"}
    book.to_the_end()
    assert book.state is RolloutState.SUCCEEDED


def test_prefetch_of_the_whole_wave_disturbs_nobody() -> None:
    """All of a wave are dry-run at once; only as many as may be away are then drained."""
    book = Upgrade(strategy(prefetch=True, max_unavailable=Amount(value=2)), worker=4).start()
    assert book.under_way() == {"worker-1": "noop", "worker-2": "noop"}
    assert book.slots == {}
    book.succeeds("worker-1")
    assert book.under_way()["worker-1"] == "converge"
    assert set(book.slots) == {"worker-1"}


def test_the_approved_diff_is_held_to() -> None:
    """A dry run that finds something else than was approved fails the step before anything is disturbed."""
    book = Upgrade(worker=2)
    steps = {name: replace(step, approved="f00d") for name, step in book.rollout.steps.items()}
    book.rollout = replace(book.rollout, steps=steps)
    book.start().succeeds("worker-1", diff_hash="f00d")
    converge = book.work("worker-1")
    assert getattr(converge, "diff", None) == "f00d"
    book.succeeds("worker-1").succeeds("worker-2", diff_hash="beef")
    assert book.steps["worker-2"] is StepState.FAILED
    assert "diff differs" in book.why("worker-2")
    assert ("worker-2", "converge") not in book.begun
    assert book.slots == {}


def test_a_difference_after_the_drain_uncordons_and_fails() -> None:
    """Nothing was changed, so the instance is brought back and keeps what it had."""
    book = Upgrade(Strategy(canary=0, prefetch=False), worker=1).start()
    book.succeeds("worker-1").finds_another_diff("worker-1")
    assert book.under_way() == {"worker-1": "uncordon"}
    assert book.desired["worker-1"] == OLD
    book.succeeds("worker-1")
    assert book.steps["worker-1"] is StepState.FAILED
    assert "diff differs" in book.why("worker-1")
    assert book.slots == {}


def test_a_lost_instance_is_not_begun_and_said_so() -> None:
    """A wave waits for an instance that is not there, and says since when it is gone."""
    book = Upgrade(worker=2).goes("worker-1").start()
    assert book.steps["worker-1"] is StepState.PENDING
    assert book.why("worker-1").startswith("worker-1 is lost since 2026-03-02 12:00:00 UTC")
    assert book.command("worker-1") == "tarmak instance show worker-1"
    book.comes("worker-1")
    assert book.under_way() == {"worker-1": "converge"}


def test_whoever_is_away_for_any_reason_counts() -> None:
    """With one worker lost no other is taken, though nobody of the rollout's is away."""
    book = Upgrade(worker=3).goes("worker-3").start()
    assert book.under_way() == {}
    assert book.why("worker-1") == (
        "1 of 3 of role worker are not available (worker-3: lost since 2026-03-02 12:00:00 UTC),"
        " and at most 1 may be; bring them back first"
    )
    book.comes("worker-3")
    assert book.under_way() == {"worker-1": "converge"}


def test_voters_never_lose_their_quorum() -> None:
    """Of three etcd members with one lost, none is taken: two of three have to be left."""
    book = Upgrade(etcd=3).goes("etcd-3", PresenceState.OFFLINE).start()
    assert book.under_way() == {}
    book = Upgrade(etcd=2).start()
    assert book.under_way() == {}
    assert "would lose their quorum" in book.why("etcd-1")


def test_members_are_asked_whether_they_can_spare_one() -> None:
    """With an etcd check the candidate itself counts the healthy members before it is touched."""
    etcd = Role("etcd")
    health = {etcd: HealthChecks(etcd=EtcdCheck())}
    book = Upgrade(strategy(health=health), etcd=3).start()
    assert book.under_way() == {"etcd-1": "health"}
    assert book.slots == {}
    book.fails("etcd-1", "etcd-2 is not healthy")
    assert book.under_way() == {}
    assert book.why("etcd-1") == (
        "without etcd-1 the members of role etcd would lose their quorum: etcd-2 is not healthy"
    )
    assert book.next_wake() == 30
    book.after(30).wake().succeeds("etcd-1")
    assert book.under_way() == {"etcd-1": "converge"}


def test_a_window_holds_disruption_up_until_it_opens() -> None:
    """Outside its window a rollout is pending and says when it opens."""
    from datetime import time  # noqa: PLC0415 - a word that tests of time need elsewhere

    from orchestrator.domain.rollout.strategy import Window  # noqa: PLC0415

    night = Window(begin=time(22), end=time(4))
    book = Upgrade(strategy(window=night)).start()
    assert (book.state, book.under_way()) == (RolloutState.PENDING, {})
    assert book.why() == "the window for disruption is closed and opens at 2026-03-02 22:00 UTC"
    assert book.next_wake() == 10 * 3600
    book.after(10 * 3600).wake()
    assert book.under_way() == {"worker-1": "converge"}
    book.after(6 * 3600).succeeds("worker-1")
    assert book.under_way() == {}
    assert "opens at 2026-03-03 22:00 UTC" in book.why("worker-2")


def test_without_a_broker_or_with_a_doubted_journal_nothing_starts() -> None:
    """Who can't be reached is not disrupted, and a restored journal is looked at by a person first."""
    book = Upgrade()
    book.connected = False
    book.start()
    assert book.under_way() == {}
    assert book.why("worker-1") == "the broker can't be reached"
    book.connected, book.doubted = True, True
    book.comes("worker-2")
    assert book.under_way() == {}
    assert book.command("worker-1") == "tarmak status --acknowledge"
    assert {OLD} == {item.observed.digest for item in book.instances.values() if item.observed}
