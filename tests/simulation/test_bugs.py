"""The simulation sees what it is there for: each planted bug breaks a law."""

import pytest

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.play import play

PATIENCE = 2_000


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_planted_bug_is_caught(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the day that is known for it; where days have changed since, on one of the first two thousand."""
    bug.plant(monkeypatch)
    assert any(play(seed).broken for seed in (bug.seed, *range(PATIENCE)))
