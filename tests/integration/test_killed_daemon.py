"""A daemon that is killed at any persisted step of a rollout changes nothing in what comes of it.

An undisturbed rollout says what is persisted, as its tail tells. Then there is one more rollout for each of
these steps, and the daemon is killed as soon as the tail has told of the step.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.killing import killed_and_started, killed_at_each, playing, standby_leads
from tests.postgres import Postgres, postgres
from tests.quick_puppet import QuickPuppet

EVERY = 3
"""With two daemons every third step: the whole takes minutes more, and is in tests/soak."""

HERE_AND_THERE = (2, 12, 21, 30, 39)
"""Moves of one rollout, each on another instance's way and to another state."""

needs_puppet = pytest.mark.skipif(shutil.which("puppet") is None, reason="no puppet on this machine")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    return QuickPuppet.write(tmp_path / "puppet").executable


def sqlite(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'journal.sqlite'}"


async def test_a_daemon_killed_at_any_step_is_as_if_it_never_was(tmp_path: Path, quick: Path) -> None:
    """Started again, it goes on where it was: the same end, steps, runs and orders, each done once."""
    async with playing(tmp_path, sqlite(tmp_path), puppet=quick) as play:
        await killed_at_each(play, killed_and_started)


async def test_a_standby_goes_on_from_any_step(server: Postgres, tmp_path: Path, quick: Path) -> None:
    """The same with two daemons on PostgreSQL: the one that takes over loses no step and does none twice."""
    journal = server.fresh()
    async with playing(tmp_path, journal, puppet=quick, standby=True) as play:
        await killed_at_each(play, standby_leads(server, journal), every=EVERY)


@needs_puppet
async def test_real_puppet_does_not_mind(tmp_path: Path) -> None:
    """With real Puppet, killed on each instance's way at another step: no run is lost, none is done twice."""
    async with playing(tmp_path, sqlite(tmp_path), puppet=None) as play:
        account = await play.roll_out(killed_and_started, at=HERE_AND_THERE)
        account.assert_all_was_well()


@needs_puppet
async def test_real_puppet_does_not_mind_a_standby(server: Postgres, tmp_path: Path) -> None:
    """The same with two daemons that take over from each other again and again."""
    journal = server.fresh()
    async with playing(tmp_path, journal, puppet=None, standby=True) as play:
        account = await play.roll_out(standby_leads(server, journal), at=HERE_AND_THERE)
        account.assert_all_was_well()
