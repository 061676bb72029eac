"""What Terraform has recorded of a cluster, read from its JSON (`show -json`).

A provider's part of the interface is the output `hosts`. It is not written by an apply that failed, so the
instances in `terraform_data.host` are looked at as well: what was made before the failure counts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.infrastructure.hosts import Host

HOST = ("terraform_data", "host")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The hosts of the last apply that succeeded, what each instance was made from, and how much there is."""

    hosts: tuple[Host, ...] = ()
    made: tuple[Mapping[str, Any], ...] = ()
    resources: int = 0

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "State":
        """Return what `show -json` says of a state; an empty one if there is none yet."""
        values = table.get("values") or {}
        output = values.get("outputs", {}).get("hosts", {}).get("value") or ()
        resources = list(_resources(values.get("root_module", {})))
        return cls(
            hosts=tuple(_host(each) for each in output if each is not None),
            made=tuple(
                each["values"]["input"]
                for each in resources
                if (each["type"], each["name"]) == HOST and isinstance(each["values"].get("input"), dict)
            ),
            resources=len(resources),
        )


def roles_in(state: State) -> dict[str, str]:
    """Return the role that each instance was made with, by its name."""
    made = {each["name"]: each["role"] for each in state.made if "name" in each and "role" in each}
    return {host.name: host.role for host in state.hosts} | made


def addresses_in(state: State) -> dict[str, str]:
    """Return the address that each instance was made with, by its name."""
    made = {
        each["name"]: str(each["address"]).partition("/")[0]
        for each in state.made
        if "name" in each and "address" in each
    }
    return {host.name: host.address for host in state.hosts} | made


def _resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (each for each in module.get("resources", ()) if each.get("mode") == "managed")
    for child in module.get("child_modules", ()):
        yield from _resources(child)


def _host(table: Mapping[str, Any]) -> Host:
    return Host(
        name=table["name"],
        role=table["role"],
        pool=table["pool"],
        address=table["address"],
        user=table.get("user") or "root",
        port=int(table.get("port") or 22),
        host_key=table.get("host_key"),
    )
