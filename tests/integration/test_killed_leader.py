"""The leader of two daemons on one PostgreSQL is killed in a rollout: whoever follows changes nothing in it.

As in `test_killed_daemon`, but at every third step: a takeover takes a while, and all are in tests/soak.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.killing import (
    HERE_AND_THERE,
    killed_at_each,
    needs_puppet,
    playing,
    standby_leads,
)
from tests.postgres import Postgres, postgres
from tests.quick_puppet import QuickPuppet

EVERY = 3


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


async def test_a_standby_goes_on_from_any_step(server: Postgres, tmp_path: Path) -> None:
    """The one that takes over loses no step and does none twice."""
    quick, journal = QuickPuppet.write(tmp_path / "puppet").executable, server.fresh()
    async with playing(tmp_path, journal, puppet=quick, standby=True) as play:
        await killed_at_each(play, standby_leads(server, journal), every=EVERY)


@needs_puppet
async def test_real_puppet_does_not_mind_a_standby(server: Postgres, tmp_path: Path) -> None:
    """With real Puppet, while the two daemons take over from each other again and again."""
    journal = server.fresh()
    async with playing(tmp_path, journal, puppet=None, standby=True) as play:
        account = await play.roll_out(standby_leads(server, journal), at=HERE_AND_THERE)
        account.assert_all_was_well()
