"""A daemon that is killed at any persisted step of a rollout changes nothing in what comes of it.

An undisturbed rollout says what is persisted, as its tail tells. Then there is one more rollout for each of
these steps, and the daemon is killed as soon as the tail has told of the step.
"""

from pathlib import Path

from tests.integration.killing import (
    HERE_AND_THERE,
    killed_and_started,
    killed_at_each,
    needs_puppet,
    playing,
)
from tests.quick_puppet import QuickPuppet


def sqlite(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'journal.sqlite'}"


async def test_a_daemon_killed_at_any_step_is_as_if_it_never_was(tmp_path: Path) -> None:
    """Started again, it goes on where it was: the same end, steps, runs and orders, each done once."""
    quick = QuickPuppet.write(tmp_path / "puppet").executable
    async with playing(tmp_path, sqlite(tmp_path), puppet=quick) as play:
        await killed_at_each(play, killed_and_started)


@needs_puppet
async def test_real_puppet_does_not_mind(tmp_path: Path) -> None:
    """With real Puppet, killed on each instance's way at another step: no run is lost, none is done twice."""
    async with playing(tmp_path, sqlite(tmp_path), puppet=None) as play:
        account = await play.roll_out(killed_and_started, at=HERE_AND_THERE)
        account.assert_all_was_well()
