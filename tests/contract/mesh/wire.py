"""A wire between one client and its broker that a test can cut, as a power failure would."""

import asyncio
from types import TracebackType
from typing import Self


class Wire:
    """Passes bytes on from a port of its own to the broker's, until it is cut."""

    def __init__(self, *, host: str, port: int) -> None:
        self._host = host
        self._broker = port
        self._transports: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None
        self._is_whole = True
        self.port = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self), self._host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut(for_good=True)

    def cut(self, *, for_good: bool = False) -> None:
        """Break every connection without a goodbye; with `for_good` also each one until `mend`."""
        self._is_whole = not for_good
        for transport in tuple(self._transports):
            transport.abort()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_whole = True

    def join(self, transport: asyncio.Transport) -> None:
        """Take one end of a connection, or refuse it."""
        self._transports.add(transport)
        if not self._is_whole:
            transport.abort()

    def part(self, transport: asyncio.Transport) -> None:
        """Forget one end of a connection."""
        self._transports.discard(transport)

    async def reach(self, end: "_End") -> None:
        """Connect a client's end to the broker, which may be down."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _End(self, end), self._host, self._broker)
        except OSError:
            end.transport.abort()


class _End(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, wire: Wire, other: "_End | None" = None) -> None:
        self._wire = wire
        self._other = other
        self._early: list[bytes] = []
        self._reaching: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._wire.join(transport)
        if self._other is None:
            loop = asyncio.get_running_loop()
            self._reaching = loop.create_task(self._wire.reach(self))
        else:
            self._other.meet(self)

    def meet(self, other: "_End") -> None:
        self._other = other
        for chunk in self._early:
            other.transport.write(chunk)

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._early.append(data)
        else:
            self._other.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._wire.part(self.transport)
        if self._other is not None:
            self._other.transport.close()
