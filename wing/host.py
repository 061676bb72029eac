"""What describes this host to a person: read once at the wing's start, without loading anything for it."""

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from broker.messages import Host

UNKNOWN: Final = "unknown"
PATIENCE_S: Final = 30.0
OS_RELEASE: Final = Path("/etc/os-release")
# A documentation address: a connected UDP socket tells the route's own address and sends nothing.
_SOMEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def describe(puppet: str, kept: Path) -> Host:
    """Return what this host is; Puppet's version is asked again only when its executable has changed.

    `kept` is a file that remembers the version between starts, since asking takes Ruby half a second.
    """
    return Host(
        hostname=socket.gethostname(),
        addresses=tuple(_addresses()),
        os=os_name(OS_RELEASE),
        kernel=platform.release(),
        puppet=puppet_version(puppet, kept),
        cores=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def os_name(release: Path) -> str:
    """Return the system's name as os-release(5) gives it for people."""
    if not release.exists():
        return platform.system() or UNKNOWN
    return platform.freedesktop_os_release().get("PRETTY_NAME", UNKNOWN)


def puppet_version(puppet: str, kept: Path) -> str:
    """Return the version of the executable `puppet`, `unknown` if there is none that answers."""
    found = shutil.which(puppet)
    if found is None:
        return UNKNOWN
    stamp = f"{found} {Path(found).stat().st_mtime_ns} "
    remembered = kept.read_text(encoding="utf-8") if kept.exists() else ""
    if remembered.startswith(stamp):
        return remembered.removeprefix(stamp)
    version = _asked(found)
    if version != UNKNOWN:
        kept.write_text(f"{stamp}{version}", encoding="utf-8")
    return version


def _asked(puppet: str) -> str:
    try:
        ended = subprocess.run(
            [puppet, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )
    except (subprocess.TimeoutExpired, OSError):
        return UNKNOWN
    said = ended.stdout.decode(errors="replace").split()
    return said[-1] if ended.returncode == 0 and said else UNKNOWN


def _addresses() -> Iterable[str]:
    """Yield the addresses from which this host would speak to the outside."""
    for family, somewhere in _SOMEWHERE:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((somewhere, 9))
            except OSError:
                continue  # this host has no route of that family
            address: str = probe.getsockname()[0]
        if not address.startswith("127.") and address != "::1":
            yield address
