"""Fleets keep every law on days that nobody has seen yet, and no planted bug lives through 2,000 of them."""

import secrets

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.planting import Bug
from tests.simulation.play import play

SEEDS = 3_000
BLOCK = 25
PATIENCE = 2_000


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Deal the count out in blocks, so that each core takes some."""
    if "count" in metafunc.fixturenames:
        seeds = metafunc.config.getoption("--seeds") or SEEDS
        counts = [min(BLOCK, seeds - begun) for begun in range(0, seeds, BLOCK)]
        metafunc.parametrize("count", counts, ids=[str(number) for number in range(len(counts))])


def test_every_law_holds_on_new_days(count: int) -> None:
    """Whatever the seed, every law holds; one that fails is told, to be played again."""
    for _ in range(count):
        outcome = play(secrets.randbits(32))
        assert not outcome.broken, outcome.told()


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_planted_bug_is_caught_on_new_days(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within two thousand days that were not chosen for it."""
    bug.plant(monkeypatch)
    assert any(play(secrets.randbits(32)).broken for _ in range(PATIENCE))
