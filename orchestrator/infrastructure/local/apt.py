"""The machine's own apt: where its Debian packages come from, and what it would download for a host.

What apt is set up with on this machine (a mirror, a proxy, certificates) holds for the image as well, and is
written into neither the image nor any file of ours that stays.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.local.errors import LocalError, UnsupportedError
from orchestrator.infrastructure.local.programs import run

KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TARGETS: Final = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
# What of apt's settings says how packages are reached, and not what is done with them.
REACHING: Final = re.compile(
    r'Acquire::(?:(?:http|https|ftp)(?:::[^ ]*)?|Check-Valid-Until|Check-Date|Retries) "(?P<value>[^"]*)";'
)
DOWNLOAD_S: Final = 600


@dataclass(frozen=True, slots=True)
class Source:
    """One archive and suite, of which the component `main` is taken."""

    uri: str
    suite: str

    def line(self, suite: str | None = None) -> str:
        """Return the line of a sources.list for it, or for another suite of the same archive."""
        return f"deb [signed-by={KEYRING}] {self.uri} {suite or self.suite} main"


def suite() -> str:
    """Return the code name of this machine's Debian; UnsupportedError on anything else."""
    release = Path("/etc/os-release")
    text = release.read_text(encoding="utf-8") if release.exists() else ""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if values.get("ID", "").strip('"') != "debian" or "VERSION_CODENAME" not in values:
        raise UnsupportedError(
            what="hosts on this machine are made from its own Debian packages",
            why=f"this is {values.get('PRETTY_NAME', 'no Debian')}",
            action="use a machine with Debian 12 or later",
        )
    return values["VERSION_CODENAME"].strip('"')


def sources(codename: str) -> tuple[Source, ...]:
    """Return where apt finds this release of Debian; LocalError if it is told of no such place."""
    listed = run("apt-get", "indextargets", "--format", TARGETS, "Created-By: Packages")
    found = tuple(dict.fromkeys(parse_targets(listed, codename)))
    if not any(source.suite == codename for source in found):
        raise LocalError(
            what=f"apt knows no archive with the suite {codename} and its component main",
            why="the hosts' root is made from the archives in /etc/apt",
            action="add Debian's archive to /etc/apt/sources.list.d",
        )
    return found


def parse_targets(listed: str, codename: str) -> Iterator[Source]:
    """Yield Debian's own archives: third parties' suites and components have other names."""
    suites = {codename, f"{codename}-updates", f"{codename}-security"}
    for line in listed.splitlines():
        match line.split():
            case [uri, name, "main"] if name in suites:
                yield Source(uri, name)


def reaching(dump: str) -> tuple[str, ...]:
    """Return, of what `apt-config dump` prints, the settings by which archives are reached."""
    lines = (line.strip() for line in dump.splitlines())
    return tuple(line for line in lines if (found := REACHING.fullmatch(line)) and found["value"])


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateApt:
    """An apt that has the machine's settings, and lists, a cache and a target of its own."""

    directory: Path
    status: Path
    preferred: str

    def update(self, lines: Iterable[str]) -> None:
        """Fetch the lists of these sources."""
        for name in ("state/lists/partial", "cache/archives/partial", "sources"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        text = "".join(f"{line}\n" for line in lines)
        (self.directory / "sources" / "all.list").write_text(text, encoding="utf-8")
        run("apt-get", *self._options(), "update", timeout_s=DOWNLOAD_S)

    def download(self, package: str) -> None:
        """Fetch a package and all that it needs and the target lacks; `NAME/SUITE`: another release's."""
        options = ("--yes", "--download-only", "--no-install-recommends")
        run("apt-get", *self._options(), *options, "install", package, timeout_s=DOWNLOAD_S)

    @property
    def archives(self) -> Path:
        """Where the packages are then."""
        return self.directory / "cache" / "archives"

    def _options(self) -> tuple[str, ...]:
        settings = {
            "Dir::State": self.directory / "state",
            "Dir::State::status": self.status,
            "Dir::Cache": self.directory / "cache",
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": self.directory / "sources",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Default-Release": self.preferred,
            "APT::Keep-Downloaded-Packages": "true",
            "APT::Sandbox::User": "root",
        }
        return tuple(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))
