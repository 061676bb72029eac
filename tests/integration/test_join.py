"""A bastion that `tarmak-orchestrator init` made, and hosts that join it with tokens: all as programs."""

import asyncio
import getpass
import os
import signal
import sqlite3
import stat
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.ids import OrchestratorName
from broker.mosquitto import MosquittoFiles, PrivateMosquitto
from orchestrator.domain.views import InstanceView, PresenceState
from tests.integration.pair import DEADLINE_S, LOOK_S, Daemon

NAME = OrchestratorName("orchestrator_1")
HOST = "127.0.0.1"


@dataclass
class Ran:
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str


async def ran(*words: str, **env: str) -> Ran:
    """Run one of our programs to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **env},
    )
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    return Ran(code=process.returncode or 0, out=out.decode(), err=err.decode())


@dataclass
class Bastion:
    """A running bastion, whose files are below `root`."""

    root: Path
    daemon: Daemon
    door: str = ""

    async def start(self) -> None:
        """Start the daemon, and learn where its door is: its ports are whichever are free."""
        await self.daemon.start()
        opened = await self.daemon.until("join door open")
        self.door = f"https://{HOST}:{opened['port']}"
        await self.daemon.until("leading")

    async def tarmak(self, *words: str) -> Ran:
        """Run an operator's command."""
        return await ran("orchestrator.cli.main", *words, TARMAK_URL=f"unix://{self.daemon.socket}")

    async def token(self, *words: str, instance: str = "worker-1") -> str:
        """Have a token made."""
        made = await self.tarmak("enrol", "token", "--instance", instance, "--role", "worker", *words)
        assert made.code == 0, made.err
        return made.out.strip()

    async def online(self) -> InstanceView:
        """Wait until the one instance is online; returns it."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                (view,) = self.daemon.client.instances()
                if view.presence is PresenceState.ONLINE:
                    return view
                await asyncio.sleep(LOOK_S)

    async def kinds(self) -> list[str]:
        """Return the kinds of all events so far."""
        listed = await self.tarmak("events", "-o", "jsonl")
        return [line.split('"kind":"')[1].split('"')[0] for line in listed.out.splitlines()]


@dataclass
class Joining:
    """A host that is to join, whose /etc/tarmak is `home`."""

    home: Path

    @property
    def config(self) -> Path:
        return self.home / "wing.toml"

    @property
    def invitation(self) -> Path:
        return self.home / "join.toml"

    async def join(self, url: str, token: str) -> Ran:
        """Join by a token."""
        self.home.mkdir(exist_ok=True)
        self.invitation.touch(mode=0o600)
        self.invitation.write_text(tomli_w.dumps({"url": url, "token": token}))
        return await ran("wing", "join", "--file", str(self.invitation), "--config", str(self.config))


@asynccontextmanager
async def started(home: Path) -> AsyncIterator[Bastion]:
    """Make a bastion and run it; its own paths are those below `home`, its ports are free ones."""
    me, root = getpass.getuser(), home / "root"
    users = ("--user", me, "--broker-user", me)
    made = await ran(
        *("orchestrator.daemon", "init", "--cluster", "test", "--host", HOST, "--host", "bastion"),
        *("--root", str(root), *users),
    )
    assert made.code == 0, made.err
    etc = root / "etc/tarmak"
    files = MosquittoFiles(
        ca=etc / "mosquitto/ca.pem",
        certificate=etc / "mosquitto/broker.pem",
        key=etc / "mosquitto/broker.key",
        acl=(etc / "mosquitto/acl").read_text(),
    )
    async with PrivateMosquitto(home / "broker", files=files) as broker:
        folder = home / "daemon"
        folder.mkdir()
        daemon = Daemon(name=NAME, folder=folder, socket=folder / "o.sock")
        text = (etc / "orchestrator.toml").read_text().replace('"/', f'"{root}/')
        config = tomllib.loads(text)
        config["broker"]["port"] = broker.port
        config["bundles"]["listen"] = config["join"]["listen"] = f"{HOST}:0"
        config |= {"state_dir": str(folder / "state"), "api": {"socket": str(daemon.socket)}}
        (folder / "o.toml").write_text(tomli_w.dumps(config))
        bastion = Bastion(root=root, daemon=daemon)
        try:
            await bastion.start()
            yield bastion
        finally:
            await daemon.end()


@pytest.fixture
async def bastion(tmp_path: Path) -> AsyncIterator[Bastion]:
    """A bastion with its door open."""
    async with started(tmp_path) as running:
        yield running


@pytest.fixture
def host(tmp_path: Path) -> Joining:
    """A host that has not joined."""
    return Joining(home=tmp_path / "host")


@asynccontextmanager
async def wing(host: Joining, tmp_path: Path) -> AsyncIterator[None]:
    """Run the wing of a host that has joined; its state is not this machine's."""
    config = tomllib.loads(host.config.read_text()) | {
        "state_dir": str(tmp_path / "wing-state"),
        "root": str(tmp_path / "wing-root"),
    }
    (tmp_path / "wing-root").mkdir()
    host.config.write_text(tomli_w.dumps(config))
    with (tmp_path / "wing.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wing", "--config", str(host.config)), stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            await process.wait()


async def test_a_host_joins_with_a_token_and_is_on_the_mesh(
    bastion: Bastion, host: Joining, tmp_path: Path
) -> None:
    """Its keys stay with it, its certificate is for what the token says, and its wing is believed."""
    token = await bastion.token("--address", "198.18.4.41", "--label", "zone=a")
    joined = await host.join(bastion.door, token)
    assert (joined.code, joined.err.splitlines()[-1]) == (0, "wing: joined test as worker-1, role worker")
    assert not host.invitation.exists()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in host.home.iterdir()}
    assert (modes["wing.key"], modes["signing.key"]) == (0o600, 0o600)
    certificate = x509.load_pem_x509_certificate((host.home / "wing.pem").read_bytes())
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "worker-1"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["worker-1"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["198.18.4.41"]
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    async with wing(host, tmp_path):
        view = await bastion.online()
    assert (view.id, view.labels) == ("worker-1", {"zone": "a"})
    again = await ran("wing", "join", "--file", str(host.invitation), "--config", str(host.config))
    assert (again.code, "joined already" in again.err) == (0, True)


async def test_a_token_is_good_once_and_for_the_keys_that_used_it(
    bastion: Bastion, host: Joining, tmp_path: Path
) -> None:
    """Whose answer was lost asks again; another host is told that it comes too late."""
    token = await bastion.token()
    assert (await host.join(bastion.door, token)).code == 0
    first = (host.home / "wing.pem").read_bytes()
    host.config.unlink()
    assert (await host.join(bastion.door, token)).code == 0
    assert (host.home / "wing.pem").read_bytes() != first
    thief = Joining(home=tmp_path / "thief")
    refused = await thief.join(bastion.door, token)
    assert (refused.code, "used at" in refused.err, thief.config.exists()) == (1, True, False)
    assert thief.invitation.exists(), "it may be right the next time"
    assert (await bastion.kinds()).count("enrolment_refused") == 1


async def test_who_has_joined_stays_until_revoked(bastion: Bastion, host: Joining) -> None:
    """A restart and a reading of the roster change nothing; what was revoked can't come back by its token."""
    token = await bastion.token()
    assert (await host.join(bastion.door, token)).code == 0
    bastion.daemon.send(signal.SIGHUP)
    await bastion.daemon.until("roster read")
    bastion.daemon.send(signal.SIGKILL)
    await bastion.daemon.ended()
    await bastion.start()
    listed = await bastion.tarmak("enrol", "list")
    assert [line.split()[:4] for line in listed.out.splitlines()[1:]] == [
        ["worker-1", "worker", "worker", "token"]
    ]
    unasked = await bastion.tarmak("enrol", "revoke", "worker-1")
    assert (unasked.code, len(bastion.daemon.client.instances())) == (2, 1)
    assert (await bastion.tarmak("enrol", "revoke", "worker-1", "--yes")).code == 0
    assert bastion.daemon.client.instances() == []
    host.config.unlink()
    refused = await host.join(bastion.door, token)
    assert (refused.code, "not accepted" in refused.err) == (1, True)


async def test_a_token_runs_out_while_nobody_leads(bastion: Bastion, host: Joining) -> None:
    """Its time is the world's, not the daemon's; operators are told who did not get in, and why."""
    token = await bastion.token()
    bastion.daemon.send(signal.SIGTERM)
    assert await bastion.daemon.ended() == 0
    past = "json_set(record, '$.expires_at', '2026-01-01T00:00:00Z')"
    with closing(sqlite3.connect(bastion.daemon.folder / "state" / "journal.sqlite")) as journal:
        journal.execute(f"UPDATE join_tokens SET record = {past}")  # noqa: S608 - a constant
        journal.commit()
    await bastion.start()
    refused = await host.join(bastion.door, token)
    assert (refused.code, "late: it was good until 2026-01-01" in refused.err) == (1, True)
    (event,) = bastion.daemon.client.events((("kind", "enrolment_refused"), ("instance", "worker-1")))
    assert event.body["reason"].startswith("late")


async def test_a_rebuilt_host_takes_its_own_place(bastion: Bastion, host: Joining, tmp_path: Path) -> None:
    """A new token for an instance that has joined lets a new host in, and the old one out."""
    old = await bastion.token()
    assert (await host.join(bastion.door, old)).code == 0
    rebuilt = Joining(home=tmp_path / "rebuilt")
    assert (await rebuilt.join(bastion.door, await bastion.token())).code == 0
    assert [view.id for view in bastion.daemon.client.instances()] == ["worker-1"]
    host.config.unlink()
    refused = await host.join(bastion.door, old)
    assert (refused.code, "another host has joined as this instance" in refused.err) == (1, True)


async def test_the_secret_is_told_to_nobody_but_its_own_cluster(bastion: Bastion, host: Joining) -> None:
    """A door of another authority is left alone, and a token of no cluster here is refused without a why."""
    token = await bastion.token()
    head, _, _ = token.rpartition(".")
    foreign = await host.join(bastion.door, f"{head}.{'0' * 64}")
    assert (foreign.code, "its authority is another one" in foreign.err) == (1, True)
    assert "enrolment_refused" not in await bastion.kinds()
    prefix, name, _, authority = token.split(".")
    guessed = await host.join(bastion.door, f"{prefix}.{name}.{'A' * 43}.{authority}")
    assert (guessed.code, "this token is not accepted" in guessed.err) == (1, True)
    listed = await bastion.tarmak("enrol", "list", "--tokens")
    assert listed.out.splitlines()[1].split()[3] == "open", "a guess spends nothing"


async def test_what_is_wrong_with_an_invitation_is_said(host: Joining) -> None:
    """Before anything is asked: who may read it, and what it lacks."""
    host.home.mkdir()
    host.invitation.write_text('url = "https://bastion:8445"\n')
    words = ("wing", "join", "--file", str(host.invitation), "--config", str(host.config))
    host.invitation.chmod(0o644)
    assert "chmod 600" in (await ran(*words)).err
    host.invitation.chmod(0o600)
    lacking = await ran(*words)
    assert (lacking.code, "token: is needed" in lacking.err) == (2, True)
    nowhere = await host.join("https://127.0.0.1:1", f"tmk1.{'0' * 12}.{'A' * 43}.{'0' * 64}")
    assert (nowhere.code, "join door reached from here" in nowhere.err) == (1, True)


async def test_init_again_keeps_every_key_and_what_people_wrote(bastion: Bastion) -> None:
    """Certificates are renewed; another cluster's name is refused."""
    etc = bastion.root / "etc/tarmak"
    kept = [
        etc / "orchestrator/signing.pem",
        etc / "orchestrator.toml",
        bastion.root / "var/lib/tarmak/authority/ca.key",
    ]
    (etc / "orchestrator.toml").write_text((etc / "orchestrator.toml").read_text() + "# by hand\n")
    before, renewed = [file.read_bytes() for file in kept], (etc / "mosquitto/broker.pem").read_bytes()
    me = getpass.getuser()
    words = ("--host", HOST, "--root", str(bastion.root), "--user", me, "--broker-user", me)
    again = await ran("orchestrator.daemon", "init", "--cluster", "test", *words)
    assert again.code == 0, again.err
    assert [file.read_bytes() for file in kept] == before
    assert (etc / "mosquitto/broker.pem").read_bytes() != renewed
    other = await ran("orchestrator.daemon", "init", "--cluster", "other", *words)
    assert (other.code, "is of the cluster test, not other" in other.err) == (1, True)
    renamed = await ran("orchestrator.daemon", "init", "--cluster", "test", "--name", "o_2", *words)
    assert (renamed.code, "is of the orchestrator orchestrator_1, not o_2" in renamed.err) == (1, True)
    moved = await ran("orchestrator.daemon", "init", "--cluster", "test", *words[2:], "--host", "elsewhere")
    assert (moved.code, f"add --host {HOST}" in moved.err) == (1, True)
    nobody = await ran("orchestrator.daemon", "init", "--cluster", "test", *words[:-1], "nobody-here")
    assert (nobody.code, "there is no user nobody-here" in nobody.err) == (1, True)
