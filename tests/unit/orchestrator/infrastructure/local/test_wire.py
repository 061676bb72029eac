"""What is wrong with a network is one value, from which all rules are written."""

from pathlib import Path

import pytest

from orchestrator.infrastructure.local import wire
from orchestrator.infrastructure.local.errors import LocalError
from orchestrator.infrastructure.local.places import ClusterPlaces
from orchestrator.infrastructure.local.wire import Faults


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterPlaces:
    """Three hosts on paper, and an nft that is told and does nothing."""
    places = ClusterPlaces(tmp_path)
    for name in ("a", "b", "c"):
        places.host(name).directory.mkdir(parents=True)
    monkeypatch.setattr(wire, "demand", lambda _: None)
    monkeypatch.setattr(wire, "run", lambda *_, **__: "")
    return places


def rules(cluster: ClusterPlaces) -> list[str]:
    text = wire.rules(cluster, wire.read(cluster))
    for name in ("a", "b", "c"):
        text = text.replace(f'"{cluster.host(name).port}"', name)
    return [line for line in text.splitlines() if "drop" in line]


def test_one_from_all(cluster: ClusterPlaces) -> None:
    """Who is cut off from all is cut off from each, in both directions."""
    wire.partition(cluster, ("a",))
    assert rules(cluster) == [
        "iifname a oifname b drop",
        "iifname b oifname a drop",
        "iifname a oifname c drop",
        "iifname c oifname a drop",
    ]


def test_partitions_add_up_until_they_are_healed(cluster: ClusterPlaces) -> None:
    """A second partition leaves the first; `heal` ends all and leaves no rule."""
    wire.partition(cluster, ("a",), ("b",))
    wire.partition(cluster, ("c",), ("b",))
    assert len(rules(cluster)) == 4
    wire.heal(cluster)
    assert wire.rules(cluster, wire.read(cluster)).splitlines()[-1].startswith("delete table")


def test_what_is_wrong_with_a_host_goes_with_it(cluster: ClusterPlaces) -> None:
    """A host that is gone leaves no fault behind for one that comes with its name."""
    wire.partition(cluster, ("a",), ("b", "c"))
    wire.lose(cluster, "a", 5)
    wire.delay(cluster, "a", 10)
    wire.forget(cluster.host("a"))
    assert wire.read(cluster) == Faults()


def test_loss_of_all(cluster: ClusterPlaces) -> None:
    """A share below all is left to chance, all is not, and none is no rule."""
    wire.lose(cluster, "a", 2.5)
    assert rules(cluster)[0] == "iifname a numgen random mod 10000 < 250 drop"
    wire.lose(cluster, "a", 100)
    assert rules(cluster) == ["iifname a drop", "oifname a drop"]
    wire.lose(cluster, "a", 0)
    assert rules(cluster) == []


def test_what_is_kept_of_it(cluster: ClusterPlaces) -> None:
    """The next program finds what this one has done."""
    wire.partition(cluster, ("a",), ("b",))
    wire.lose(cluster, "c", 1)
    wire.delay(cluster, "c", 20)
    expected = Faults(cuts=frozenset({frozenset({"a", "b"})}), loss={"c": 1}, delay={"c": 20})
    assert wire.read(cluster) == expected


@pytest.mark.parametrize(("group", "others"), [(("a", "b", "c"), ()), (("a",), ("a", "b"))])
def test_who_can_not_be_parted(
    cluster: ClusterPlaces, group: tuple[str, ...], others: tuple[str, ...]
) -> None:
    """All from nobody, and one from itself, are refused, and nothing changes."""
    with pytest.raises(LocalError, match="two groups are needed"):
        wire.partition(cluster, group, others)
    assert wire.read(cluster) == Faults()


def test_an_unknown_host_is_named(cluster: ClusterPlaces) -> None:
    """A name that nobody has is refused, with those that there are."""
    with pytest.raises(LocalError, match=r"no host d: .*a, b, c"):
        wire.partition(cluster, ("a",), ("d",))


def test_figures_out_of_range(cluster: ClusterPlaces) -> None:
    """More than all can't be lost, and a delay is no longer than a minute."""
    with pytest.raises(LocalError, match="0 to 100"):
        wire.lose(cluster, "a", 101)
    with pytest.raises(LocalError, match="0 to 60000"):
        wire.delay(cluster, "a", -1)
