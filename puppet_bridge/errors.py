"""What can go wrong with Puppet and its bundles on one host, as one tree under the mesh's own root.

MeshError
└── BridgeError                 everything of this package
    ├── BundleError             a bundle that can't be built, believed or unpacked
    │   ├── LayoutError         the directory is no bundle, or holds what can't be packed; names the entry
    │   ├── ManifestError       tarmak.yaml says something that it can't mean; names the key
    │   ├── CheckError          code, data or a template does not parse; lists file, line and reason
    │   ├── RefusedError        an archive holds what no bundle may; names the entry
    │   │   └── LimitError      … more files or bytes than were declared
    │   └── DigestError         an archive is not the one that was asked for
    ├── StoreError              a place where bundles lie; names its URL
    │   ├── StoreUrlError       a URL that names no store, or none for this use
    │   ├── NoSuchBundleError   the store does not have the bundle
    │   └── StoreUnavailableError  the store can't be reached, or refuses us, after all retries
    ├── FetchError              the child that fetches a bundle failed; carries its words
    └── PuppetError             Puppet on this host can't be used as it was meant to
        ├── ReportError         a file that is no whole Puppet report; names what is wrong
        ├── LockError           Puppet's lock can't be taken or read; names its path
        ├── PuppetMissingError  there is no Puppet to start, or it does not start
        └── HostModuleError     a module that the bundle expects of the host is not there
"""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.errors import MeshError


class BridgeError(MeshError):
    """The root of every error of this package."""


class BundleError(BridgeError):
    """A bundle can't be built, believed or unpacked."""


class LayoutError(BundleError):
    """A directory is no bundle, or holds something that can't be packed; `entry` is relative to it."""

    def __init__(self, *, entry: str, reason: str) -> None:
        self.entry = entry
        self.reason = reason
        super().__init__(f"{entry}: {reason}")


class ManifestError(BundleError):
    """A bundle's tarmak.yaml can't be taken as it is; `key` is empty where no single one is at fault."""

    def __init__(self, *, reason: str, key: str = "", line: int | None = None) -> None:
        self.key = key
        self.reason = reason
        self.line = line
        place = "tarmak.yaml" if line is None else f"tarmak.yaml:{line}"
        super().__init__(f"{place}: {key}: {reason}" if key else f"{place}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that does not parse: `file` is relative to the bundle, `line` counts from 1."""

    file: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        """Return the finding as compilers say it."""
        return (
            f"{self.file}: {self.reason}" if self.line is None else f"{self.file}:{self.line}: {self.reason}"
        )


class CheckError(BundleError):
    """Files of a bundle do not parse, so no instance could ever converge on it."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class RefusedError(BundleError):
    """An archive holds an entry that no bundle may hold; nothing of it was unpacked."""

    def __init__(self, *, entry: str, reason: str) -> None:
        self.entry = entry
        self.reason = reason
        super().__init__(f"{entry!r}: {reason}")


class LimitError(RefusedError):
    """An archive is larger than was declared; `limit` is in `unit` (files or bytes)."""

    def __init__(self, *, entry: str, limit: int, unit: str) -> None:
        self.limit = limit
        self.unit = unit
        super().__init__(entry=entry, reason=f"more than the declared limit of {limit} {unit}")


class DigestError(BundleError):
    """An archive's digest is not the one that names it."""

    def __init__(self, *, expected: str, actual: str) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(f"the bundle is {actual}, not {expected}: it was altered or cut short on its way")


class StoreError(BridgeError):
    """Something is wrong with the store at `url`."""

    def __init__(self, *, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"{url}: {reason}")


class StoreUrlError(StoreError):
    """A URL names no store, or one that can't be used so."""


class NoSuchBundleError(StoreError):
    """The store answers, and does not have the bundle."""

    def __init__(self, *, url: str, digest: str) -> None:
        self.digest = digest
        super().__init__(url=url, reason=f"has no bundle {digest}")


class StoreUnavailableError(StoreError):
    """The store can't be reached, or refuses us, and further attempts are pointless now."""


class FetchError(BridgeError):
    """The child that fetches a bundle failed; `reason` is what it said."""

    def __init__(self, *, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"fetching {url}: {reason}")


class PuppetError(BridgeError):
    """Puppet on this host can't be used as it was meant to."""


class ReportError(PuppetError):
    """A file is no whole Puppet report of a format that we read; `reason` says what is wrong."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(f"Puppet's report: {reason}")


class LockError(PuppetError):
    """Puppet's lock at `path` can't be taken or read."""

    def __init__(self, *, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"Puppet's lock {path}: {reason}")


class PuppetMissingError(PuppetError):
    """There is no Puppet at `executable`, or it does not start."""

    def __init__(self, *, executable: str, reason: str) -> None:
        self.executable = executable
        self.reason = reason
        super().__init__(f"{executable}: {reason}; install Puppet 7 or later, or set [puppet] executable")


class HostModuleError(PuppetError):
    """The bundle expects `modules` of the host's own module path, and they are not there."""

    def __init__(self, *, modules: Sequence[str], looked_in: Sequence[str]) -> None:
        self.modules = tuple(modules)
        self.looked_in = tuple(looked_in)
        packages = " ".join(f"puppet-module-puppetlabs-{name}" for name in self.modules)
        super().__init__(
            f"the bundle needs the host's Puppet modules {', '.join(self.modules)}, not found in "
            f"{', '.join(self.looked_in) or 'any path'}; on Debian: apt install {packages}"
        )
