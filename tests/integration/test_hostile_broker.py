"""Whoever takes over the broker can silence the mesh, but not command it: a real wing on a hostile broker.

The broker is a real Mosquitto whose ACL lets everyone do everything; the test holds the orchestrator's
key, so it can make genuine commands, and then does with them what a thief of the broker could.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest_asyncio

from broker.client import Connected, Publication, Received, Signature
from broker.codec import decode, encode
from broker.ids import Boot, ClusterName, Digest, Epoch, InstanceId, Role, RunId
from broker.messages import (
    Birth,
    Command,
    CommandBody,
    Converge,
    Fact,
    Live,
    Ping,
    Presence,
    Rejected,
    RejectReason,
    Started,
    Succeeded,
    Target,
)
from broker.mosquitto import MosquittoFiles, PrivateMosquitto
from broker.mqtt import MqttMesh, MqttSettings
from broker.signing import SigningKey
from broker.topics import Topics
from broker.uuid7 import id_source
from orchestrator.adapters.local_ca import CertificateFiles, LocalCa
from puppet_bridge.bundle import build
from tests.dev_mesh import write_bundle

CLUSTER = ClusterName("den")
WORKER = Role("worker")
WING = InstanceId("worker-1")
OTHER = InstanceId("worker-2")
ANYTHING = "pattern readwrite #\n"
DEADLINE_S = 120


def now() -> datetime:
    return datetime.now(UTC)


new_id = id_source(now, os.urandom)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    digest: Digest
    size: int
    url: str


class Den:
    """A hostile broker with one wing on it, and the one who holds both the broker and a thief's patience."""

    def __init__(self, mesh: MqttMesh, key: SigningKey, bundle: Bundle) -> None:
        self.mesh = mesh
        self.key = key
        self.bundle = bundle
        self.boot = Boot("")
        self.heard: list[Fact | Presence | Live] = []
        self.payloads: list[bytes] = []
        self._events = mesh.events()

    def converge(self, **changes: Any) -> Command:
        """A genuine command of the leader of epoch 5; `changes` make it another."""
        body = Converge(
            run=RunId(new_id()),
            digest=self.bundle.digest,
            size=self.bundle.size,
            url=self.bundle.url,
            confirm=False,
        )
        return self.command(body, **changes)

    def command(self, body: CommandBody, **changes: Any) -> Command:
        target = Target(cluster=CLUSTER, role=WORKER, instance=WING, boot=self.boot)
        command = Command(
            id=new_id(),
            at=now(),
            target=target,
            epoch=Epoch(5),
            not_after=now() + timedelta(minutes=10),
            body=body,
        )
        return replace(command, **changes)

    async def send(self, command: Command, *, payload: bytes | None = None) -> bytes:
        """Publish a command with its true signature; `payload` is what is really sent instead of it."""
        true = encode(command)
        await self.put(true if payload is None else payload, self.key.sign(true))
        return true

    async def put(self, payload: bytes, signature: Signature | None) -> None:
        topic = Topics(CLUSTER).command(WORKER, WING)
        await self.mesh.publish(Publication(topic=topic, payload=payload, signature=signature))

    async def hear(self, wanted: Callable[[Fact | Presence | Live], bool]) -> Any:
        """Listen until the wing has said what is wanted."""
        async with asyncio.timeout(DEADLINE_S):
            async for event in self._events:
                if isinstance(event, Received) and "/cmd/" not in event.topic:
                    message = decode(event.payload)
                    assert not isinstance(message, Command)
                    self.heard.append(message)
                    self.payloads.append(event.payload)
                    if wanted(message):
                        return message
        raise AssertionError("the mesh ended")

    async def answer(self, command: Command, *bodies: type) -> Any:
        def fits(message: Fact | Presence | Live) -> bool:
            return (
                isinstance(message, Fact)
                and isinstance(message.body, bodies)
                and getattr(message.body, "command", None) == command.id
            )

        return (await self.hear(fits)).body

    async def nothing_started(self) -> None:
        """A ping is answered after all that came before it, so what would have started is known by then."""
        before = [fact for fact in self.heard if isinstance(fact, Fact) and isinstance(fact.body, Started)]
        ping = self.command(Ping())
        await self.send(ping)
        await self.hear(lambda message: isinstance(message, Live) and message.caused_by == ping.id)
        after = [fact for fact in self.heard if isinstance(fact, Fact) and isinstance(fact.body, Started)]
        assert before == after


@pytest_asyncio.fixture
async def den(tmp_path: Path) -> AsyncIterator[Den]:
    """Start broker and wing, wait for the wing's birth, and end both."""
    ca = LocalCa.create(tmp_path / "pki")
    pki = tmp_path / "pki"
    server = ca.issue_server("broker", hosts=["127.0.0.1"]).write(pki)
    files = MosquittoFiles(ca=pki / "ca.pem", certificate=server.certificate, key=server.key, acl=ANYTHING)
    key = SigningKey.generate()
    bundle = packed(tmp_path)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(PrivateMosquitto(tmp_path / "broker", files=files))
        client = ca.issue_client("orchestrator_1").write(pki)
        settings = MqttSettings(
            host="127.0.0.1",
            port=broker.port,
            ca=pki / "ca.pem",
            certificate=client.certificate,
            key=client.key,
        )
        mesh = await stack.enter_async_context(MqttMesh(settings, client_id="orchestrator_1"))
        await mesh.subscribe(*Topics(CLUSTER).orchestrator_filters())
        den = Den(mesh, key, bundle)
        async for event in den._events:
            if isinstance(event, Connected):
                break
        config = wing_config(tmp_path, ca.issue_client(WING).write(pki), broker.port, key)
        wing = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("wing"), "run", "--config", config, stderr=asyncio.subprocess.PIPE
        )
        stack.push_async_callback(ended(wing))
        birth = await den.hear(
            lambda message: isinstance(message, Presence) and isinstance(message.body, Birth)
        )
        den.boot = birth.body.standing.boot
        yield den


def ended(wing: asyncio.subprocess.Process) -> Callable[[], Awaitable[None]]:
    async def end() -> None:
        wing.terminate()
        await wing.communicate()

    return end


def packed(folder: Path) -> Bundle:
    source = write_bundle(folder / "source", "notify { 'obeyed': }\n")
    store = folder / "store"
    store.mkdir()
    built = build(source, store / "new.tar.gz")
    name = built.digest.replace(":", "-") + ".tar.gz"
    (store / "new.tar.gz").rename(store / name)
    return Bundle(digest=built.digest, size=built.size, url=f"file://{store}/{name}")


def wing_config(folder: Path, files: CertificateFiles, port: int, orchestrator: SigningKey) -> Path:
    own = folder / "wing-signing.key"
    own.write_bytes(SigningKey.generate().to_pem())
    own.chmod(0o600)
    root = folder / "root"
    root.mkdir()
    config = folder / "wing.toml"
    config.write_text(f"""
cluster = "{CLUSTER}"
instance = "{WING}"
role = "{WORKER}"
state_dir = "{folder / "state"}"
root = "{root}"
[broker]
host = "127.0.0.1"
port = {port}
ca = "{folder / "pki" / "ca.pem"}"
certificate = "{files.certificate}"
key = "{files.key}"
[signing]
key = "{own}"
orchestrators = {{ orchestrator_1 = "{orchestrator.public.to_base64()}" }}
[puppet]
lock = "{folder / "state" / "puppet.lock"}"
""")
    return config


async def test_a_wing_obeys_only_what_is_genuine_fresh_and_its_own(den: Den) -> None:
    """Altered, misdirected, fenced, late or for another boot: refused, with the reason, and never run."""
    elsewhere = Target(cluster=CLUSTER, role=WORKER, instance=OTHER, boot=den.boot)
    reborn = Target(cluster=CLUSTER, role=WORKER, instance=WING, boot=Boot("1-00000000"))
    await den.send(den.command(Ping()))
    for reason, command in (
        (RejectReason.WRONG_TARGET, den.converge(target=elsewhere)),
        (RejectReason.STALE_EPOCH, den.converge(epoch=Epoch(4))),
        (RejectReason.OTHER_BOOT, den.converge(target=reborn)),
        (RejectReason.EXPIRED, den.converge(not_after=now() - timedelta(minutes=5))),
    ):
        await den.send(command)
        rejected = await den.answer(command, Rejected)
        assert (rejected.reason, rejected.epoch) == (reason, command.epoch)
        await den.nothing_started()


async def test_one_altered_bit_is_noticed(den: Den) -> None:
    """A command with one bit changed is refused for its signature; so is an unsigned or a stranger's one."""
    command = den.converge()
    payload = bytearray(encode(command))
    payload[payload.index(b"sha256:") + 10] ^= 1
    await den.send(command, payload=bytes(payload))
    assert (await den.answer(command, Rejected)).reason is RejectReason.BAD_SIGNATURE
    for signature in (None, SigningKey.generate().sign(encode(command))):
        await den.put(encode(command), signature)
    await den.nothing_started()


async def test_a_captured_command_runs_once(den: Den) -> None:
    """A genuine command, replayed after its answer, gets the very same answer again and runs nothing."""
    command = den.converge()
    payload = await den.send(command)
    await den.answer(command, Succeeded)
    answer = den.payloads[-1]
    await den.put(payload, den.key.sign(payload))
    await den.answer(command, Succeeded)
    assert den.payloads[-1] == answer
    await den.nothing_started()
