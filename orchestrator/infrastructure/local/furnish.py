"""What makes a host itself, written onto its new disk once: afterwards the disk is the host's own.

The names of the others alone go on changing with the cluster. They stand between two marks in /etc/hosts;
once the host's configuration has taken that file over, the marks are gone and it is left alone.
"""

import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.local.description import Description
from orchestrator.infrastructure.local.places import HostPlaces
from orchestrator.infrastructure.local.programs import run
from puppet_bridge.atomic import write_whole

BEGIN: Final = "# The cluster's hosts:"
END: Final = "# (end of the cluster's hosts)"
BETWEEN: Final = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}\n", re.DOTALL)
NETWORK: Final = """\
[Match]
Name=host0

[Network]
Address={address}
LinkLocalAddressing=no
IPv6AcceptRA=no
# A cable that was pulled is no reason to forget who one is.
ConfigureWithoutCarrier=yes
IgnoreCarrierLoss=yes
"""


def furnish(host: HostPlaces, description: Description) -> None:
    """Write what makes the host itself, unless its disk has it; the mark that it is there comes last."""
    if not host.furnished.exists():
        etc = host.root / "etc"
        write_whole(etc / "hostname", f"{description.name}\n".encode())
        write_whole(etc / "machine-id", f"{uuid.uuid4().hex}\n".encode(), mode=0o444)
        network = NETWORK.format(address=description.address)
        write_whole(etc / "systemd/network/10-tarmak.network", network.encode())
        names = f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n{_names(description)}"
        write_whole(etc / "hosts", names.encode())
        _authorize(host.root / "root/.ssh/authorized_keys", description)
        _make_host_key(etc / "ssh", description.name)
        os.sync()
        write_whole(host.furnished, b"")
    shutil.copyfile(host.root / "etc/ssh/ssh_host_ed25519_key.pub", host.host_key)


def rename_others(host: HostPlaces, description: Description) -> None:
    """Bring the others' names up to date where they still stand between our marks."""
    file = host.root / "etc/hosts"
    if file.is_symlink() or not file.is_file():
        return
    text = file.read_text(encoding="utf-8", errors="surrogateescape")
    changed = BETWEEN.sub(lambda _: _names(description), text)
    if changed != text:
        write_whole(file, changed.encode(errors="surrogateescape"))


def _names(description: Description) -> str:
    lines = (f"{address} {name}\n" for address, name in description.hosts)
    return f"{BEGIN}\n{''.join(lines)}{END}\n"


def _authorize(file: Path, description: Description) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    write_whole(file, "".join(f"{key}\n" for key in description.authorized_keys).encode(), mode=0o600)


def _make_host_key(directory: Path, name: str) -> None:
    key = directory / "ssh_host_ed25519_key"
    for left in (key, key.with_suffix(".pub")):
        left.unlink(missing_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{name}", "-f", key)
