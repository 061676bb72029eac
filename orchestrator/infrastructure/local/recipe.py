"""What the root image and the package pool hold. Pure: whoever changes a word here gets a new image.

The image has what every host needs before its first Puppet run; the pool has what the example site's roles
install (deploy/puppet), so that its runs install real packages without any way out of the lab.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

PACKAGES: Final = "/srv/tarmak/packages"
"""Where each host finds the pool."""

IMAGE: Final = (
    "ca-certificates",
    "cron",
    "curl",
    "dbus",
    "faketime",  # with libfaketime, by which a service's clock is moved
    "iproute2",
    "iputils-ping",
    "kmod",
    "libpam-systemd",
    "netbase",
    "openssh-server",
    "procps",
    "puppet-agent",
    "puppet-module-puppetlabs-concat",
    "puppet-module-puppetlabs-stdlib",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tzdata",
)
POOL: Final = (
    "auditd",
    "chrony",
    "containerd",
    "conntrack",
    "etcd-client",
    "etcd-server",
    "ethtool",
    "haproxy",
    "iptables",
    "jq",
    "logrotate",
    "mosquitto",
    "mosquitto-clients",
    "nftables",
    "prometheus-node-exporter",
    "rsyslog",
    "runc",
    "socat",
    "unattended-upgrades",
)
LATER: Final = ("etcd-client", "etcd-server")
"""What the pool also has from the next release of Debian, so that there is something to upgrade to."""

NEXT_SUITE: Final[Mapping[str, str]] = {"bookworm": "trixie", "trixie": "forky"}

MASKED: Final = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "systemd-firstboot.service",
    "systemd-pcrphase.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
)
"""What a host of a lab has no use for; without it, it boots in two seconds."""

ENABLED: Final = ("cron.service", "ssh.service", "systemd-networkd.service")

FILES: Final[Mapping[str, str]] = {
    "etc/apt/sources.list.d/tarmak.sources": f"Types: deb\nURIs: file:{PACKAGES}\nSuites: ./\nTrusted: yes\n",
    # What is merely recommended is in no pool, and a run shall do the same on each host.
    "etc/apt/apt.conf.d/90tarmak": 'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n',
    "etc/resolv.conf": "# Names are those of /etc/hosts; nobody else can be asked.\n",
    "etc/fstab": "",
    "etc/machine-id": "",
    # sshd answers about names only when it is asked to.
    "etc/ssh/sshd_config.d/50-tarmak.conf": "UseDNS no\n",
    "etc/profile.d/tarmak-lab.sh": "export LANG=C.UTF-8\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an image is made from; its digest names the cached image."""

    suite: str
    architecture: str
    image: tuple[str, ...] = IMAGE
    pool: tuple[str, ...] = POOL
    later: tuple[str, ...] = LATER

    @property
    def next_suite(self) -> str | None:
        """The release after `suite`, from which the later packages come; None if it is not known."""
        return NEXT_SUITE.get(self.suite)

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that stand for all that is in the image."""
        parts = [asdict(self), self.next_suite, MASKED, ENABLED, dict(FILES)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
