"""Where a host's things are, and how its devices are called: the only module that says so.

A network device has 15 characters (IFNAMSIZ), and a machine's name must be the only one of its kind on this
machine. So both carry a digest of the cluster's home: two clusters of one name in two homes never meet.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClusterPlaces:
    """Where a cluster's hosts are, and its bridge."""

    home: Path

    @property
    def hosts(self) -> Path:
        """The directory of one directory for each host."""
        return self.home / "hosts"

    @property
    def bridge(self) -> str:
        """The bridge that its hosts are plugged into; also the name of its nftables table."""
        return f"tmk-{_digest(str(self.home))}"

    @property
    def owner(self) -> str:
        """What the bridge's alias says, by which it is known to be this cluster's."""
        return f"tarmak lab {hashlib.sha256(str(self.home).encode()).hexdigest()[:32]}"

    @property
    def faults(self) -> Path:
        """What is wrong with the network on purpose; it outlives a host's boot."""
        return self.hosts / "faults.json"

    def host(self, name: str) -> "HostPlaces":
        """Return where the things of one host are."""
        return HostPlaces(cluster=self, name=name)

    def names(self) -> tuple[str, ...]:
        """Return whose directories there are."""
        if not self.hosts.is_dir():
            return ()
        return tuple(sorted(entry.name for entry in self.hosts.iterdir() if entry.is_dir()))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlaces:
    """Where one host's things are."""

    cluster: ClusterPlaces
    name: str

    @property
    def directory(self) -> Path:
        """All of the host; it is locked while the host is made, started or ended."""
        return self.cluster.hosts / self.name

    @property
    def machine(self) -> str:
        """The container's name, of which systemd-nspawn makes the name of its port on the bridge."""
        return f"tk{_digest(str(self.directory))}"

    @property
    def port(self) -> str:
        """The end of the host's cable that is plugged into the bridge."""
        return f"vb-{self.machine}"

    @property
    def description(self) -> Path:
        """The host as it was last described."""
        return self.directory / "host.json"

    @property
    def base(self) -> Path:
        """Which root image the disk was begun on: it fits that one only."""
        return self.directory / "image"

    @property
    def image(self) -> Path:
        """The host's disk, a sparse file with a file system."""
        return self.directory / "disk.img"

    @property
    def disk(self) -> Path:
        """Where that disk is mounted."""
        return self.directory / "disk"

    @property
    def upper(self) -> Path:
        """What differs from the root image, on the host's disk."""
        return self.disk / "upper"

    @property
    def furnished(self) -> Path:
        """The mark, on the disk, that all that makes the host itself has been written."""
        return self.disk / "furnished"

    @property
    def reserve(self) -> Path:
        """Some room on the disk that the host never has, so that even a full disk can be mounted."""
        return self.disk / "reserve"

    @property
    def filler(self) -> Path:
        """What fills the disk when it shall be full."""
        return self.disk / "filler"

    @property
    def root(self) -> Path:
        """Where the host's whole file system is mounted."""
        return self.directory / "root"

    @property
    def process(self) -> Path:
        """Which process and control groups are the host's."""
        return self.directory / "process.json"

    @property
    def host_key(self) -> Path:
        """The host's public SSH key, as for a known_hosts file."""
        return self.directory / "host_key.pub"

    @property
    def console(self) -> Path:
        """What the host says on its console."""
        return self.directory / "console.log"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
