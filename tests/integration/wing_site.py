"""One real wing on a real broker, and an orchestrator that is played by the test.

The test holds the orchestrator's identity: it sends commands and reads everything that the wing says, each
message with its signature checked. Waiting is for messages; one deadline turns a hang into a failure.
"""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import tomli_w

from broker.acl import render_acl
from broker.client import Publication, Received
from broker.codec import decode, encode
from broker.ids import Boot, ClusterName, Epoch, InstanceId, MessageId, OrchestratorName, Role, RunId
from broker.messages import (
    Birth,
    Command,
    CommandBody,
    Converge,
    Fact,
    Heartbeat,
    Message,
    Presence,
    Target,
)
from broker.mosquitto import MosquittoFiles, PrivateMosquitto
from broker.mqtt import MqttMesh, MqttSettings
from broker.signing import SigningKey
from broker.topics import Topics
from broker.uuid7 import id_source
from orchestrator.adapters.local_ca import LocalCa
from puppet_bridge.bundle import build
from tests.dev_mesh import write_bundle

CLUSTER = ClusterName("test")
ROLE = Role("worker")
INSTANCE = InstanceId("worker-1")
ORCHESTRATOR = OrchestratorName("orchestrator_1")
HOST = "127.0.0.1"
DEADLINE_S = 120

new_id: Callable[[], MessageId] = id_source(lambda: datetime.now(UTC), os.urandom)


@dataclass
class Site:
    """A broker, one wing's configuration, and the orchestrator's ear and mouth."""

    folder: Path
    broker: PrivateMosquitto
    mesh: MqttMesh
    key: SigningKey
    wing_key: SigningKey
    heard: list[Message] = field(default_factory=list)
    boot: Boot | None = None

    @property
    def config(self) -> Path:
        """The wing's configuration."""
        return self.folder / "wing.toml"

    @property
    def facts(self) -> list[Fact]:
        """Every fact heard, in the order in which they came."""
        return [message for message in self.heard if isinstance(message, Fact)]

    def bundle(self, manifest: str) -> Converge:
        """Build a bundle that holds `manifest`; return the order to converge on it."""
        name = f"bundle-{len(list(self.folder.glob('bundle-*')))}"
        shelf = self.folder / "bundles"
        shelf.mkdir(exist_ok=True)
        built = build(write_bundle(self.folder / name, manifest), shelf)
        run = RunId(new_id())
        return Converge(run=run, digest=built.digest, size=built.size, url=built.path.as_uri())

    async def send(self, body: CommandBody, *, boot: Boot | None = None, epoch: int = 1) -> Command:
        """Send a command to the wing's present boot, or to `boot`."""
        command = self.command(body, boot=boot, epoch=epoch)
        await self.resend(command)
        return command

    def command(self, body: CommandBody, *, boot: Boot | None = None, epoch: int = 1) -> Command:
        """Return a command to the wing's present boot, or to `boot`."""
        now = datetime.now(UTC)
        return Command(
            id=new_id(),
            at=now,
            target=Target(cluster=CLUSTER, role=ROLE, instance=INSTANCE, boot=boot or self.boot),
            epoch=Epoch(epoch),
            not_after=now + timedelta(minutes=10),
            body=body,
        )

    async def resend(self, command: Command, *, tampered: bool = False) -> None:
        """Send a command (again); tampered with, its signature is of other bytes."""
        payload = encode(command)
        signature = self.key.sign(payload[:-1] if tampered else payload)
        topic = Topics(CLUSTER).command(ROLE, INSTANCE)
        await self.mesh.publish(Publication(topic=topic, payload=payload, signature=signature))

    async def until(self, wanted: Callable[[Message], bool]) -> Message:
        """Wait for a message that has not been heard before; returns it."""
        async with asyncio.timeout(DEADLINE_S):
            async for event in self.mesh.events():
                if isinstance(event, Received):
                    message = self._checked(event)
                    if not event.retained and wanted(message):
                        return message
        raise AssertionError("the mesh ended")

    async def until_born(self) -> Birth:
        """Wait for a birth of a boot that was not heard before."""

        def new_birth(message: Message) -> bool:
            match message:
                case Presence(body=Birth(standing=standing)):
                    return standing.boot != self.boot
                case _:
                    return False

        presence = await self.until(new_birth)
        assert isinstance(presence, Presence)
        assert isinstance(presence.body, Birth)
        self.boot = presence.body.standing.boot
        return presence.body

    async def until_told(self, *kinds: type) -> Fact:
        """Wait for a fact of one of `kinds`."""
        fact = await self.until(lambda message: isinstance(message, Fact) and isinstance(message.body, kinds))
        assert isinstance(fact, Fact)
        return fact

    async def until_heartbeat(self) -> Heartbeat:
        """Wait for a heartbeat."""
        heard = await self.until(
            lambda message: isinstance(message, Presence) and isinstance(message.body, Heartbeat)
        )
        assert isinstance(heard, Presence)
        assert isinstance(heard.body, Heartbeat)
        return heard.body

    @asynccontextmanager
    async def wing(self, config: Path | None = None, **variables: str) -> AsyncIterator[Process]:
        """Run the real wing, with `variables` in its environment, until the block ends if not before."""
        environment = {**os.environ, **variables}
        with (self.folder / "wing.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "wing", "--config", str(config or self.config)),
                stderr=log,
                stdout=log,
                env=environment,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    def second_host(self, *, cloned: bool) -> Path:
        """Return another host's configuration with the same identity; a clone has the first's journal."""
        if cloned:
            shutil.copytree(self.folder / "state", self.folder / "state-2")
        text = self.config.read_text().replace('"state"', '"state-2"')
        config = self.folder / "wing-2.toml"
        config.write_text(text)
        return config

    def _checked(self, received: Received) -> Message:
        self.wing_key.public.verify(received.payload, received.signature)
        message = decode(received.payload)
        self.heard.append(message)
        return message


class _Files:
    """The certificates and keys of a site."""

    def __init__(self, folder: Path) -> None:
        authority = LocalCa.create(folder / "ca")
        self.ca = authority.certificate
        self.server = authority.issue_server("broker", hosts=[HOST]).write(folder)
        self.wing = authority.issue_client(INSTANCE).write(folder)
        self.orchestrator = authority.issue_client(ORCHESTRATOR).write(folder)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Make them in `folder`."""
        return cls(folder)


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """A broker with one enrolled wing that does not run yet."""
    files = _Files.of(folder)
    key, wing_key = SigningKey.generate(), SigningKey.generate()
    (folder / "signing.pem").write_bytes(wing_key.to_pem())
    acl = render_acl(clusters=[CLUSTER], orchestrators=[ORCHESTRATOR])
    mosquitto = MosquittoFiles(
        ca=files.ca, certificate=files.server.certificate, key=files.server.key, acl=acl
    )
    state = folder / "broker"
    state.mkdir()
    async with PrivateMosquitto(state, files=mosquitto, host=HOST) as broker:
        _configure(folder, files, broker.port, key)
        own = files.orchestrator
        settings = MqttSettings(
            host=HOST, port=broker.port, ca=files.ca, certificate=own.certificate, key=own.key
        )
        async with MqttMesh(settings, client_id=ORCHESTRATOR) as mesh:
            await mesh.subscribe(*Topics(CLUSTER).orchestrator_filters())
            yield Site(folder=folder, broker=broker, mesh=mesh, key=key, wing_key=wing_key)


def _configure(folder: Path, files: _Files, port: int, key: SigningKey) -> None:
    (folder / "root").mkdir()
    config = {
        "cluster": CLUSTER,
        "instance": INSTANCE,
        "role": ROLE,
        "state_dir": "state",
        "root": "root",
        "heartbeat_s": 1,
        "broker": {
            "host": HOST,
            "port": port,
            "ca": str(files.ca),
            "certificate": str(files.wing.certificate),
            "key": str(files.wing.key),
        },
        "signing": {
            "key": "signing.pem",
            "orchestrators": {ORCHESTRATOR: key.public.to_base64()},
        },
        "puppet": {"lock": "puppet.lock"},
    }
    (folder / "wing.toml").write_text(tomli_w.dumps(config))
