"""Certificates, keys and configurations of a mesh on one machine, written afresh or taken up again.

What makes an instance itself is kept: its signing key and its state. Certificates are cheap and are made
anew at each start, so that a directory that was found again after a year still works.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tomli_w

from broker import ids
from broker.acl import render_acl
from broker.mosquitto import MosquittoFiles
from broker.signing import SigningKey
from orchestrator.adapters.local_ca import CertificateFiles, LocalCa
from orchestrator.dev.extra import Extra, Table, merged
from orchestrator.dev.members import Member
from orchestrator.dev.places import Places
from puppet_bridge.atomic import write_whole

CLUSTER: Final = ids.cluster_name("dev")
ORCHESTRATOR: Final = ids.orchestrator_name("orchestrator_1")
HOST: Final = "127.0.0.1"
SIGNING_KEY: Final = "signing.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the broker and the bundles' door listen."""

    broker: int
    bundles: int


class Identities:
    """Writes what each program needs to be itself; `extra` is merged into each wing's configuration."""

    def __init__(self, places: Places, extra: Extra | None = None) -> None:
        self._places = places
        self._extra = extra
        known = (places.authority / "ca.key").exists()
        self._authority = LocalCa.load(places.authority) if known else LocalCa.create(places.authority)

    def broker(self) -> MosquittoFiles:
        """Write the broker's certificate; returns what it is given."""
        self._places.broker.mkdir(mode=0o700, exist_ok=True)
        files = self._authority.issue_server("broker", hosts=[HOST]).write(self._places.broker)
        return MosquittoFiles(
            ca=self._authority.certificate,
            certificate=files.certificate,
            key=files.key,
            acl=render_acl(clusters=[CLUSTER], orchestrators=[ORCHESTRATOR]),
        )

    def orchestrator(self, ports: Ports) -> Path:
        """Write the orchestrator's identity and configuration; returns its file."""
        home = self._places.orchestrator
        home.mkdir(mode=0o700, exist_ok=True)
        own = self._authority.issue_client(ORCHESTRATOR).write(home)
        door = self._authority.issue_server("bundles", hosts=[HOST]).write(home)
        _signing_key(home)
        config: Table = {
            "cluster": CLUSTER,
            "name": ORCHESTRATOR,
            "state_dir": str(home / "state"),
            "roster": str(self._places.roster),
            "api": {"socket": str(self._places.socket)},
            "broker": self._broker(ports, own),
            "signing": {"key": str(home / SIGNING_KEY)},
            "bundles": {
                "listen": f"{HOST}:{ports.bundles}",
                "url": f"https://{HOST}:{ports.bundles}",
                **self._files(door),
            },
        }
        return _written(home / "orchestrator.toml", config)

    def wing(self, member: Member, ports: Ports) -> Path:
        """Write a wing's identity and configuration; returns its file."""
        home = self._places.wing(member.id)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._places.root(member.id).mkdir(parents=True, exist_ok=True)
        own = self._authority.issue_client(member.id).write(home)
        commander = _signing_key(self._places.orchestrator)
        config: Table = {
            "cluster": CLUSTER,
            "instance": member.id,
            "role": member.role,
            "pool": member.role,
            "state_dir": str(home / "state"),
            "root": str(self._places.root(member.id)),
            "broker": self._broker(ports, own),
            "signing": {
                "key": str(home / SIGNING_KEY),
                "orchestrators": {ORCHESTRATOR: commander.public.to_base64()},
            },
            # Puppet's default lock is the host's, and all instances of this mesh share the host.
            "puppet": {"lock": str(home / "puppet.lock")},
        }
        _signing_key(home)
        if self._extra is not None:
            config = merged(config, self._extra.of(member))
        return _written(home / "wing.toml", config)

    def roster(self, fleet: Sequence[Member]) -> None:
        """Enrol the fleet."""
        listed = [
            {"id": member.id, "role": member.role, "pool": member.role, "key": self._public(member)}
            for member in fleet
        ]
        write_whole(self._places.roster, tomli_w.dumps({"instance": listed}).encode())

    def _public(self, member: Member) -> str:
        home = self._places.wing(member.id)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _signing_key(home).public.to_base64()

    def _broker(self, ports: Ports, own: CertificateFiles) -> Table:
        return {"host": HOST, "port": ports.broker, **self._files(own)}

    def _files(self, own: CertificateFiles) -> Table:
        return {
            "ca": str(self._authority.certificate),
            "certificate": str(own.certificate),
            "key": str(own.key),
        }


def _signing_key(home: Path) -> SigningKey:
    file = home / SIGNING_KEY
    if not file.exists():
        write_whole(file, SigningKey.generate().to_pem(), mode=0o600)
    return SigningKey.from_pem(file.read_bytes())


def _written(file: Path, config: Table) -> Path:
    write_whole(file, tomli_w.dumps(config).encode(), mode=0o600)
    return file
