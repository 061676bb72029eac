"""The orchestrator believes only what a wing has signed: a real daemon on a broker that forges and alters.

The test holds one wing's signing key and speaks for it, and it holds the broker; what it alters or makes
up must not be believed, must be counted, and must be named by `tarmak status`.
"""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest_asyncio

from broker.client import Connected, Publication, Received, Signature
from broker.codec import decode, encode
from broker.ids import Boot, ClusterName, Digest, Epoch, InstanceId, Role, RunId
from broker.messages import (
    CHAIN_START,
    Birth,
    Command,
    Fact,
    FactBody,
    Host,
    Observed,
    Presence,
    PresenceBody,
    Report,
    Standing,
    Trouble,
    Verdict,
)
from broker.mosquitto import MosquittoFiles, PrivateMosquitto
from broker.mqtt import MqttMesh, MqttSettings
from broker.signing import SigningKey
from broker.topics import Topics
from broker.uuid7 import id_source
from orchestrator.adapters.local_ca import CertificateFiles, LocalCa
from tests.dev_mesh import tarmak

CLUSTER = ClusterName("den")
WORKER = Role("worker")
WING = InstanceId("worker-1")
BOOT = Boot("1-0123abcd")
DIGEST = Digest("sha256:" + "0" * 64)
ANYTHING = "pattern readwrite #\n"
DEADLINE_S = 60


def now() -> datetime:
    return datetime.now(UTC)


new_id = id_source(now, os.urandom)


class FakeWing:
    """Says what a wing would say, with the wing's key, and what a thief of the broker would add."""

    def __init__(self, mesh: MqttMesh, key: SigningKey, url: str) -> None:
        self.mesh = mesh
        self.key = key
        self.url = url
        self.seq = 0
        self.head = CHAIN_START

    def fact(self, body: FactBody) -> bytes:
        """The next fact's bytes, in the chain."""
        self.seq += 1
        payload = encode(Fact(id=new_id(), at=now(), boot=BOOT, seq=self.seq, prev=self.head, body=body))
        self.head = hashlib.sha256(payload).digest()
        return payload

    async def say(self, payload: bytes, signature: Signature | None) -> None:
        topic = Topics(CLUSTER).facts(WORKER, WING)
        await self.mesh.publish(Publication(topic=topic, payload=payload, signature=signature))

    async def appear(self, body: PresenceBody, key: SigningKey) -> None:
        payload = encode(Presence(id=new_id(), at=now(), body=body))
        topic = Topics(CLUSTER).presence(WORKER, WING)
        await self.mesh.publish(Publication(topic=topic, payload=payload, signature=key.sign(payload)))

    async def tarmak(self, *words: str) -> Any:
        """What a command answers with `-o json`; its exit code is left aside."""
        process = await asyncio.create_subprocess_exec(
            *(tarmak(), *words, "-o", "json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "TARMAK_URL": self.url},
        )
        out, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        return json.loads(out)

    async def stored(self, kind: str) -> dict[str, Any]:
        """The first event of `kind`, awaited on the tail."""
        process = await asyncio.create_subprocess_exec(
            *(tarmak(), "events", "-f", "--since", "0", "-o", "jsonl"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "TARMAK_URL": self.url},
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(DEADLINE_S):
                async for line in process.stdout:
                    event: dict[str, Any] = json.loads(line)
                    if event["kind"].startswith(kind):
                        return event
        finally:
            process.terminate()
            await process.communicate()
        raise AssertionError("the tail ended")


def birth(**standing: Any) -> Birth:
    host = Host(hostname="w", addresses=(), os="Debian", kernel="6", puppet="7.23.0", cores=2, memory=1)
    stands = Standing(boot=BOOT, connection=1, epoch=Epoch(0), head_seq=0, head=CHAIN_START, **standing)
    return Birth(standing=stands, version="0.1.0", host=host)


@pytest_asyncio.fixture
async def wing(tmp_path: Path) -> AsyncIterator[FakeWing]:
    """Start broker and daemon, and wait until the daemon asks whoever is there to report."""
    pki = tmp_path / "pki"
    ca = LocalCa.create(pki)
    server = ca.issue_server("broker", hosts=["127.0.0.1"]).write(pki)
    files = MosquittoFiles(ca=pki / "ca.pem", certificate=server.certificate, key=server.key, acl=ANYTHING)
    key = SigningKey.generate()
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(PrivateMosquitto(tmp_path / "broker", files=files))
        own = ca.issue_client(WING).write(pki)
        settings = MqttSettings(
            host="127.0.0.1", port=broker.port, ca=pki / "ca.pem", certificate=own.certificate, key=own.key
        )
        mesh = await stack.enter_async_context(MqttMesh(settings, client_id=WING))
        await mesh.subscribe(*Topics(CLUSTER).wing_filters(WORKER, WING))
        events = mesh.events()
        async for event in events:
            if isinstance(event, Connected):
                break
        config = daemon_config(tmp_path, ca, broker.port, key)
        daemon = await asyncio.create_subprocess_exec(
            *(Path(sys.executable).with_name("tarmak-orchestrator"), "--config", config),
            stderr=stack.enter_context((tmp_path / "daemon.log").open("wb")),
        )
        stack.push_async_callback(daemon.wait)
        stack.callback(daemon.terminate)
        async with asyncio.timeout(DEADLINE_S):
            async for event in events:
                if isinstance(event, Received) and _asks_to_report(event.payload):
                    break
        yield FakeWing(mesh, key, f"unix://{tmp_path / 'api.sock'}")


def _asks_to_report(payload: bytes) -> bool:
    message = decode(payload)
    return isinstance(message, Command) and isinstance(message.body, Report)


def daemon_config(folder: Path, ca: LocalCa, port: int, wing: SigningKey) -> Path:
    own: CertificateFiles = ca.issue_client("orchestrator_1").write(folder / "pki")
    door: CertificateFiles = ca.issue_server("door", hosts=["127.0.0.1"]).write(folder / "pki")
    key = folder / "orchestrator-signing.key"
    key.write_bytes(SigningKey.generate().to_pem())
    key.chmod(0o600)
    (folder / "roster.toml").write_text(
        f'[[instance]]\nid = "{WING}"\nrole = "{WORKER}"\nkey = "{wing.public.to_base64()}"\n'
    )
    config = folder / "orchestrator.toml"
    config.write_text(f"""
cluster = "{CLUSTER}"
name = "orchestrator_1"
state_dir = "state"
roster = "roster.toml"
[api]
socket = "api.sock"
[broker]
host = "127.0.0.1"
port = {port}
ca = "pki/ca.pem"
certificate = "{own.certificate}"
key = "{own.key}"
[signing]
key = "{key}"
[bundles]
listen = "127.0.0.1:0"
url = "https://127.0.0.1:1"
ca = "pki/ca.pem"
certificate = "{door.certificate}"
key = "{door.key}"
""")
    return config


async def test_altered_and_forged_facts_are_not_believed(wing: FakeWing) -> None:
    """One bit altered, a stranger's signature, none at all: only the genuine fact is stored."""
    await wing.appear(birth(), wing.key)
    payload = wing.fact(Trouble(what="genuine", detail="said by the wing"))
    altered = bytearray(payload)
    altered[altered.index(b"genuine")] ^= 1
    await wing.say(bytes(altered), wing.key.sign(payload))
    await wing.say(payload, SigningKey.generate().sign(payload))
    await wing.say(payload, None)
    await wing.say(payload, wing.key.sign(payload))
    event = await wing.stored("trouble")
    assert (event["seq"], event["body"]["what"]) == (1, "genuine")
    status = await wing.tarmak("status")
    assert status["counters"]["bad_signature_evt"] == 3
    assert not status["healthy"]
    assert any(WING in problem and "signature" in problem for problem in status["problems"])


async def test_a_forged_birth_proves_nothing(wing: FakeWing) -> None:
    """A birth that claims `converged`, signed by a stranger, changes nothing of what is known."""
    claim = Observed(digest=DIGEST, verdict=Verdict.CONVERGED, run=RunId(new_id()), at=now())
    await wing.appear(birth(observed=claim), SigningKey.generate())
    await wing.appear(birth(), wing.key)
    await wing.stored("instance_online")
    (instance,) = await wing.tarmak("instances")
    assert (instance["presence"], instance["observed"], instance["outcome"]) == ("online", None, "unknown")
    status = await wing.tarmak("status")
    assert status["counters"]["bad_signature_presence"] == 1


async def test_a_chain_that_does_not_fit_is_shown(wing: FakeWing) -> None:
    """A fact that is signed but does not follow from the one before is counted and named by `status`."""
    await wing.appear(birth(), wing.key)
    first = wing.fact(Trouble(what="first", detail=""))
    wing.head = hashlib.sha256(b"another past").digest()
    second = wing.fact(Trouble(what="second", detail=""))
    await wing.say(first, wing.key.sign(first))
    await wing.say(second, wing.key.sign(second))
    await wing.stored("trouble")
    status = await wing.tarmak("status")
    while "chain" not in " ".join(status["counters"]):
        status = await wing.tarmak("status")
    assert any(WING in problem and "chain" in problem for problem in status["problems"])
