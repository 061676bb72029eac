"""The hosts of a cluster: all that is needed to reach one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host that is reached over SSH as `user`."""

    name: str
    address: str
    user: str = "root"
    port: int = 22
