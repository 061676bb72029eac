"""The files by which `ssh` reaches a cluster's hosts: key, configuration, and the hosts' own keys.

They stand in the cluster's directory and are written whole, so that an operator's own configuration neither
disturbs them nor is disturbed. Strangers are never spoken to.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from orchestrator.infrastructure.hosts import BASTION, Host
from orchestrator.infrastructure.places import Home
from puppet_bridge.atomic import write_whole

LONGEST_SOCKET: Final = 107 - 17
"""What a socket's path may have (sun_path), less the suffix that it has while ssh makes it."""


def ensure_key(home: Home, cluster: str) -> str:
    """Have the cluster's key pair there, and return its public half as an authorized_keys line."""
    public = home.key.with_suffix(".pub")
    if not (home.key.exists() and public.exists()):
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        write_whole(public, f"{line} tarmak@{cluster}\n".encode(), mode=0o644)
        write_whole(home.key, private, mode=0o600)
    return public.read_text(encoding="utf-8").strip()


def write_files(home: Home, hosts: Sequence[Host], *, identity: Path, jump: bool) -> None:
    """Write how each host is reached by its name, and by which key it is known."""
    (home.path / "ssh").mkdir(mode=0o700, exist_ok=True)
    write_whole(home.known_hosts, "".join(map(_known, hosts)).encode(), mode=0o600)
    write_whole(home.ssh_config, ssh_config(home, hosts, identity=identity, jump=jump).encode(), mode=0o600)


def close_connections(home: Home, *, at_once: bool) -> None:
    """Give no further command a connection that is open: it may lead to a machine that is about to go.

    Commands that use one go on, unless all is to end `at_once`.
    """
    for socket in (home.path / "ssh").glob("*"):
        # Whatever it answers: one that is gone by itself is as good.
        words = (
            "ssh",
            "-F",
            "none",
            "-o",
            f"ControlPath={socket}",
            "-O",
            "exit" if at_once else "stop",
            "any",
        )
        subprocess.run(words, capture_output=True, check=False)


def ssh_config(home: Home, hosts: Sequence[Host], *, identity: Path, jump: bool) -> str:
    """Return the configuration for all hosts."""
    bastion = next((host.name for host in hosts if host.role == BASTION), None)
    parts = []
    for host in hosts:
        lines = [f"Host {host.name}", f"HostName {host.address}", f"User {host.user}", f"Port {host.port}"]
        lines += [f"HostKeyAlias {host.name}"]
        lines += [f"ProxyJump {bastion}"] if jump and bastion and host.name != bastion else []
        parts.append("\n    ".join(lines))
    every = [
        "Host *",
        f"IdentityFile {_quoted(identity)}",
        f"UserKnownHostsFile {_quoted(home.known_hosts)}",
        "GlobalKnownHostsFile none",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "ConnectTimeout 10",
        "ServerAliveInterval 15",
        # Of what ssh says the errors: a host's banner is no part of what a command there says.
        "LogLevel ERROR",
        *_shared(home, hosts),
    ]
    return "\n\n".join([*parts, "\n    ".join(every)]) + "\n"


def _shared(home: Home, hosts: Sequence[Host]) -> Sequence[str]:
    """Return the lines by which commands share connections, if the sockets' paths are short enough."""
    sockets = home.path / "ssh"
    if max((len(str(sockets / host.name)) for host in hosts), default=0) > LONGEST_SOCKET:
        return ()
    return ("ControlMaster auto", "ControlPersist 30s", f"ControlPath {_quoted(sockets / '%n')}")


def _known(host: Host) -> str:
    return "" if host.host_key is None else f"{host.name} {host.host_key}\n"


def _quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)
