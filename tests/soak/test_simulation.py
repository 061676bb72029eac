"""Fleets keep every law on days that nobody has seen yet, and no planted bug lives through 2,000 of them."""

import secrets
from collections.abc import Iterator

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.planting import Bug
from tests.simulation.play import play

SEEDS = 3_000
BLOCK = 25
PATIENCE = 2_000


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Deal the days out in blocks, so that each core takes some."""
    if "block" in metafunc.fixturenames:
        count = metafunc.config.getoption("--seeds") or SEEDS
        metafunc.parametrize("block", range(0, count, BLOCK))


@pytest.fixture
def first(pytestconfig: pytest.Config) -> int | None:
    """The seed that the days begin with, where they are to be the same each time."""
    chosen: int | None = pytestconfig.getoption("--first")
    return chosen


def days(first: int | None, begun: int, count: int) -> Iterator[int]:
    """Yield `count` seeds: those after `first` and what was `begun` before, or new ones."""
    for number in range(count):
        yield secrets.randbits(32) if first is None else first + begun + number


def test_every_law_holds_on_new_days(block: int, first: int | None) -> None:
    """Whatever the seed, every law holds; one that fails is told, to be played again."""
    for seed in days(first, block, BLOCK):
        outcome = play(seed)
        assert not outcome.broken, outcome.told()


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_planted_bug_is_caught_on_new_days(
    bug: Bug, first: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within two thousand days that were not chosen for it."""
    bug.plant(monkeypatch)
    assert any(play(seed).broken for seed in days(first, 0, PATIENCE))
