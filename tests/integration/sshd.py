"""A real sshd of a test's own on the loopback, which lets whoever runs the tests in with a key."""

import contextlib
import getpass
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from orchestrator.infrastructure.hosts import Host

SSHD: Final = Path("/usr/sbin/sshd")
PRIVSEP: Final = Path("/run/sshd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sshd:
    """Where it listens, and the ssh_config that knows it by the name of `host`."""

    host: Host
    config: Path
    known: Path


def keygen(file: Path) -> str:
    """Make a key pair; returns the public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file.with_suffix(".pub").read_text().strip()


@contextlib.contextmanager
def sshd(
    home: Path, *, name: str = "worker-1", cwd: Path | None = None, path: Path | None = None
) -> Iterator[Sshd]:
    """Run one below `home` for as long as the block lasts.

    Its commands run in `cwd`, so that hosts of one machine have files of their own; programs in `path`
    come before the machine's.
    """
    if not SSHD.exists():
        if "CI" in os.environ:
            pytest.fail("CI must test on a real sshd")
        pytest.skip("there is no sshd: install openssh-server")
    if os.geteuid() == 0:
        PRIVSEP.mkdir(mode=0o755, exist_ok=True)  # sshd will not start without it, and its service makes it
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    host_key = keygen(home / "host_key")
    (home / "authorized_keys").write_text(keygen(home / "id") + "\n")
    user = getpass.getuser()
    role = name.rpartition("-")[0]
    host = Host(name=name, role=role, pool="", address="127.0.0.1", user=user, port=port)
    options = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": home / "host_key",
        "AuthorizedKeysFile": home / "authorized_keys",
        "StrictModes": "no",
        "UsePAM": "no",
        "PidFile": "none",
        "PermitRootLogin": "prohibit-password",
        "SetEnv": f"HOME={home}",  # what the user's own shell does at its start is no part of a test
    }
    if cwd is not None:
        options["ForceCommand"] = f'cd {cwd} && eval "$SSH_ORIGINAL_COMMAND"'
    if path is not None:
        options["SetEnv"] += f" PATH={path}:/usr/local/bin:/usr/bin:/bin"
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (home / "ssh_config").write_text(
        f"Host {name}\n HostName 127.0.0.1\n Port {port}\n User {host.user}\n IdentityFile {home}/id\n"
        f" IdentitiesOnly yes\n UserKnownHostsFile {home}/known_hosts\n StrictHostKeyChecking yes\n"
        " BatchMode yes\n"
    )
    server = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", "/dev/null", *words],
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        assert server.stderr is not None
        for line in server.stderr:
            if "Server listening" in line:
                break
        else:
            raise AssertionError("sshd did not start")
        yield Sshd(host=host, config=home / "ssh_config", known=home / "known_hosts")
    finally:
        server.terminate()
        server.communicate()
