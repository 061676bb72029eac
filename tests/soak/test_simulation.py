"""Fleets keep every law on days that nobody has seen yet; `--seeds COUNT` asks for more of them."""

import secrets

import pytest

from tests.simulation.play import play

A_MINUTES_WORTH = 240
BLOCK = 20


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Deal the count out in blocks, so that each core takes some."""
    if "count" in metafunc.fixturenames:
        seeds = metafunc.config.getoption("--seeds") or A_MINUTES_WORTH
        counts = [min(BLOCK, seeds - begun) for begun in range(0, seeds, BLOCK)]
        metafunc.parametrize("count", counts, ids=[str(number) for number in range(len(counts))])


def test_every_law_holds_on_new_days(count: int) -> None:
    """Whatever the seed, every law holds; one that fails is told, to be played again."""
    for _ in range(count):
        outcome = play(secrets.randbits(32))
        assert not outcome.broken, outcome.told()
