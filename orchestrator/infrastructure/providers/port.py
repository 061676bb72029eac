"""What a provider is asked for: its part of Terraform's configuration, and what only it knows of hosts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.instances import Instance
from orchestrator.infrastructure.places import Home

Table = Mapping[str, Any]
FIRST_WITH_DATA: Final = ">= 1.4"
"""Terraform has `terraform_data` from there on; OpenTofu has always had it."""


class Provider(Protocol):
    """Makes machines through Terraform.

    `renewable` names the resources (TYPE.NAME) that can be ended and made again without harm to their
    instance; the end of any other one that is indexed by an instance's name is that instance's end. `makes`
    says that the machines are made and ended, where others only record them.
    """

    renewable: frozenset[str]
    makes: bool

    def terraform(
        self, cluster: Cluster, instances: Sequence[Instance], home: Home, *, authorized_key: str
    ) -> Table:
        """Return the configuration in Terraform's JSON syntax.

        Whatever belongs to one instance is indexed by its name. The output `hosts` is a list of {name, role,
        pool, address, user, port, host_key}. Text that came from the description goes through `literal`.
        """

    def completed(self, hosts: Sequence[Host], home: Home) -> tuple[Host, ...]:
        """Return the hosts with what is known only once they are there, such as their host keys."""

    def stopped(self, hosts: Sequence[Host], home: Home) -> tuple[str, ...]:
        """Return the addresses of the resources to make again, as what they stand for is not there."""

    def identity(self, cluster: Cluster, home: Home) -> Path:
        """Return the private key by which the hosts let us in."""

    def jump(self, cluster: Cluster) -> bool:
        """Return whether all others are reached by way of the bastion."""


def literal(value: Any) -> Any:
    """Return a value as Terraform reads it back: what looks like a template is escaped."""
    match value:
        case str():
            return value.replace("${", "$${").replace("%{", "%%{")
        case dict():
            return {literal(key): literal(one) for key, one in value.items()}
        case list() | tuple():
            return [literal(one) for one in value]
        case _:
            return value
