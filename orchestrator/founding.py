"""`tarmak-orchestrator init`: makes a host the bastion of a new cluster, before there is anybody to ask.

A mesh begins with an authority, a broker that trusts it, and an orchestrator that both sides believe. Made by
hand that is a page of openssl; so it is done here, on the bastion itself, where the keys then stay. Done
again it keeps every key, the authority and what people may have edited (`orchestrator.toml`, `roster.toml`),
and renews the certificates: so it also takes a bastion up that was restored from a backup.
"""

import argparse
import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import tomli_w

from broker import ids
from broker.acl import SHIPPED, SHIPPED_ORCHESTRATOR, render_acl, render_config
from broker.ids import ClusterName, OrchestratorName
from broker.signing import SigningKey
from orchestrator.adapters.local_ca import CA_CERTIFICATE, CA_KEY, LocalCa
from orchestrator.config import ConfigError, load
from orchestrator.errors import ExplainedError
from puppet_bridge.atomic import write_whole

ETC: Final = Path("/etc/tarmak")
AUTHORITY: Final = Path("/var/lib/tarmak/authority")
BUNDLES_PORT: Final = 8443
JOIN_PORT: Final = 8445
ROSTER: Final = """\
# Instances that are enrolled by hand, one [[instance]] each. Those that join with a token are not listed
# here: `tarmak enrol list` names them all.
"""


class FoundingError(ExplainedError):
    """A bastion can't be made of this host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bastion:
    """What a bastion is to be: by which names and addresses others reach it, the first one first.

    `root` is put before every path that is written; the users own the private keys of their program.
    """

    cluster: ClusterName
    name: OrchestratorName
    hosts: Sequence[str]
    root: Path = Path("/")
    user: str = "tarmak"
    broker_user: str = "mosquitto"


def found(bastion: Bastion) -> Iterator[str]:
    """Write all that broker and orchestrator need; yields what was done, by lines. Raises FoundingError."""
    yield from _Founding(bastion).lines()


class _Founding:
    def __init__(self, bastion: Bastion) -> None:
        self._bastion = bastion
        self._user = _known(bastion.user)
        self._broker_user = _known(bastion.broker_user)
        self._etc = self._at(ETC)
        self._own = self._etc / "orchestrator"
        self._config = self._etc / "orchestrator.toml"

    def lines(self) -> Iterator[str]:
        """Do it all, in an order in which each half can be done again."""
        self._refuse_another()
        authority, line = self._authority()
        yield line
        yield from self._broker(authority)
        yield from self._orchestrator(authority)

    def _at(self, path: Path) -> Path:
        return self._bastion.root / path.relative_to("/")

    def _refuse_another(self) -> None:
        """Refuse to issue what would not fit the configuration that is kept."""
        if not self._config.exists():
            return
        try:
            kept = load(self._config)
        except ConfigError as error:
            raise FoundingError(what=str(error), action="mend it, or move it away") from error
        asked = self._bastion
        if kept.cluster != asked.cluster:
            what = f"{self._config} is of the cluster {kept.cluster}, not {asked.cluster}"
            raise FoundingError(what=what, action=f"name that one, or move {ETC} and {AUTHORITY} away")
        if kept.name != asked.name:
            what = f"{self._config} is of the orchestrator {kept.name}, not {asked.name}"
            raise FoundingError(what=what, action=f"say --name {kept.name}, or move it away")
        if kept.broker.host not in asked.hosts:
            what = f"{self._config} tells others that the broker is {kept.broker.host}, which no --host names"
            raise FoundingError(what=what, action=f"add --host {kept.broker.host}, or change it there first")

    def _authority(self) -> tuple[LocalCa, str]:
        home = self._at(AUTHORITY)
        known = (home / CA_CERTIFICATE).exists()  # it is written last
        home.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        name = f"Tarmak {self._bastion.cluster}"
        authority = LocalCa.load(home) if known else LocalCa.create(home, name=name)
        self._give(self._user, home, home / CA_KEY, home / CA_CERTIFICATE)
        self._etc.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_whole(self._etc / CA_CERTIFICATE, authority.certificate.read_bytes(), mode=0o644)
        return authority, f"{AUTHORITY}: the cluster's authority, {'kept' if known else 'made'}"

    def _broker(self, authority: LocalCa) -> Iterator[str]:
        home = self._etc / "mosquitto"
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
        issued = authority.issue_server("broker", hosts=self._bastion.hosts).write(home)
        write_whole(home / CA_CERTIFICATE, authority.certificate.read_bytes(), mode=0o644)
        write_whole(home / "tarmak.conf", render_config(SHIPPED).encode(), mode=0o644)
        acl = render_acl(clusters=[self._bastion.cluster], orchestrators=[self._bastion.name])
        # Mosquitto warns already, and will refuse, where others may read or write what it trusts.
        write_whole(home / "acl", acl.encode(), mode=0o600)
        self._give(self._broker_user, home / "acl", issued.certificate, issued.key)
        yield f"{ETC / 'mosquitto'}: the broker's configuration, and a certificate for {self._names()}"

    def _orchestrator(self, authority: LocalCa) -> Iterator[str]:
        self._own.mkdir(mode=0o755, parents=True, exist_ok=True)
        own = authority.issue_client(self._bastion.name).write(self._own)
        doors = authority.issue_server("doors", hosts=self._bastion.hosts).write(self._own)
        signing = self._own / "signing.pem"
        known = signing.exists()
        if not known:
            write_whole(signing, SigningKey.generate().to_pem(), mode=0o600)
        self._give(self._user, own.certificate, own.key, doors.certificate, doors.key, signing)
        yield f"{ETC / 'orchestrator'}: its certificates, and its signing key, {'kept' if known else 'made'}"
        yield self._kept_or_written(self._etc / "roster.toml", ROSTER)
        made = datetime.now(UTC).date().isoformat()
        head = f"# Written by `tarmak-orchestrator init` on {made}. It is yours now: init keeps it.\n\n"
        yield self._kept_or_written(self._config, head + tomli_w.dumps(self._table()))

    def _table(self) -> dict[str, object]:
        host, folder = self._bastion.hosts[0], ETC / "orchestrator"
        doors = {
            "ca": str(ETC / CA_CERTIFICATE),
            "certificate": str(folder / "doors.pem"),
            "key": str(folder / "doors.key"),
        }
        return {
            "cluster": self._bastion.cluster,
            "name": self._bastion.name,
            "roster": str(ETC / "roster.toml"),
            "broker": {
                "host": host,
                "ca": str(ETC / CA_CERTIFICATE),
                "certificate": str(folder / f"{self._bastion.name}.pem"),
                "key": str(folder / f"{self._bastion.name}.key"),
            },
            "signing": {"key": str(folder / "signing.pem")},
            "bundles": {
                "listen": f"0.0.0.0:{BUNDLES_PORT}",
                "url": f"https://{host}:{BUNDLES_PORT}",
                **doors,
            },
            "authority": {"directory": str(AUTHORITY)},
            "join": {"listen": f"0.0.0.0:{JOIN_PORT}", "url": f"https://{host}:{JOIN_PORT}", **doors},
        }

    def _kept_or_written(self, file: Path, text: str) -> str:
        shown = ETC / file.name
        if file.exists():
            return f"{shown}: kept"
        write_whole(file, text.encode(), mode=0o644)
        return f"{shown}: written"

    def _names(self) -> str:
        return ", ".join(self._bastion.hosts)

    def _give(self, user: pwd.struct_passwd, *paths: Path) -> None:
        for path in paths:
            os.chown(path, user.pw_uid, user.pw_gid)


def _known(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        hints = {
            "mosquitto": "install the package mosquitto",
            "tarmak": "put deploy/systemd/tarmak.sysusers into /usr/lib/sysusers.d and run systemd-sysusers",
        }
        action = hints.get(user, "make that user first")
        raise FoundingError(what=f"there is no user {user} on this host", action=action) from None


# The command ---------------------------------------------------------------------------------------------


def describe_init(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `init` to the daemon's commands."""
    words = commands.add_parser("init", help="make this host the bastion of a new cluster, or renew it")
    words.add_argument("--cluster", required=True, type=ids.cluster_name, metavar="NAME")
    words.add_argument(
        "--host",
        required=True,
        action="append",
        metavar="NAME-OR-ADDRESS",
        help="by which others reach this host; again for each, the one that they are told first",
    )
    words.add_argument(
        "--name", type=ids.orchestrator_name, default=SHIPPED_ORCHESTRATOR, help="[%(default)s]"
    )
    words.add_argument("--root", type=Path, default=Path("/"), help="written below this directory [/]")
    words.add_argument("--user", default="tarmak", help="whom the orchestrator runs as [tarmak]")
    words.add_argument("--broker-user", default="mosquitto", help="whom the broker runs as [mosquitto]")


def init(asked: argparse.Namespace) -> int:
    """Make a bastion as `asked`; returns the exit code."""
    bastion = Bastion(
        cluster=asked.cluster,
        name=asked.name,
        hosts=asked.host,
        root=asked.root,
        user=asked.user,
        broker_user=asked.broker_user,
    )
    try:
        for line in found(bastion):
            sys.stdout.write(f"{line}\n")
    except (FoundingError, OSError) as error:
        sys.stderr.write(f"tarmak-orchestrator: {error}\n")
        return 1
    return 0
