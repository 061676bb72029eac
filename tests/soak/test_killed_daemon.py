"""With two daemons on PostgreSQL the leader is killed at every persisted step, not only at every third."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.killing import killed_at_each, playing, standby_leads
from tests.postgres import Postgres, postgres
from tests.quick_puppet import QuickPuppet


@pytest.fixture
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


async def test_a_standby_goes_on_from_every_step(server: Postgres, tmp_path: Path) -> None:
    """The one that takes over loses no step and does none twice."""
    puppet = QuickPuppet.write(tmp_path / "puppet").executable
    journal = server.fresh()
    async with playing(tmp_path, journal, puppet=puppet, standby=True) as play:
        await killed_at_each(play, standby_leads(server, journal))
