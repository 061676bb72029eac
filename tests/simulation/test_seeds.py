"""A fleet keeps every law, whatever the seed does to it; see docs/reference/simulation.md."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from tests.simulation.play import play
from tests.simulation.script import Action, script

SEEDS = 200
BLOCK = 10
TWICE = 1, 17
ROOT = Path(__file__).parents[2]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Deal the seeds out in blocks, or play the one that was asked for."""
    if "seeds" not in metafunc.fixturenames:
        return
    seed = metafunc.config.getoption("--seed")
    count = metafunc.config.getoption("--seeds") or SEEDS
    blocks = [range(first, min(first + BLOCK, count)) for first in range(0, count, BLOCK)]
    chosen = blocks if seed is None else [range(seed, seed + 1)]
    metafunc.parametrize("seeds", chosen, ids=[f"{block.start}-{block.stop - 1}" for block in chosen])


def test_every_law_holds(seeds: range, pytestconfig: pytest.Config) -> None:
    """After lost, late and doubled messages, kills, wipes and clones, all ends answered, once and truly."""
    for seed in seeds:
        outcome = play(seed)
        if pytestconfig.getoption("--seed") is not None:
            print("\n".join(outcome.trace))  # noqa: T201 - a replay is there to be read
        assert not outcome.broken, outcome.told()


def test_a_seed_always_brings_the_same_day() -> None:
    """Whatever the process's hash seed, a seed replays line by line."""
    again = "from tests.simulation.play import play; print(*(play(seed).fingerprint for seed in (1, 17)))"
    told = [
        subprocess.run(
            [sys.executable, "-c", again],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": salt},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for salt in ("1", "2")
    ]
    assert told[0] == told[1] == [play(seed).fingerprint for seed in TWICE]


def test_scripts_differ() -> None:
    """Seeds bring days that have little in common."""
    days = [script(seed) for seed in range(50)]
    assert len({repr(day.actions) for day in days}) == len(days)
    assert {type(action) for day in days for _, action in day.actions} == set(get_args(Action))
