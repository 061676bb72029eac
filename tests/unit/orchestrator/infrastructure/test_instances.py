"""Which instances a description means, and which addresses they have."""

from hypothesis import given
from hypothesis import strategies as some

from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.instances import instances


def cluster(*pools: tuple[str, int], cidr: str = "198.18.4.0/24") -> Cluster:
    table = [
        {"name": "bastion"},
        *({"name": name, "role": "worker", "count": count} for name, count in pools),
    ]
    network = {"cidr": cidr}
    return Cluster.model_validate(
        {"name": "shop", "provider": {"kind": "local"}, "network": network, "pools": table}
    )


def addresses(described: Cluster, kept: dict[str, str] | None = None) -> dict[str, str]:
    return {one.name: one.address for one in instances(described, kept or {})}


def test_addresses_follow_from_the_file() -> None:
    """The first instance has the tenth of the network, the next ones follow in the file's order."""
    assert addresses(cluster(("a", 2), ("b", 1))) == {
        "bastion-1": "198.18.4.10",
        "a-1": "198.18.4.11",
        "a-2": "198.18.4.12",
        "b-1": "198.18.4.13",
    }


def test_another_network_is_another_set_of_addresses() -> None:
    """What was given in the old one is not kept."""
    before = addresses(cluster(("a", 1)))
    assert addresses(cluster(("a", 1), cidr="198.19.0.0/20"), before)["a-1"] == "198.19.0.11"


def test_an_address_that_is_free_again_is_given_again() -> None:
    """The lowest one, to whoever comes next."""
    kept = {"bastion-1": "198.18.4.10", "a-1": "198.18.4.12", "gone-1": "198.18.4.11"}
    assert addresses(cluster(("a", 2)), kept) == {
        "bastion-1": "198.18.4.10",
        "a-1": "198.18.4.12",
        "a-2": "198.18.4.11",
    }


COUNTS = some.lists(some.integers(0, 9), min_size=3, max_size=3)


@given(before=COUNTS, after=COUNTS)
def test_nobody_moves_and_nobody_shares(before: list[int], after: list[int]) -> None:
    """Whatever pools grow and shrink, who stays keeps the address, and no two have the same."""
    first = addresses(cluster(*zip("abc", before, strict=True)))
    second = addresses(cluster(*zip("cab", after, strict=True)), first)
    assert all(second[name] == address for name, address in first.items() if name in second)
    assert len(set(second.values())) == len(second)
