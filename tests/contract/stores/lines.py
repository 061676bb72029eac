"""A line to a server that breaks when it is told to, whatever is spoken over it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Line:
    """Forwards TCP connections to `port`; `breaks` says after how many bytes from the server each ends.

    The first connection takes the first number, and so on; those after the last are whole. `carried`
    counts the bytes that came from the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.breaks: list[int] = []
        self.carried = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        """Listen on a free port of this machine, and yield it; afterwards every connection is cut."""
        async with asyncio.TaskGroup() as tasks:
            under_way: list[asyncio.Task[None]] = []

            def connected(near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
                under_way.append(tasks.create_task(self._forward(near, to_near), name="line"))

            async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
                yield server.sockets[0].getsockname()[1]
                server.close()
                for connection in under_way:
                    connection.cancel()

    async def _forward(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        left = self.breaks.pop(0) if self.breaks else None
        far, to_far = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as tasks:
                upward = tasks.create_task(self._upward(near, to_far), name="line.upward")
                await self._downward(far, to_near, left)
                upward.cancel()
        finally:
            to_far.transport.abort()
            to_near.transport.abort()

    async def _upward(self, near: asyncio.StreamReader, to_far: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await near.read(65536):
                to_far.write(chunk)
                await to_far.drain()

    async def _downward(
        self, far: asyncio.StreamReader, to_near: asyncio.StreamWriter, left: int | None
    ) -> None:
        to_near.transport.set_write_buffer_limits(0)  # what counts as carried is not lost with the line
        with contextlib.suppress(ConnectionError):
            while left is None or left > 0:
                chunk = await far.read(65536 if left is None else min(left, 65536))
                if not chunk:
                    return
                left = None if left is None else left - len(chunk)
                self.carried += len(chunk)
                to_near.write(chunk)
                await to_near.drain()
