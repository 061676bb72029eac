"""Two real orchestrators on one real PostgreSQL and one real broker, and real wings that obey both."""

import asyncio
import contextlib
import json
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from broker.acl import render_acl
from broker.ids import ClusterName, InstanceId, OrchestratorName, Role
from broker.mosquitto import MosquittoFiles, PrivateMosquitto
from broker.signing import SigningKey
from orchestrator.adapters.local_ca import CertificateFiles, LocalCa
from orchestrator.client import Client
from orchestrator.dev.extra import Table, merged

CLUSTER = ClusterName("test")
ROLE = Role("worker")
INSTANCE = InstanceId("worker-1")
NAMES = (OrchestratorName("orchestrator_1"), OrchestratorName("orchestrator_2"))
HOST = "127.0.0.1"
DEADLINE_S = 120
LOOK_S = 0.05


@dataclass
class Daemon:
    """One orchestrator's process, and what it logs."""

    name: OrchestratorName
    folder: Path
    socket: Path
    process: Process | None = None
    read: int = 0

    @property
    def client(self) -> Client:
        """Its operators' door."""
        return Client(f"unix://{self.socket}")

    @property
    def log(self) -> Path:
        """The file with all that it says."""
        return self.folder / "log"

    async def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "orchestrator.daemon", "--config", str(self.folder / "o.toml")),
                stdout=log,
                stderr=log,
            )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end."""
        assert self.process is not None
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()

    async def end(self) -> None:
        """See that it has ended, in order if it can."""
        if self.process is not None and self.process.returncode is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(20):
                    await self.process.wait()
                return
            self.process.kill()

    async def until(self, event: str) -> dict[str, Any]:
        """Wait until it has logged an event that was not waited for before; returns the line."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    line = self.logged(event)
                    if line is not None:
                        return line
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError(f"{self.name}: no {event!r} in {self.log.read_text()}") from None

    def logged(self, event: str) -> dict[str, Any] | None:
        """Return the next line with an event, and read no further; None while there is none."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        for line in whole.splitlines()[self.read :]:
            self.read += 1
            if line.startswith("{") and json.loads(line).get("event") == event:
                found: dict[str, Any] = json.loads(line)
                return found
        return None


@dataclass
class Pair:
    """The daemons by number, and where their bundles lie."""

    folder: Path
    daemons: tuple[Daemon, Daemon]
    keys: dict[str, SigningKey] = field(default_factory=dict)
    instances: Sequence[InstanceId] = (INSTANCE,)

    async def started(self) -> tuple[Daemon, Daemon]:
        """Start both, the first leading."""
        first, second = self.daemons
        await first.start()
        await first.until("leading")
        await second.start()
        await second.until("standing by")
        return first, second

    @asynccontextmanager
    async def wings(self) -> AsyncIterator[None]:
        """Run every wing."""
        async with AsyncExitStack() as stack:
            for instance in self.instances:
                await stack.enter_async_context(self.wing(instance))
            yield

    @asynccontextmanager
    async def wing(self, instance: InstanceId = INSTANCE) -> AsyncIterator[Process]:
        """Run a wing."""
        home = self.folder / instance
        with (home / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "wing", "--config", str(home / "wing.toml")), stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.terminate()
            await process.wait()


@asynccontextmanager
async def pair(
    folder: Path,
    sockets: Path,
    journal: str,
    *,
    instances: Sequence[InstanceId] = (INSTANCE,),
    extra: Table | None = None,
) -> AsyncIterator[Pair]:
    """Have everything of a site made and its broker run; no daemon and no wing runs yet.

    `{name}` in the journal's URL is each daemon's own. `extra` is merged into each wing's configuration.
    """
    authority = LocalCa.create(folder / "ca")
    keys = {name: SigningKey.generate() for name in (*NAMES, *instances)}
    server = authority.issue_server("broker", hosts=[HOST]).write(folder)
    acl = render_acl(clusters=[CLUSTER], orchestrators=list(NAMES))
    files = MosquittoFiles(ca=authority.certificate, certificate=server.certificate, key=server.key, acl=acl)
    (folder / "broker").mkdir()
    (folder / "bundles").mkdir()
    async with (
        PrivateMosquitto(folder / "broker", files=files, host=HOST) as broker,
        AsyncExitStack() as stack,
    ):
        site = _Site(folder=folder, authority=authority, port=broker.port, keys=keys, journal=journal)
        site.enrol(instances)
        for instance in instances:
            site.wing(instance, extra or {})
        first, second = (site.daemon(name, sockets) for name in NAMES)
        for daemon in (first, second):
            stack.push_async_callback(daemon.end)
        yield Pair(folder=folder, daemons=(first, second), keys=keys, instances=instances)


@dataclass(frozen=True, kw_only=True)
class _Site:
    """Writes configurations."""

    folder: Path
    authority: LocalCa
    port: int
    keys: dict[str, SigningKey]
    journal: str

    def enrol(self, instances: Sequence[InstanceId]) -> None:
        """Write the roster that both daemons read."""
        keys = {instance: self.keys[instance].public.to_base64() for instance in instances}
        roster = {"instance": [{"id": name, "role": ROLE, "key": key} for name, key in keys.items()]}
        (self.folder / "roster.toml").write_text(tomli_w.dumps(roster))

    def wing(self, instance: InstanceId, extra: Table) -> None:
        """Write a wing's configuration: it obeys both."""
        home = self.folder / instance
        (home / "root").mkdir(parents=True)
        own = self.authority.issue_client(instance).write(home)
        (home / "signing.pem").write_bytes(self.keys[instance].to_pem())
        config = {
            "cluster": CLUSTER,
            "instance": instance,
            "role": ROLE,
            "state_dir": "state",
            "root": "root",
            "heartbeat_s": 1,
            "broker": self._broker(own),
            "signing": {
                "key": "signing.pem",
                "orchestrators": {name: self.keys[name].public.to_base64() for name in NAMES},
            },
            "puppet": {"lock": "puppet.lock"},
        }
        (home / "wing.toml").write_text(tomli_w.dumps(merged(config, extra)))

    def daemon(self, name: OrchestratorName, sockets: Path) -> Daemon:
        """Write a daemon's configuration."""
        home = self.folder / name
        home.mkdir()
        own = self.authority.issue_client(name).write(home)
        door = self.authority.issue_server("bundles", hosts=[HOST]).write(home)
        (home / "signing.pem").write_bytes(self.keys[name].to_pem())
        bundles = (self.folder / "bundles").as_uri()
        config = {
            "cluster": CLUSTER,
            "name": name,
            "state_dir": "state",
            "roster": str(self.folder / "roster.toml"),
            "api": {"socket": str(sockets / f"{name}.sock")},
            "broker": self._broker(own),
            "signing": {"key": "signing.pem"},
            "journal": {"url": self.journal.replace("{name}", name)},
            "bundles": {
                "listen": f"{HOST}:0",
                "url": bundles,
                "store": bundles,
                "ca": str(self.authority.certificate),
                "certificate": str(door.certificate),
                "key": str(door.key),
            },
        }
        (home / "o.toml").write_text(tomli_w.dumps(config))
        return Daemon(name=name, folder=home, socket=sockets / f"{name}.sock")

    def _broker(self, own: CertificateFiles) -> dict[str, Any]:
        return {
            "host": HOST,
            "port": self.port,
            "ca": str(self.authority.certificate),
            "certificate": str(own.certificate),
            "key": str(own.key),
        }
