"""Hosts on this very machine, declared through Terraform's built-in `terraform_data`: no plugin, no cloud.

Two resources stand for an instance. `host` is its identity: ending it ends the machine and its disk. `up` has
it made and started, which may be done again at any time. A single resource would be tainted by an `up` that
fails or is interrupted, and Terraform would replace the machine with whatever is on its disk.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.errors import InfrastructureError
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.instances import Instance
from orchestrator.infrastructure.places import Home
from orchestrator.infrastructure.providers.port import FIRST_WITH_DATA, Table, literal

PROGRAM: Final = (sys.executable, "-P", "-m", "orchestrator.infrastructure.local")
VARIABLE: Final = "TARMAK_HOST"
UP: Final = "terraform_data.up"
MADE_FROM: Final = ("cluster", "name", "role", "address", "gateway", "home", "size")
"""What makes another host of it; the rest may change around one that stays."""
OUTPUT: Final = (
    "${[for one in terraform_data.host : {name = one.output.name, role = one.output.role,"
    ' pool = one.output.pool, address = split("/", one.output.address)[0],'
    ' user = "root", port = 22, host_key = null}]}'
)


class Local:
    """`program` makes, ends and looks at the one host that its environment describes."""

    renewable = frozenset({UP})
    makes = True

    def __init__(self, program: Sequence[str] = PROGRAM) -> None:
        self._program = program

    def terraform(
        self, cluster: Cluster, instances: Sequence[Instance], home: Home, *, authorized_key: str
    ) -> Table:
        """Return a `host` and an `up` for each instance."""
        hosts = {one.name: literal(_description(cluster, one, home)) for one in instances}
        return {
            "terraform": {"required_version": FIRST_WITH_DATA},
            "locals": {
                "instances": hosts,
                "names": [[one.address, one.name] for one in instances],
                "authorized_keys": [literal(authorized_key)],
            },
            "resource": {"terraform_data": {"host": self._host(), "up": self._up()}},
            "output": {"hosts": {"value": OUTPUT}},
        }

    def completed(self, hosts: Sequence[Host], home: Home) -> tuple[Host, ...]:
        """Return the hosts with the keys that were made when they were."""
        return tuple(replace(host, host_key=_host_key(host, home)) for host in hosts)

    def stopped(self, hosts: Sequence[Host], home: Home) -> tuple[str, ...]:
        """Return the `up` of each host that does not run, as after this machine was rebooted."""
        if not hosts:
            return ()
        running = {each["name"] for each in self._statuses(home) if each.get("state") == "running"}
        return tuple(f'{UP}["{host.name}"]' for host in hosts if host.name not in running)

    def identity(self, cluster: Cluster, home: Home) -> Path:  # noqa: ARG002 - others ask the description
        """Return the cluster's own key."""
        return home.key

    def jump(self, cluster: Cluster) -> bool:  # noqa: ARG002 - others ask the description
        """Return False: this machine is in the hosts' network."""
        return False

    def _host(self) -> Table:
        return {
            "for_each": "${local.instances}",
            "input": "${each.value}",
            "triggers_replace": [f"${{each.value.{key}}}" for key in MADE_FROM],
            "provisioner": [self._provisioner("down", "${jsonencode(self.output)}", when="destroy")],
        }

    def _up(self) -> Table:
        others = "{hosts = local.names, authorized_keys = local.authorized_keys}"
        described = f"${{jsonencode(merge(terraform_data.host[each.key].output, {others}))}}"
        return {
            "for_each": "${local.instances}",
            # The names of all: each host has to resolve those that come later.
            "triggers_replace": ["${terraform_data.host[each.key].id}", "${local.names}"],
            "provisioner": [self._provisioner("up", described)],
        }

    def _provisioner(self, word: str, described: str, **more: str) -> Table:
        # `exec`, so that an end to the command is an end to the program, and not to a shell before it.
        command = literal(f"exec {shlex.join((*self._program, word))}")
        return {"local-exec": {"command": command, "environment": {VARIABLE: described}, **more}}

    def _statuses(self, home: Home) -> Sequence[Any]:
        words = (*self._program, "status", "--home", str(home.path))
        try:
            ran = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError as error:
            raise InfrastructureError(
                what=f"{self._program[0]} can't be started: {error.strerror}"
            ) from error
        if ran.returncode:
            said = ran.stderr.strip().splitlines() or ["it said nothing"]
            raise InfrastructureError(
                what="what runs of the hosts can't be told", why=said[0], action=" ".join(said[1:])
            )
        return [json.loads(line) for line in ran.stdout.splitlines() if line.strip()]


def _description(cluster: Cluster, one: Instance, home: Home) -> dict[str, Any]:
    network = cluster.network
    if network is None:
        raise AssertionError("a description without a network is refused when it is read")
    return {
        "cluster": cluster.name,
        "name": one.name,
        "role": one.role.value,
        "pool": one.pool,
        "address": f"{one.address}/{network.cidr.prefixlen}",
        "gateway": str(network.gateway),
        "home": str(home.path),
        "size": one.size or "medium",
        "labels": dict(one.labels),
    }


def _host_key(host: Host, home: Home) -> str | None:
    try:
        words = (home.path / "hosts" / host.name / "host_key.pub").read_text(encoding="utf-8").split()
    except OSError:
        return None
    return " ".join(words[:2])
