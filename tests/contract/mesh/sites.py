"""The two meshes that the contract is tried on, behind one set of hands."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from broker.client import Connected, Disconnected, MeshEvent, Received, Will
from broker.keeping import Keeping, KeptMesh
from broker.memory import MemoryBroker, MemoryMesh
from broker.mosquitto import PrivateMosquitto
from broker.mqtt import MqttMesh
from tests.certificates import Certificates
from tests.contract.mesh.wire import Wire

DEADLINE_S = 60.0
WILL_DELAY_S = 1
QUICK = Keeping(pause_s=0.05, longest_pause_s=0.2, leave_s=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def virtual_clock() -> datetime:
    """Return a time that goes with the running event loop's."""
    return START + timedelta(seconds=asyncio.get_running_loop().time())


class Reader:
    """Reads a client's events one by one; a hang becomes a failure that says what was waited for."""

    def __init__(self, mesh: KeptMesh) -> None:
        self._events = mesh.events()

    async def event(self) -> MeshEvent:
        """Return the next event."""
        async with asyncio.timeout(DEADLINE_S):
            return await anext(self._events)

    async def connected(self) -> Connected:
        """Return the next connection, whatever comes before."""
        while not isinstance(event := await self.event(), Connected):
            pass
        return event

    async def disconnected(self) -> Disconnected:
        """Return the next loss of a connection, whatever comes before."""
        while not isinstance(event := await self.event(), Disconnected):
            pass
        return event

    async def message(self) -> Received:
        """Return the next message, whatever comes before."""
        while not isinstance(event := await self.event(), Received):
            pass
        return event

    async def payloads(self, count: int) -> list[bytes]:
        """Return the payloads of the next `count` messages."""
        return [(await self.message()).payload for _ in range(count)]


class Site(Protocol):
    """A broker, and what a test does to it and to its clients."""

    def mesh(
        self, name: str, *, will: Will | None = None, keeping: Keeping = QUICK
    ) -> contextlib.AbstractAsyncContextManager[KeptMesh]:
        """Return a client that connects when it is entered."""

    async def stop(self) -> None:
        """Kill the broker."""

    async def start(self, *, forget: bool = False) -> None:
        """Start it again."""

    def cut(self, name: str, *, for_good: bool = False) -> None:
        """Lose the connection of `name` without a goodbye; it is back soon, or not until `mend`."""

    def mend(self, name: str) -> None:
        """Let `name` reach the broker again."""

    def vanish(self, name: str) -> None:
        """Kill the process of `name`, as it were: no goodbye, no return."""


class MemorySite:
    """The broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(will_delay_s=WILL_DELAY_S)
        self._meshes: dict[str, MemoryMesh] = {}

    @contextlib.asynccontextmanager
    async def mesh(
        self, name: str, *, will: Will | None = None, keeping: Keeping = QUICK
    ) -> AsyncIterator[KeptMesh]:
        client = MemoryMesh(self.broker, client_id=name, will=will, keeping=keeping, clock=virtual_clock)
        self._meshes[name] = client
        async with client as mesh:
            yield mesh

    async def stop(self) -> None:
        self.broker.stop()

    async def start(self, *, forget: bool = False) -> None:
        self.broker.start(forget=forget)

    def cut(self, name: str, *, for_good: bool = False) -> None:
        self.broker.cut(name, for_good=for_good)

    def mend(self, name: str) -> None:
        self.broker.mend(name)

    def vanish(self, name: str) -> None:
        self._meshes[name].vanish()


class MosquittoSite:
    """A real Mosquitto, with a wire to each client."""

    def __init__(self, broker: PrivateMosquitto, certificates: Certificates) -> None:
        self.broker = broker
        self.certificates = certificates
        self._wires: dict[str, Wire] = {}
        self._meshes: dict[str, MqttMesh] = {}

    @contextlib.asynccontextmanager
    async def mesh(
        self, name: str, *, will: Will | None = None, keeping: Keeping = QUICK
    ) -> AsyncIterator[KeptMesh]:
        async with Wire(host=self.broker.host, port=self.broker.port) as wire:
            settings = self.certificates.settings(name, port=wire.port)
            settings = replace(settings, keeping=keeping, will_delay_s=WILL_DELAY_S)
            client = MqttMesh(settings, client_id=name, will=will)
            self._wires[name], self._meshes[name] = wire, client
            async with client as mesh:
                yield mesh

    async def stop(self) -> None:
        await self.broker.kill()

    async def start(self, *, forget: bool = False) -> None:
        await self.broker.restart(forget=forget)

    def cut(self, name: str, *, for_good: bool = False) -> None:
        self._wires[name].cut(for_good=for_good)

    def mend(self, name: str) -> None:
        self._wires[name].mend()

    def vanish(self, name: str) -> None:
        self._wires[name].cut(for_good=True)
        self._meshes[name].abandon()
