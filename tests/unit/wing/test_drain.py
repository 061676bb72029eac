"""A drain told as a playbook: its cordon, its pods, what holds them, and its end."""

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.messages import (
    CordonChanged,
    DrainBlocked,
    DrainFinished,
    DrainPolicy,
    DrainStarted,
    OnTimeout,
    PodEvicted,
)
from tests.unit.wing.pods import NODE, OURS, THEIRS, Playbook, asked, end, pod, told
from tests.unit.wing.wings import NOW
from wing.cluster import Answer, Busy, Doubtful, Granted, Held, NamespaceEnding, Refused
from wing.drain_events import (
    CordonFailed,
    CordonLifted,
    CordonSet,
    Delete,
    Evict,
    LiftCordon,
    LiftFailed,
    Look,
    Looked,
    LookFailed,
    SetCordon,
    WakeAt,
    Withdrawn,
    Woken,
)
from wing.drain_state import Pace
from wing.events import Done, Stopped, Unable

HELD = Held(reason="needs 2 and has 1", budget="shop/keep", healthy=1, needed=2)


def cordons(effects: object) -> list[tuple[bool, bool, str]]:
    """Return what was told of the cordon: whether there is one, whether it is ours, and why."""
    facts = told(effects)  # type: ignore[arg-type] # effects of a drain
    return [(fact.cordoned, fact.owned, fact.reason) for fact in facts if isinstance(fact, CordonChanged)]


def blocks(effects: object) -> list[tuple[str, str]]:
    """Return which pods were told to be held up, and why."""
    facts = told(effects)  # type: ignore[arg-type] # effects of a drain
    return [(fact.pod, fact.reason) for fact in facts if isinstance(fact, DrainBlocked)]


# The cordon -------------------------------------------------------------------------------------------


def test_a_drain_looks_cordons_and_looks_again() -> None:
    """What goes is decided on a list that was read after the cordon: nothing new can come then."""
    play = Playbook()
    assert Look() in play.effects
    assert SetCordon(node=NODE) in play.tell(Looked(at=NOW, node=NODE, pods=[pod("early")]))
    effects = play.tell(CordonSet(at=NOW))
    assert cordons(effects) == [(True, True, "")]
    assert Look() in effects
    effects = play.looked(pod("late"))
    assert [type(fact) for fact in told(effects)] == [DrainStarted]
    assert asked(effects) == ["late"]


def test_our_own_cordon_is_found_again() -> None:
    """A drain that begins again in the same name goes on."""
    effects = Playbook().looked(pod())
    assert cordons(effects) == [(True, True, "it was cordoned in this name before")]
    assert asked(effects) == ["web"]


def test_a_persons_cordon_is_not_ours() -> None:
    """The node is drained all the same."""
    effects = Playbook().looked(pod(), node=THEIRS)
    assert cordons(effects) == [(True, False, "somebody else had cordoned it")]
    assert asked(effects) == ["web"]


def test_the_cordon_that_an_ended_rollout_left_is_taken_over() -> None:
    """The coordinator names it; the earlier owner can lift nothing any more."""
    play = Playbook(takes_over="r-6")
    left = replace(OURS, owner="r-6")
    assert SetCordon(node=left) in play.looked(pod(), node=left)
    assert cordons(play.tell(CordonSet(at=NOW))) == [(True, True, "taken over from r-6")]


@pytest.mark.parametrize("takes_over", [None, "r-5"])
def test_another_owners_cordon_stays_theirs(takes_over: str | None) -> None:
    """The node is drained under it, and it is not ours to lift."""
    effects = Playbook(takes_over=takes_over).looked(pod(), node=replace(OURS, owner="r-6"))
    assert cordons(effects) == [(True, False, "r-6 had cordoned it")]
    assert asked(effects) == ["web"]


def test_an_annotation_without_a_cordon_is_stale() -> None:
    """A node that is not unschedulable is not cordoned, whatever its annotation says."""
    stale = replace(OURS, cordoned=False)
    assert SetCordon(node=stale) in Playbook().looked(node=stale)


def test_a_node_that_has_changed_is_read_again() -> None:
    """A conflict is no failure: the newest version of the node is cordoned."""
    play = Playbook()
    play.tell(Looked(at=NOW, node=NODE, pods=[]))
    assert Look() in play.tell(CordonFailed(at=NOW, reason="modified", changed=True))
    newer = replace(NODE, version="9")
    assert SetCordon(node=newer) in play.tell(Looked(at=NOW, node=newer, pods=[]))


def test_a_cordon_whose_answer_was_lost_is_found() -> None:
    """Whether it was set shows when the node is read."""
    play = Playbook()
    play.tell(Looked(at=NOW, node=NODE, pods=[]))
    play.tell(CordonFailed(at=NOW, reason="connection reset"))
    assert cordons(play.looked(pod())) == [(True, True, "it was cordoned in this name before")]


def test_somebody_uncordons_in_the_middle() -> None:
    """The node is cordoned again, which is told; who came meanwhile is drained too."""
    play = Playbook()
    play.cordoned(pod())
    loose = replace(OURS, cordoned=False, owner="r-7")
    effects = play.looked(pod(), pod("new"), node=loose)
    assert SetCordon(node=loose) in effects
    assert asked(effects) == ["new"]
    reason = "somebody had uncordoned it during the drain"
    assert cordons(play.tell(CordonSet(at=NOW))) == [(True, True, reason)]


# Who goes ---------------------------------------------------------------------------------------------


def test_one_refusal_refuses_the_whole_and_lifts_the_cordon() -> None:
    """Nothing is evicted; the answer names all who refuse, once the cordon is lifted."""
    play = Playbook()
    effects = play.cordoned(pod("bare", controller=None), pod("local", local=("scratch",)), pod())
    assert (asked(effects), LiftCordon() in effects) == ([], True)
    effects = play.tell(CordonLifted(at=NOW))
    answer = end(effects)
    assert isinstance(answer, Unable)
    assert "shop/bare: no controller" in answer.reason
    assert "shop/local: its emptyDir" in answer.reason
    assert "shop/web" not in answer.reason
    (finished,) = [fact for fact in told(effects) if isinstance(fact, DrainFinished)]
    assert len(finished.left) == 2


def test_a_refused_drain_of_a_persons_cordon_lifts_nothing() -> None:
    """We uncordon only what we cordoned."""
    effects = Playbook().looked(pod(controller=None), node=THEIRS)
    assert LiftCordon() not in effects
    assert isinstance(end(effects), Unable)


def test_a_lower_priority_class_goes_first() -> None:
    """The next class is asked when nothing of the one before is left that may still go."""
    play = Playbook()
    low, high = pod("low"), pod("high", priority=1000)
    assert asked(play.cordoned(low, high)) == ["low"]
    play.answered(low, Granted())
    assert asked(play.looked(replace(low, ends_at=NOW), high)) == []
    assert asked(play.looked(high)) == ["high"]


def test_a_pod_that_can_not_go_holds_up_no_higher_class() -> None:
    """What failed for good is waited for no more."""
    play = Playbook()
    low, high = pod("low"), pod("high", priority=1000)
    play.cordoned(low, high)
    assert asked(play.answered(low, Refused(reason="two budgets"))) == ["high"]


def test_evictions_at_once_are_bounded() -> None:
    """With one answer comes one more question."""
    pods = [pod(f"p{number}") for number in range(5)]
    play = Playbook(pace=Pace(at_once=2))
    assert asked(play.cordoned(*pods)) == ["p0", "p1"]
    assert asked(play.answered(pods[0], Granted())) == ["p2"]


def test_eviction_or_deletion() -> None:
    """Past the budgets only by the operator's word."""
    assert Evict(pod=pod()) in Playbook().cordoned(pod())
    assert Delete(pod=pod()) in Playbook(policy=DrainPolicy(disable_eviction=True)).cordoned(pod())


def test_a_pod_that_ends_already_is_only_waited_for() -> None:
    """Somebody else wants its end too."""
    assert asked(Playbook().cordoned(pod(ends_at=NOW + timedelta(seconds=30)))) == []


# Answers ----------------------------------------------------------------------------------------------


def test_gone_is_who_is_not_in_the_nodes_list() -> None:
    """Granted is a beginning; the pod is gone when its uid is; how long that took is told."""
    play = Playbook()
    play.cordoned(pod())
    assert told(play.answered(pod(), Granted())) == []
    play.pass_(3)
    assert end(play.looked(pod(ends_at=NOW))) is None
    play.pass_(4)
    effects = play.looked()
    evicted, finished = told(effects)
    assert isinstance(evicted, PodEvicted)
    assert isinstance(finished, DrainFinished)
    assert (evicted.pod, evicted.took_ms) == ("shop/web", 7000)
    assert (finished.took_ms, finished.evicted, finished.left) == (7000, 1, ())
    assert end(effects) == Done()
    assert LiftCordon() not in play.effects


def test_a_pod_reborn_under_its_name_is_another_pod() -> None:
    """Another uid, or another node, means that the one that was to go is gone from here."""
    play = Playbook()
    play.cordoned(pod())
    play.answered(pod(), Doubtful(reason="can only evict its own"))
    assert end(play.looked(pod(node="worker-2"))) == Done()
    play = Playbook()
    play.cordoned(pod())
    effects = play.looked(pod(uid="uid-reborn", returns=True))
    assert end(effects) == Done()


@pytest.mark.parametrize(
    "refusal",
    [Doubtful(reason="no"), HELD, Busy(reason="no"), NamespaceEnding(reason="no")],
)
def test_before_a_pod_is_asked_again_the_list_is_read(refusal: Answer) -> None:
    """Time alone asks nobody twice: one look must show that the pod is still there."""
    play = Playbook()
    play.cordoned(pod())
    play.answered(pod(), refusal)
    play.pass_(5)
    effects = play.tell(Woken(at=play.at))
    assert asked(effects) == []
    assert asked(play.looked(pod())) == ["web"]


def test_an_answer_for_one_pod_is_no_look_at_another() -> None:
    """Whoever was refused before is asked again only after the list, also when somebody else is answered."""
    play = Playbook()
    play.cordoned(pod("a"), pod("b"))
    play.answered(pod("a"), HELD)
    play.pass_(6)
    assert asked(play.answered(pod("b"), Granted())) == []
    assert asked(play.looked(pod("a"))) == ["a"]


@pytest.mark.parametrize(("after_s", "waits_s"), [(None, 5), (10, 10)])
def test_a_server_may_name_the_time(after_s: int | None, waits_s: int) -> None:
    """`Retry-After` counts, and otherwise 5 s do."""
    play = Playbook()
    play.cordoned(pod())
    play.answered(pod(), replace(HELD, retry_after_s=after_s))
    play.pass_(waits_s - 1)
    assert asked(play.looked(pod())) == []
    play.pass_(1)
    assert asked(play.looked(pod())) == ["web"]


def test_a_doubt_asks_for_a_look_at_once_and_is_told_only_if_the_pod_is_there() -> None:
    """403 is also what a vanished pod answers."""
    play = Playbook()
    play.cordoned(pod())
    effects = play.answered(pod(), Doubtful(reason="forbidden"))
    assert Look() in effects
    assert blocks(effects) == []
    assert blocks(play.looked(pod())) == [("shop/web", "forbidden")]


def test_a_budget_is_told_at_once_and_again_only_when_it_has_changed() -> None:
    """With name and counts, since the moment when it first held the pod."""
    play = Playbook()
    play.cordoned(pod())
    (fact,) = told(play.answered(pod(), HELD))
    assert isinstance(fact, DrainBlocked)
    assert (fact.budget, fact.healthy, fact.needed, fact.since) == ("shop/keep", 1, 2, NOW)
    play.pass_(5)
    play.looked(pod())
    assert told(play.answered(pod(), HELD)) == []
    play.pass_(5)
    play.looked(pod())
    (fact,) = told(play.answered(pod(), replace(HELD, healthy=0)))
    assert isinstance(fact, DrainBlocked)
    assert (fact.healthy, fact.since) == (0, NOW)


def test_a_namespace_that_ends_takes_a_pod_that_is_going() -> None:
    """If the pod ends already it is waited for, and otherwise asked again."""
    play = Playbook()
    play.cordoned(pod())
    effects = play.answered(pod(), NamespaceEnding(reason="terminating"))
    assert blocks(effects) == [("shop/web", "terminating")]
    play.pass_(5)
    assert asked(play.looked(pod(ends_at=NOW))) == []


def test_a_pod_that_fails_leaves_the_others_their_way() -> None:
    """The drain goes on, and fails in the end with the one named."""
    play = Playbook()
    play.cordoned(pod("a"), pod("b"))
    play.answered(pod("a"), Refused(reason="two budgets"))
    play.answered(pod("b"), Granted())
    assert LiftCordon() in play.looked(pod("a"))
    answer = end(play.tell(CordonLifted(at=NOW)))
    assert answer == Unable(reason="not every pod can go: shop/a: two budgets")


def test_a_granted_pod_that_does_not_end_is_asked_again() -> None:
    """An answer may come from a server that forgot; the list has the last word."""
    play = Playbook()
    play.cordoned(pod())
    play.answered(pod(), Granted())
    play.pass_(6)
    assert asked(play.looked(pod())) == ["web"]


def test_a_pod_past_its_grace_is_told_with_what_holds_it() -> None:
    """Long before the drain's time is over somebody can look after the finalizer."""
    play = Playbook()
    held = pod(ends_at=NOW, finalizers=("example.test/hold",))
    play.cordoned(held)
    play.pass_(14)
    assert blocks(play.looked(held)) == []
    play.pass_(1)
    ((name, reason),) = blocks(play.looked(held))
    assert (name, "example.test/hold" in reason) == ("shop/web", True)


def test_an_answer_for_nobody_is_no_news() -> None:
    """A late answer for a pod that is gone changes nothing."""
    play = Playbook()
    play.cordoned(pod(), pod("other"))
    play.looked(pod("other"))
    assert play.answered(pod(), HELD) == ()


# Who comes later --------------------------------------------------------------------------------------


def test_who_slipped_in_is_drained_too() -> None:
    """The scheduler learns of a cordon a moment late."""
    play = Playbook()
    play.cordoned(pod())
    assert asked(play.looked(pod(), pod("late"))) == ["late"]


def test_whom_no_cordon_keeps_away_is_left() -> None:
    """It would come back for ever."""
    play = Playbook()
    play.cordoned(pod())
    assert asked(play.looked(pod(), pod("back", returns=True))) == []


def test_a_latecomer_that_refuses_fails_the_drain_by_name() -> None:
    """It is too late to refuse the whole."""
    play = Playbook()
    play.cordoned(pod())
    play.looked(pod("bare", controller=None))
    answer = end(play.tell(CordonLifted(at=NOW)))
    assert isinstance(answer, Unable)
    assert "shop/bare: it came during the drain: no controller" in answer.reason


# Outages ----------------------------------------------------------------------------------------------


def test_an_outage_is_told_once_and_waited_for() -> None:
    """The first pod that may still go carries the word; the next look comes after the retry's pause."""
    play = Playbook()
    play.cordoned(pod())
    play.pass_(1)
    effects = play.tell(LookFailed(at=play.at, reason="connection refused"))
    assert blocks(effects) == [("shop/web", "connection refused")]
    assert WakeAt(at=play.at + timedelta(seconds=5)) in effects
    play.pass_(5)
    assert Look() in play.tell(Woken(at=play.at))
    assert blocks(play.tell(LookFailed(at=play.at, reason="connection refused"))) == []
    assert end(play.looked()) == Done()


def test_an_outage_before_anything_is_known_is_told_of_the_node() -> None:
    """Nobody waits for ten minutes without knowing for what."""
    effects = Playbook().tell(LookFailed(at=NOW, reason="connection refused"))
    assert blocks(effects) == [("worker-1", "connection refused")]


@pytest.mark.parametrize("what", ["look", "cordon"])
def test_a_server_that_says_no_is_believed_after_a_while(what: str) -> None:
    """Its authorizer may be the last to know of a node; a credential that lacks a right is no outage."""
    play = Playbook()
    effects = ()
    for _ in range(7):
        if what == "look":
            effects = play.tell(LookFailed(at=play.at, reason="forbidden", forbidden=True))
        else:
            play.tell(Looked(at=play.at, node=NODE, pods=[]))
            effects = play.tell(CordonFailed(at=play.at, reason="forbidden", forbidden=True))
        play.pass_(5)
    answer = end(effects) or end(play.tell(LiftFailed(at=play.at, reason="forbidden")))
    assert isinstance(answer, Unable)
    assert "the API server says no: forbidden" in answer.reason


# The end ----------------------------------------------------------------------------------------------


def timed_out(policy: DrainPolicy) -> tuple[Playbook, object]:
    """Return a drain whose one pod is held by a budget until its time is over, and what it wants then."""
    play = Playbook(policy=replace(policy, timeout_s=60))
    play.cordoned(pod(labels={"app": "web"}))
    play.answered(pod(), HELD)
    play.pass_(60)
    return play, play.tell(Woken(at=play.at))


def test_at_the_end_of_its_time_a_drain_lifts_its_cordon_and_names_who_is_left() -> None:
    """The answer says of each pod why it is still there."""
    play, effects = timed_out(DrainPolicy())
    assert LiftCordon() in effects
    effects = play.tell(CordonLifted(at=play.at))
    assert cordons(effects) == [(False, False, "the drain did not succeed")]
    reason = "not done within 60 s: shop/web: budget shop/keep: needs 2 and has 1"
    assert end(effects) == Unable(reason=reason)


def test_a_cordon_may_be_kept() -> None:
    """`keep`: the answer says that it is still there, and whose it is."""
    _, effects = timed_out(DrainPolicy(on_timeout=OnTimeout.KEEP))
    assert LiftCordon() not in effects
    answer = end(effects)
    assert isinstance(answer, Unable)
    assert "the cordon of r-7 is kept" in answer.reason


def test_a_cordon_that_can_not_be_lifted_is_named() -> None:
    """Whoever reads the answer knows that there is something to do."""
    play, _ = timed_out(DrainPolicy())
    answer = end(play.tell(LiftFailed(at=play.at, reason="connection refused")))
    assert isinstance(answer, Unable)
    assert "the cordon of r-7 could not be lifted (connection refused)" in answer.reason


def delete(*selectors: str) -> DrainPolicy:
    """Return the policy to delete at last what `selectors` name."""
    return DrainPolicy(on_timeout=OnTimeout.DELETE, delete_selectors=selectors)


def test_what_is_named_is_deleted_at_last() -> None:
    """Then there is some more time for it to go."""
    play, effects = timed_out(delete("app=web"))
    assert blocks(effects) == [("shop/web", "its time is over: it is deleted, past its budgets, as agreed")]
    assert Delete(pod=pod(labels={"app": "web"})) in play.looked(pod(labels={"app": "web"}))
    assert end(play.looked()) == Done()


def test_nothing_is_deleted_if_that_would_not_finish_the_drain() -> None:
    """One pod that no selector names, and deleting the others would only do harm."""
    play = Playbook(policy=replace(delete("app=web"), timeout_s=60))
    named, other = pod("named", labels={"app": "web"}), pod("other")
    play.cordoned(named, other)
    play.pass_(60)
    effects = play.tell(Woken(at=play.at))
    assert asked(effects) == []
    assert LiftCordon() in effects


def test_what_was_deleted_and_does_not_go_ends_the_drain_all_the_same() -> None:
    """Deleting is tried once."""
    play, _ = timed_out(delete("app=web"))
    play.looked(pod(labels={"app": "web"}))
    play.pass_(120)
    assert LiftCordon() in play.tell(Woken(at=play.at))


def test_a_withdrawn_drain_leaves_everything_as_it_is() -> None:
    """No more evictions, the cordon as it is, and an account of what is left."""
    play = Playbook()
    play.cordoned(pod())
    effects = play.tell(Withdrawn(at=NOW))
    assert end(effects) == Stopped()
    assert LiftCordon() not in effects
    (finished,) = told(effects)
    assert isinstance(finished, DrainFinished)
    assert finished.left == ("shop/web: its turn had not come",)
    assert play.looked() == ()


def test_a_drain_that_never_reached_its_cluster_has_no_cordon_to_lift() -> None:
    """Its time ends all the same."""
    play = Playbook(policy=DrainPolicy(timeout_s=60))
    play.tell(LookFailed(at=NOW, reason="connection refused"))
    play.pass_(60)
    answer = end(play.tell(Woken(at=play.at)))
    assert answer == Unable(reason="not done within 60 s")


def test_while_the_cordon_is_being_lifted_nothing_else_counts() -> None:
    """A late look or answer starts nothing new."""
    play, _ = timed_out(DrainPolicy())
    assert play.looked(pod()) == ()
    assert play.answered(pod(), Granted()) == ()
