"""One host as Terraform describes it, parsed once from the JSON in `TARMAK_HOST`.

The writer is the provider's Terraform part, so a key more than is read here is no error: what a host is
replaced for may stand beside what it is made from.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any, Final

from orchestrator.infrastructure.local.errors import LocalError

VARIABLE: Final = "TARMAK_HOST"
RANGE: Final = ipaddress.IPv4Network("198.18.0.0/15")
"""RFC 2544's network for tests: no site routes it, so a lab can't shadow a real one."""
DISK_GIB: Final[Mapping[str, int]] = {"small": 4, "medium": 8, "large": 16}
DEFAULT_DISK_GIB: Final = 8
MOST_DISK_GIB: Final = 1024
NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A host to be. `gateway` is the machine's own address in the cluster's network; nothing is routed."""

    cluster: str
    name: str
    role: str
    address: IPv4Interface
    gateway: IPv4Address
    hosts: tuple[tuple[IPv4Address, str], ...]
    home: Path
    authorized_keys: tuple[str, ...]
    disk_gib: int = DEFAULT_DISK_GIB

    def to_json(self) -> str:
        """Return the text that `parse` makes this very description from."""
        return json.dumps(
            {
                "cluster": self.cluster,
                "name": self.name,
                "role": self.role,
                "address": str(self.address),
                "gateway": str(self.gateway),
                "hosts": [[str(address), name] for address, name in self.hosts],
                "home": str(self.home),
                "authorized_keys": list(self.authorized_keys),
                "size": {"disk_gib": self.disk_gib},
            },
            indent=2,
        )


def parse(text: str, *, where: str = VARIABLE) -> Description:
    """Return the host that `text` describes; LocalError names the key that is wrong, and why."""
    try:
        table = json.loads(text)
    except ValueError as error:
        raise _bad(where, "", f"it is not JSON: {error}") from error
    if not isinstance(table, dict):
        raise _bad(where, "", "it is not a JSON object")
    return _Reader(table, where).description()


class _Reader:
    def __init__(self, table: Mapping[str, Any], where: str) -> None:
        self._table = table
        self._where = where

    def description(self) -> Description:
        address = self._address()
        gateway = self._in_network("gateway", self._text("gateway"), address)
        if gateway == address.ip:
            raise self._error("gateway", f"{gateway} is the host's own address")
        return Description(
            cluster=self._name("cluster"),
            name=self._name("name"),
            role=self._name("role"),
            address=address,
            gateway=gateway,
            hosts=self._hosts(address),
            home=self._home(),
            authorized_keys=self._keys(),
            disk_gib=self._disk_gib(),
        )

    def _text(self, key: str) -> str:
        value = self._table.get(key)
        if not isinstance(value, str) or not value:
            raise self._error(key, "it is missing" if key not in self._table else "it is no text")
        return value

    def _name(self, key: str) -> str:
        text = self._text(key)
        if not NAME.fullmatch(text):
            raise self._error(
                key, f"{text!r} is no name: lower-case letters, digits and inner hyphens, at most 63"
            )
        return text

    def _address(self) -> IPv4Interface:
        text = self._text("address")
        try:
            address = IPv4Interface(text)
        except ValueError as error:
            raise self._error(
                "address", f"{text!r} is no address with its network, such as 198.18.4.21/24"
            ) from error
        if not address.network.subnet_of(RANGE):
            raise self._error("address", f"{address.network} is not within {RANGE}")
        return address

    def _in_network(self, key: str, text: str, within: IPv4Interface) -> IPv4Address:
        try:
            address = IPv4Address(text)
        except ValueError as error:
            raise self._error(key, f"{text!r} is no IPv4 address") from error
        if address not in within.network:
            raise self._error(key, f"{address} is not in the host's network {within.network}")
        return address

    def _hosts(self, own: IPv4Interface) -> tuple[tuple[IPv4Address, str], ...]:
        value = self._table.get("hosts", [])
        if not isinstance(value, list):
            raise self._error("hosts", "it is no list of [address, name]")
        return tuple(self._host(index, pair, own) for index, pair in enumerate(value))

    def _host(self, index: int, pair: object, own: IPv4Interface) -> tuple[IPv4Address, str]:
        match pair:
            case [str(address), str(name)] if NAME.fullmatch(name):
                return self._in_network(f"hosts[{index}]", address, own), name
            case _:
                raise self._error(f"hosts[{index}]", f"{pair!r} is not [address, name]")

    def _home(self) -> Path:
        home = Path(self._text("home"))
        if not home.is_absolute():
            raise self._error("home", f"{home} is no absolute path")
        return home

    def _keys(self) -> tuple[str, ...]:
        value = self._table.get("authorized_keys", [])
        if not isinstance(value, list) or not all(isinstance(key, str) and "\n" not in key for key in value):
            raise self._error("authorized_keys", "it is no list of lines as in an authorized_keys file")
        return tuple(value)

    def _disk_gib(self) -> int:
        match self._table.get("size"):
            case None:
                return DEFAULT_DISK_GIB
            case str(size) if size in DISK_GIB:
                return DISK_GIB[size]
            case {"disk_gib": int(gib)} if not isinstance(gib, bool) and 1 <= gib <= MOST_DISK_GIB:
                return gib
            case size:
                sizes = ", ".join(DISK_GIB)
                raise self._error(
                    "size", f'{size!r} is none of {sizes}, and not {{"disk_gib": 1 to {MOST_DISK_GIB}}}'
                )

    def _error(self, key: str, why: str) -> LocalError:
        return _bad(self._where, key, why)


def _bad(where: str, key: str, why: str) -> LocalError:
    return LocalError(
        what=f"{where}: {key}: {why}" if key else f"{where}: {why}",
        action="describe the host as docs/operations/lab.md does",
    )
