"""What can be done with a cluster: plan, apply, destroy, and look at what is there.

A plan is saved together with the description that it is for, and only that is applied. The description of
the last apply stays in the cluster's directory: an end to the cluster needs no file of the operator's.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from orchestrator.infrastructure.changes import Changes, InstanceChange, read, unconfirmed
from orchestrator.infrastructure.cluster import Cluster, InstanceRole
from orchestrator.infrastructure.errors import InfrastructureError, RefusedError
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.instances import Instance, instances
from orchestrator.infrastructure.places import OURS, Home
from orchestrator.infrastructure.providers.port import Provider
from orchestrator.infrastructure.ssh_files import close_connections, ensure_key, write_files
from orchestrator.infrastructure.state import State, addresses_in, roles_in
from orchestrator.infrastructure.terraform import Terraform
from orchestrator.infrastructure.troubles import stale
from orchestrator.nearest import nearest
from puppet_bridge.atomic import write_whole

HOST: Final = 'terraform_data.host["{name}"]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A cluster in its directory, with what works on it."""

    home: Home
    cluster: Cluster
    terraform: Terraform
    provider: Provider

    def plan(self, *, replace: Sequence[str] = ()) -> Changes:
        """Save what would make the machines as they are described, and return what that would change.

        `replace` names instances to be made anew in any case.
        """
        state = self.terraform.state()
        self._refuse_other_provider(state)
        described = instances(self.cluster, addresses_in(state))
        self._check_names(replace, described)
        self._write_main(described)
        self.terraform.init()
        again = self.provider.stopped(self.provider.completed(state.hosts, self.home), self.home)
        renewed = [*(HOST.format(name=name) for name in replace), *again]
        self.terraform.plan(self.home.plan, replace=renewed)
        write_whole(self.home.planned, self.cluster.to_json().encode(), mode=0o600)
        return self._changes(self.home.plan, {one.name: one.role for one in described})

    def saved(self) -> Changes:
        """Return what the saved plan would change; PlanStaleError if the description has changed since."""
        try:
            planned = self.home.planned.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise stale("there is none: none was made, or it was applied") from None
        if planned != self.cluster.to_json() or not self.home.plan.exists():
            raise stale("the description has changed since it was made")
        roles = {one.name: one.role for one in instances(self.cluster, {})}
        return self._changes(self.home.plan, roles)

    def check(self, changes: Changes, *, confirmed: Sequence[str] = (), saved: Sequence[str] = ()) -> None:
        """Return if a plan loses nothing that was not given up; RefusedError else."""
        refuse_losses(changes, confirmed)
        refuse_a_lost_bastion(changes, (*confirmed, *saved))

    def apply(
        self, changes: Changes, *, confirmed: Sequence[str] = (), saved: Sequence[str] = ()
    ) -> tuple[Host, ...]:
        """Do exactly what was planned, and return the hosts; RefusedError if state would be lost unasked.

        A bastion that is among the `saved` has a backup from which it is made anew.
        """
        self.check(changes, confirmed=confirmed, saved=saved)
        write_whole(self.home.applied, self.cluster.to_json().encode(), mode=0o600)
        close_connections(self.home, at_once=False)
        self.terraform.apply(self.home.plan)
        self.home.plan.unlink()
        self.home.planned.unlink()
        return self.hosts_written()

    def bastions(self) -> tuple[str, ...]:
        """Return the names of the described bastions, of which there is one."""
        pools = (pool for pool in self.cluster.pools if pool.role is InstanceRole.BASTION)
        return tuple(name for pool in pools for name in pool.names())

    def hosts(self) -> tuple[Host, ...]:
        """Return the hosts that there are."""
        return self.provider.completed(self.terraform.state().hosts, self.home)

    def hosts_written(self) -> tuple[Host, ...]:
        """Return the hosts that there are, and write how they are reached."""
        hosts = self.hosts()
        identity = self.provider.identity(self.cluster, self.home)
        write_files(self.home, hosts, identity=identity, jump=self.provider.jump(self.cluster))
        return hosts

    def plan_end(self) -> Changes:
        """Save what would end every machine, and return what that would change."""
        state = self.terraform.state()
        self._write_main(instances(self.cluster, addresses_in(state)))
        self.terraform.init()
        self.terraform.plan(self.home.destroy_plan, destroy=True)
        return self._changes(self.home.destroy_plan, roles_in(state))

    def end(self, changes: Changes, *, confirmed: Sequence[str] = ()) -> None:
        """End every machine as planned, and leave nothing of the cluster; RefusedError as for `apply`."""
        refuse_losses(changes, confirmed)
        close_connections(self.home, at_once=True)
        self.terraform.apply(self.home.destroy_plan, doing="destroy")
        for name in OURS:
            left = self.home.path / name
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)
        if not any(self.home.path.iterdir()):
            self.home.path.rmdir()

    def _changes(self, plan: Path, roles: Mapping[str, str]) -> Changes:
        table = self.terraform.planned(plan)
        return read(table, roles=roles, renewable=self.provider.renewable)

    def _write_main(self, described: Sequence[Instance]) -> None:
        key = ensure_key(self.home, self.cluster.name)
        table = self.provider.terraform(self.cluster, described, self.home, authorized_key=key)
        write_whole(self.home.main, (json.dumps(table, indent=2) + "\n").encode(), mode=0o600)

    def _refuse_other_provider(self, state: State) -> None:
        if not state.resources or not self.home.applied.exists():
            return
        applied = applied_in(self.home)
        if applied.provider.kind != self.cluster.provider.kind:
            raise RefusedError(
                what=f"{self.cluster.name} was made by the provider {applied.provider.kind}, and"
                f" {self.cluster.provider.kind} is described now",
                why="one can't end another's machines",
                action="destroy it first, or give the new cluster a name of its own",
            )

    def _check_names(self, names: Sequence[str], described: Sequence[Instance]) -> None:
        known = [one.name for one in described]
        for name in names:
            if name not in known:
                raise InfrastructureError(what=f"there is no instance {name}", why=nearest(name, known))


def applied_in(home: Home) -> Cluster:
    """Return the description that was last applied; InfrastructureError if none was."""
    try:
        return Cluster.model_validate_json(home.applied.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise InfrastructureError(
            what=f"{home.applied} can't be read",
            why="it holds the description that was last applied",
            action="apply the cluster's own description again: it is written anew",
        ) from error
    except FileNotFoundError:
        raise InfrastructureError(
            what=f"there is no cluster in {home.path}",
            why="none was applied there",
            action="see `tarmak cluster list`; `tarmak cluster apply` makes one",
        ) from None


def homes(root: Path) -> tuple[Home, ...]:
    """Return the directories of the clusters that were applied, by name."""
    if not root.is_dir():
        return ()
    return tuple(home for path in sorted(root.iterdir()) if (home := Home(path)).applied.exists())


def refuse_losses(changes: Changes, confirmed: Sequence[str]) -> None:
    """Refuse to lose what an instance alone has unless each such instance was named."""
    lost = unconfirmed(changes, confirmed)
    if lost:
        raise RefusedError(
            what=f"this would lose what is on {_named(lost)}",
            why="an instance of etcd or vault holds what exists nowhere else",
            action="; ".join(f"--destroy-stateful {change.instance}" for change in lost)
            + " says that it is meant",
        )


def refuse_a_lost_bastion(changes: Changes, named: Sequence[str]) -> None:
    """Refuse to make a bastion anew while others stay, unless it was named or there is a backup of it."""
    lost = [one for one in changes.ended() if one.role == InstanceRole.BASTION and one.instance not in named]
    if lost:
        name = lost[0].instance
        raise RefusedError(
            what=f"this would lose the cluster's authority and journal, which are on {name}",
            why="wings believe no other authority, so every one of them would have to join anew by hand",
            action="`tarmak cluster backup` first, then --restore-bastion FILE;"
            f" or --destroy-stateful {name} says that it is meant",
        )


def _named(lost: Sequence[InstanceChange]) -> str:
    return ", ".join(f"{change.instance} ({change.role}, {change.action.value})" for change in lost)
