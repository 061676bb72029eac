"""Whether an instance is well: how often that must be seen, what is told, and what each look means."""

from datetime import timedelta

import pytest

from broker.messages import Health, HealthChecks, NodeCheck
from tests.unit.wing.wings import NOW, new_id, order_id
from wing.cluster import Signs
from wing.events import Done, Unable
from wing.health import (
    AllLooked,
    HealthWatch,
    LookAt,
    Settle,
    Sighting,
    TellChecked,
    WatchBegun,
    WatchEffect,
)
from wing.judgements import EtcdSeen, Member, VaultSeen, judged_etcd, judged_node, judged_vault

WELL = Sighting(check="node", passed=True, saw="Ready")
ILL = Sighting(check="node", passed=False, saw="not Ready: KubeletNotReady")


class Watching:
    """A watch that is told one look after the other."""

    def __init__(self, *, passes: int = 3) -> None:
        checks = HealthChecks(node=NodeCheck())
        order = Health(order=order_id(1), checks=checks, passes=passes, interval_s=2, timeout_s=10)
        self.at = NOW
        self.watch, self.effects = HealthWatch(command=new_id(), order=order).handle(WatchBegun(at=NOW))

    def saw(self, *sightings: Sighting) -> tuple[WatchEffect, ...]:
        """Tell of a look, two seconds after the one before."""
        self.at += timedelta(seconds=2)
        self.watch, effects = self.watch.handle(AllLooked(at=self.at, sightings=sightings))
        return effects


def told(effects: tuple[WatchEffect, ...]) -> list[tuple[str, bool, int]]:
    """Return what was told: what was seen, whether it is well, and how often in a row all was."""
    facts = [effect.fact for effect in effects if isinstance(effect, TellChecked)]
    return [(fact.saw, fact.passed, fact.passes) for fact in facts]


def test_nothing_to_look_at_is_well() -> None:
    """Without a check the answer comes at once."""
    order = Health(order=order_id(1), checks=HealthChecks())
    _, effects = HealthWatch(command=new_id(), order=order).handle(WatchBegun(at=NOW))
    assert effects == (Settle(end=Done()),)


def test_all_must_be_well_so_often_in_a_row() -> None:
    """The first look comes at once, the next ones by the interval; one bad look begins the count anew."""
    watching = Watching(passes=2)
    assert watching.effects == (LookAt(at=NOW),)
    assert LookAt(at=NOW + timedelta(seconds=4)) in watching.saw(WELL)
    watching.saw(ILL)
    watching.saw(WELL)
    assert Settle(end=Done()) in watching.saw(WELL)


def test_only_news_is_told_and_the_last_look() -> None:
    """What stays as it was is told again at the end only, with how often in a row all was well."""
    watching = Watching(passes=3)
    assert told(watching.saw(ILL)) == [("not Ready: KubeletNotReady", False, 0)]
    assert told(watching.saw(ILL)) == []
    assert told(watching.saw(WELL)) == [("Ready", True, 1)]
    assert told(watching.saw(WELL)) == []
    assert told(watching.saw(WELL)) == [("Ready", True, 3)]


def test_what_is_not_well_in_time_is_named() -> None:
    """The reason has the checks that failed last, and what they saw."""
    watching = Watching()
    for _ in range(4):
        watching.saw(ILL)
    other = Sighting(check="etcd", passed=True, saw="healthy")
    assert watching.saw(ILL, other)[-1] == Settle(
        end=Unable(reason="not well within 10 s: node: not Ready: KubeletNotReady")
    )


def test_well_too_late_is_not_well() -> None:
    """The reason says how often in a row all was well."""
    watching = Watching()
    for sighting in (ILL, ILL, ILL, WELL):
        watching.saw(sighting)
    (end,) = [effect.end for effect in watching.saw(WELL) if isinstance(effect, Settle)]
    assert end == Unable(reason="not well within 10 s: all was well 2 times in a row, not 3")


# The node ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signs", "since", "saw"),
    [
        (Signs(ready=True), None, "Ready"),
        (Signs(ready=True, renewed_at=NOW + timedelta(seconds=1)), NOW, "Ready"),
        (Signs(ready=False, reason="KubeletNotReady: no CNI"), None, "not Ready: KubeletNotReady: no CNI"),
        (
            Signs(ready=True, renewed_at=NOW),
            NOW,
            "its Lease was renewed last at 00:00:00 UTC, not since 00:00:00 UTC",
        ),
        (Signs(ready=True), NOW, "its Lease was renewed never, not since 00:00:00 UTC"),
    ],
)
def test_a_node(signs: Signs, since: object, saw: str) -> None:
    """Ready counts only with a Lease that was renewed since the instance was changed."""
    sighting = judged_node(signs, since)  # type: ignore[arg-type] # a time or None
    assert (sighting.saw, sighting.passed) == (saw, saw == "Ready")


# etcd -------------------------------------------------------------------------------------------------


def members(*healthy: bool, learner: bool = False) -> tuple[Member, ...]:
    """Return ourselves and others, who are healthy or not; the last may be a learner."""
    others = [
        Member(id=str(place), name=f"etcd-{place}", learner=False, healthy=each)
        for place, each in enumerate(healthy, 1)
    ]
    newest = [Member(id="9", name="etcd-9", learner=True, healthy=True)] if learner else []
    return (Member(id="0", name="etcd-0", learner=False), *others, *newest)


def etcd(*, own: str = "0", ill: str = "", alarms: tuple[str, ...] = (), of: tuple[Member, ...]) -> EtcdSeen:
    """Return what an etcd member said."""
    return EtcdSeen(own=own, healthy=not ill, reason=ill, members=of, alarms=alarms)


@pytest.mark.parametrize(
    ("found", "leaving", "wrong"),
    [
        (etcd(of=members(True, True)), False, None),
        (etcd(of=members(False, False)), False, None),
        (etcd(of=members(True, True), ill="RAFT NO LEADER"), False, "not healthy: RAFT NO LEADER"),
        (etcd(of=members(True, True), own="7"), False, "not in the list of members"),
        (
            etcd(of=members(True), alarms=("NOSPACE of member etcd-1",)),
            False,
            "alarm NOSPACE of member etcd-1",
        ),
        (etcd(of=members(True, True)), True, None),
        (etcd(of=members(True, True, True, False)), True, None),
        (
            etcd(of=members(True, False)),
            True,
            "without it 1 members would be healthy, 2 are needed (not healthy: etcd-2)",
        ),
        (etcd(of=members()), True, "without it 0 members would be healthy, 1 are needed"),
        (etcd(of=members(True, True, learner=True)), True, "etcd-9 is a learner"),
    ],
)
def test_an_etcd_member(found: EtcdSeen, *, leaving: bool, wrong: str | None) -> None:
    """Healthy, in the list, no alarm; one that is about to leave must leave a quorum behind."""
    sighting = judged_etcd(found, leaving=leaving)
    assert sighting.passed is (wrong is None)
    assert wrong is None or sighting.saw == wrong


# Vault ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "saw"),
    [
        (VaultSeen(initialised=True, sealed=False, led=True), "unsealed, with a leader"),
        (VaultSeen(initialised=False, sealed=True, led=False), "not initialised"),
        (
            VaultSeen(initialised=True, sealed=True, led=False),
            "sealed: it waits for a person to unseal it",
        ),
        (VaultSeen(initialised=True, sealed=False, led=False), "no leader is known"),
    ],
)
def test_vault(found: VaultSeen, saw: str) -> None:
    """Initialised, unsealed, led; what is wrong is said in the order in which it has to be mended."""
    sighting = judged_vault(found)
    assert (sighting.saw, sighting.passed) == (saw, saw.startswith("unsealed"))
