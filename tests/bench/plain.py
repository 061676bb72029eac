"""Bare MQTT as the reference: the same broker, TLS and library, but nothing of ours on top.

Echo clients answer what they hear with the same bytes. What a mesh adds to their round trip is what
codec, signatures, journals and the API cost.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiomqtt

from broker.mosquitto import MosquittoFiles, PrivateMosquitto
from orchestrator.adapters.local_ca import CertificateFiles, LocalCa

ACL = "pattern readwrite plain/#\n"
BYTES = 600
END = b"end"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainMesh:
    """A broker of its own and the certificates to reach it."""

    ca: LocalCa
    folder: Path
    port: int

    def client(self, name: str) -> aiomqtt.Client:
        """Return a client that is not connected yet."""
        files: CertificateFiles = self.ca.issue_client(name).write(self.folder)
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.load_cert_chain(files.certificate, files.key)
        return aiomqtt.Client(
            "127.0.0.1",
            self.port,
            identifier=name,
            tls_context=context,
            protocol=aiomqtt.ProtocolVersion.V5,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],  # as ours: no 40 ms for an ACK
        )


@asynccontextmanager
async def plain_mesh(folder: Path) -> AsyncIterator[PlainMesh]:
    """Start a broker in `folder`; it ends with the block."""
    ca = LocalCa.create(folder)
    server = ca.issue_server("plain-broker", hosts=["127.0.0.1"]).write(folder)
    files = MosquittoFiles(ca=folder / "ca.pem", certificate=server.certificate, key=server.key, acl=ACL)
    async with PrivateMosquitto(folder / "broker", files=files) as broker:
        yield PlainMesh(ca=ca, folder=folder, port=broker.port)


async def round_trips(folder: Path, *, clients: int, runs: int) -> Sequence[float]:
    """Return for each run the seconds until the last of `clients` has echoed one message to all."""
    async with plain_mesh(folder) as mesh, AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        asker = await stack.enter_async_context(mesh.client("asker"))
        await asker.subscribe("plain/answer/#", qos=1)
        for number in range(clients):
            client = await stack.enter_async_context(mesh.client(f"echo-{number}"))
            await client.subscribe("plain/ask", qos=1)
            tasks.create_task(_echo(client, number), name=f"bench.echo-{number}")
        taken = [await _asked(asker, clients) for _ in range(runs + 1)]
        await asker.publish("plain/ask", END, qos=1)
        return taken[1:]


async def _asked(asker: aiomqtt.Client, clients: int) -> float:
    start = time.perf_counter()
    await asker.publish("plain/ask", bytes(BYTES), qos=1)
    answers = 0
    async for _ in asker.messages:
        answers += 1
        if answers == clients:
            break
    return time.perf_counter() - start


async def _echo(client: aiomqtt.Client, number: int) -> None:
    async for message in client.messages:
        if message.payload == END:
            return  # told so, since a cancellation can be lost within aiomqtt
        await client.publish(f"plain/answer/{number}", message.payload, qos=1)
