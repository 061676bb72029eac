"""A transaction ends one way or the other: with what was asked for, or soon with an error that says why."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.ids import ClusterName
from orchestrator.adapters.sql.dialect import PATIENT_S, TRANSACTION_S, is_shared, open_engine
from orchestrator.adapters.sql.errors import told

T = TypeVar("T")


class Database:
    """Connections to a journal's database, for one purpose; `patient` for what may take its time."""

    def __init__(self, url: str, cluster: ClusterName, *, patient: bool = False) -> None:
        self.url: Final = url
        self.engine: Final[AsyncEngine] = open_engine(url, cluster, patient=patient)
        # SQLite answers or fails by itself, and what it has begun can't be taken back by not waiting for it.
        self._within_s = (PATIENT_S if patient else TRANSACTION_S) if is_shared(url) else None

    async def run(self, act: Callable[[Connection], T]) -> T:
        """Return what `act` does in a transaction; raises JournalError."""
        with told(self.url):
            async with asyncio.timeout(self._within_s), self.engine.begin() as connection:
                return await connection.run_sync(act)

    async def close(self) -> None:
        """Give the connections back."""
        await self.engine.dispose()
