"""Other programs, run to their end: their answer, or an error in their own words of what went wrong."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.local.errors import LocalError, UnsupportedError

BOOTING: Final[Mapping[str, str]] = {
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
    "nsenter": "util-linux",
    "setsid": "util-linux",
    "ssh-keygen": "openssh-client",
}
ENDING: Final[Mapping[str, str]] = {"ip": "iproute2", "umount": "mount"}
BUILDING: Final[Mapping[str, str]] = {
    "apt-get": "apt",
    "mmdebstrap": "mmdebstrap",
    "dpkg-scanpackages": "dpkg-dev",
    "unshare": "util-linux",
}
FAULTS: Final[Mapping[str, str]] = {"nft": "nftables", "tc": "iproute2"}
LAST_LINES: Final = 8
# An operator's PATH, even root's, may lack where such programs live.
SEARCHED: Final = os.pathsep.join(
    (os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/bin", "/bin")
)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """What it said of a failure, as far as a person wants to read it."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return "\n".join(lines[-LAST_LINES:]) or f"exit code {self.code}"


def run(*command: str | Path, given: str | None = None, timeout_s: float = 120) -> str:
    """Return what a program prints; LocalError with its last words if it fails or does not end in time."""
    answer = ask(*command, given=given, timeout_s=timeout_s)
    if answer.code != 0:
        what = f"{' '.join(map(str, command[:4]))} failed"
        raise LocalError(what=what, why=answer.last_words)
    return answer.out


def ask(*command: str | Path, given: str | None = None, timeout_s: float = 120) -> Answer:
    """Return how a program ends; LocalError if it is not there or does not end in time."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            [shutil.which(words[0], path=SEARCHED) or words[0], *words[1:]],
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env=environment(),
            umask=0o022,
        )
    except FileNotFoundError as error:
        raise _missing({words[0]: {**BUILDING, **BOOTING, **FAULTS}.get(words[0], words[0])}) from error
    except subprocess.TimeoutExpired as error:
        raise LocalError(what=f"{' '.join(words[:8])} did not end within {timeout_s:g} s") from error
    return Answer(done.returncode, done.stdout, done.stderr)


def environment() -> dict[str, str]:
    """Return what programs get of our environment: their words are read, so they speak plain English."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "TARMAK_", "PYTHON"))
    }
    return {**kept, "LC_ALL": "C.UTF-8", "PATH": SEARCHED, "DEBIAN_FRONTEND": "noninteractive"}


def demand(programs: Mapping[str, str] = BOOTING) -> None:
    """Raise UnsupportedError unless this is Linux, we are root, and `programs` are there."""
    if sys.platform != "linux":
        raise UnsupportedError(
            what="hosts on this machine need Linux",
            why=f"this is {sys.platform}",
            action="use the provider `static` with hosts that exist",
        )
    if os.geteuid() != 0:
        raise UnsupportedError(
            what="hosts on this machine need root",
            why="they have a network, mounts and a systemd of their own",
            action="run the same command as root, as with sudo",
        )
    absent = {
        name: package for name, package in programs.items() if shutil.which(name, path=SEARCHED) is None
    }
    if absent:
        raise _missing(absent)


def _missing(absent: Mapping[str, str]) -> UnsupportedError:
    packages = " ".join(sorted(set(absent.values())))
    return UnsupportedError(
        what=f"this machine lacks {', '.join(sorted(absent))}",
        action=f"install them: apt-get install {packages}",
    )
