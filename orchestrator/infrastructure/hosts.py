"""The hosts of a cluster, as a provider has made or found them: all that is needed to reach one."""

from dataclasses import dataclass
from typing import Final

BASTION: Final = "bastion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host that is reached over SSH as `user`; `host_key` is its public key, as in a known_hosts file."""

    name: str
    role: str
    pool: str
    address: str
    user: str = "root"
    port: int = 22
    host_key: str | None = None
