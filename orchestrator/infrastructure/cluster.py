"""A cluster as its operator describes it; `cluster_file.py` reads it from YAML.

A mistyped key must not become a silent default, so each mapping refuses what it doesn't know and names what
it does. What spans several keys is checked here as well, so that there is no cluster that can't be made.
"""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from broker import ids
from broker.errors import InvalidIdError
from orchestrator.nearest import nearest

LOCAL_RANGE: Final = IPv4Network("198.18.0.0/15")
"""RFC 2544's network for tests: no site routes it, so hosts on one machine can't shadow real ones."""
SIZES: Final = ("small", "medium", "large")
MOST: Final = 1000
RESERVED: Final = 10
"""Of a network's addresses the first ones are kept free: the gateway's, and what an operator adds by hand."""
_HOST_KEY: Final = re.compile(r"((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+) ([A-Za-z0-9+/]+=*)( .*)?")
_ADDRESS: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?")
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


class InstanceRole(StrEnum):
    """What an instance is for."""

    BASTION = "bastion"
    VAULT = "vault"
    ETCD = "etcd"
    MASTER = "master"
    WORKER = "worker"


STATEFUL: Final = frozenset({InstanceRole.ETCD, InstanceRole.VAULT})
"""Their disks hold what exists nowhere else."""


def wrong(reason: str, *at: str | int) -> NoReturn:
    """Refuse a value; `at` is the path to what is wrong, from the value that is checked."""
    raise PydanticCustomError("tarmak", "{reason}", {"reason": reason, "at": list(at)})


def _name(text: str) -> str:
    try:
        ids.instance_id(text)
    except InvalidIdError:
        wrong(f"{text!r} is no name: lower-case letters, digits and inner hyphens, at most 63")
    return text


def _form(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        return text if pattern.fullmatch(text) else wrong(f"{text!r} is no {what}")

    return AfterValidator(check)


def _host_key(text: str) -> str:
    found = _HOST_KEY.fullmatch(text)
    try:
        known = found is not None and base64.b64decode(found[2], validate=True)
    except binascii.Error:
        known = False
    if not (found and known):
        wrong("it is no public host key; `ssh-keyscan -t ed25519 ADDRESS` shows it as `ssh-ed25519 AAAA…`")
    return f"{found[1]} {found[2]}"


Name = Annotated[str, AfterValidator(_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, table: Any) -> Any:
        for key in table if isinstance(table, dict) else ():
            if key not in cls.model_fields:
                wrong(f"no such key; {nearest(key, cls.model_fields)}", key)
        return table


class Network(_Strict):
    """The cluster's own network: each instance's address is taken from it."""

    cidr: IPv4Network

    @property
    def gateway(self) -> IPv4Address:
        """The network's first address."""
        return self.cidr[1]

    def addresses(self) -> Iterator[IPv4Address]:
        """Return what instances may be given, lowest first."""
        return (self.cidr[place] for place in range(RESERVED, self.cidr.num_addresses - 1))


class LocalProvider(_Strict):
    """Hosts made on this very machine, with systemd, network and disk of their own."""

    kind: Literal["local"]


class StaticProvider(_Strict):
    """Hosts that exist. `identity` is the private key to reach them with; `jump`: by way of the bastion."""

    kind: Literal["static"]
    identity: Path | None = None
    jump: StrictBool = False


class StaticHost(_Strict):
    """A host that exists: where and as whom it is reached over SSH, and the key by which it is known."""

    name: Name
    address: Annotated[str, _form(_ADDRESS, "name or address of a host")]
    user: Annotated[str, _form(_USER, "name of a user")] = "root"
    port: Annotated[int, Field(strict=True, gt=0, lt=65536)] = 22
    host_key: Annotated[str, AfterValidator(_host_key)]


class Pool(_Strict):
    """Instances made alike. The role is the pool's name if that is one; `hosts` are for static alone."""

    name: Name
    role: InstanceRole
    count: Annotated[int, Field(strict=True, ge=0, le=MOST)] | None = None
    size: Literal["small", "medium", "large"] | None = None
    labels: dict[Name, str] = {}
    hosts: tuple[StaticHost, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _role_of_its_name(cls, table: Any) -> Any:
        if isinstance(table, dict) and "role" not in table and table.get("name") in set(InstanceRole):
            return {**table, "role": table["name"]}
        return table

    def names(self) -> tuple[str, ...]:
        """Return its instances' names."""
        if self.hosts is not None:
            return tuple(host.name for host in self.hosts)
        count = 1 if self.count is None else self.count
        return tuple(f"{self.name}-{number}" for number in range(1, count + 1))


class Cluster(_Strict):
    """All of a cluster's machines. `bundle` is a source tree or a digest, `versions` are for its bundle."""

    name: Annotated[str, AfterValidator(_name)]
    provider: Annotated[LocalProvider | StaticProvider, Field(discriminator="kind")]
    network: Network | None = None
    pools: Annotated[tuple[Pool, ...], Field(min_length=1)]
    versions: dict[Name, str] = {}
    bundle: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Cluster":
        for place, pool in enumerate(self.pools):
            self._check_pool(place, pool)
        self._check_names()
        self._check_bastion()
        match self.provider:
            case LocalProvider():
                self._check_network()
            case StaticProvider():
                self._check_addresses()
        return self

    def warnings(self) -> tuple[str, ...]:
        """Return what can be made, and is hardly meant."""
        etcd = self.count(InstanceRole.ETCD)
        if etcd and etcd % 2 == 0:
            lost = f"{etcd} instances of etcd outlive no more losses than {etcd - 1}"
            return (f"{lost}: make it an odd number",)
        return ()

    def to_json(self) -> str:
        """Return what was described, as JSON that is read back as it is: what was left out stays so."""
        return self.model_dump_json(exclude_unset=True)

    def count(self, role: InstanceRole) -> int:
        """Return how many instances of a role there are."""
        return sum(len(pool.names()) for pool in self.pools if pool.role is role)

    def digest(self) -> str | None:
        """Return the bundle's digest if that is what the description names."""
        return self.bundle if self.bundle and ids.SHA256.fullmatch(self.bundle) else None

    def source(self) -> Path | None:
        """Return the bundle's source tree if that is what the description names."""
        return Path(self.bundle) if self.bundle and self.digest() is None else None

    def _check_pool(self, place: int, pool: Pool) -> None:
        static = self.provider.kind == "static"
        if static and pool.hosts is None:
            wrong("the hosts that make up the pool are missing", "pools", place, "hosts")
        foreign = {"count", "size"} if static else {"hosts"}
        for key in sorted(foreign & pool.model_fields_set):
            wrong(f"the provider {self.provider.kind} has no such key for a pool", "pools", place, key)

    def _check_names(self) -> None:
        pools = Counter(pool.name for pool in self.pools)
        instances = Counter(name for pool in self.pools for name in pool.names())
        for place, pool in enumerate(self.pools):
            if pools[pool.name] > 1:
                wrong(f"there are {pools[pool.name]} pools named {pool.name}", "pools", place, "name")
            for name in pool.names():
                if instances[name] > 1:
                    wrong(f"{instances[name]} instances would be named {name}", "pools", place, "name")
                if ids.LABEL.fullmatch(name) is None:
                    wrong(f"the instance's name {name} would be too long", "pools", place, "name")

    def _check_bastion(self) -> None:
        count = self.count(InstanceRole.BASTION)
        if count != 1:
            wrong(f"exactly one instance must be a bastion, and {count} are", "pools")

    def _check_network(self) -> None:
        if self.network is None:
            wrong("it is missing; the provider local needs a cidr within 198.18.0.0/15", "network")
        cidr, count = self.network.cidr, sum(len(pool.names()) for pool in self.pools)
        if not cidr.subnet_of(LOCAL_RANGE):
            wrong(f"{cidr} is not within {LOCAL_RANGE}, which no site routes", "network", "cidr")
        room = max(0, cidr.num_addresses - 1 - RESERVED)
        if count > room:
            wrong(f"{cidr} has room for {room} instances, and there are {count}", "network", "cidr")

    def _check_addresses(self) -> None:
        seen: dict[tuple[str, int], str] = {}
        for place, pool in enumerate(self.pools):
            for number, host in enumerate(pool.hosts or ()):
                at = ("pools", place, "hosts", number, "address")
                other = seen.setdefault((host.address, host.port), host.name)
                if other != host.name:
                    wrong(f"{host.address} port {host.port} is {other}'s already", *at)
                if self.network and not _within(self.network.cidr, host.address):
                    wrong(f"{host.address} is not within the network {self.network.cidr}", *at)


def _within(network: IPv4Network, address: str) -> bool:
    try:
        return IPv4Address(address) in network
    except ValueError:  # a name: where it leads is not known here
        return True
