"""Two daemons never lead with one journal."""

from pathlib import Path

import pytest

from orchestrator.adapters.lock import JournalInUseError, SideLock


def test_the_second_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    """The side file says who holds the journal; leaving gives it back."""
    file = tmp_path / "leader.lock"
    refused = pytest.raises(JournalInUseError, match=r"held by orchestrator_1, pid \d+")
    with SideLock(file, "orchestrator_1"), refused, SideLock(file, "orchestrator_2"):
        pass
    with SideLock(file, "orchestrator_2"):
        pass
