"""What a look at a Node, an etcd member or Vault means: well, or what is wrong, in words that don't flutter.

Pure. What is said must not change while nothing does (it is told when it changes), so there is no age and no
count of seconds in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from wing.cluster import Signs
from wing.health import Sighting

NODE = "node"
ETCD = "etcd"
VAULT = "vault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of an etcd cluster, and whether it says that it is healthy (None: it was not asked)."""

    id: str
    name: str
    learner: bool
    healthy: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdSeen:
    """What an etcd member (`own`) said: its health with a reason, the members, the alarms."""

    own: str
    healthy: bool
    reason: str
    members: tuple[Member, ...]
    alarms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSeen:
    """What Vault said; a server without high availability leads itself."""

    initialised: bool
    sealed: bool
    led: bool


def judged_node(signs: Signs, since: datetime | None) -> Sighting:
    """Judge a Node: Ready, and alive since `since`, where that is known.

    Ready is what a controller last heard: it stays true for 40 s after a kubelet's death. The Lease is
    renewed by the kubelet itself.
    """
    wrong = []
    if not signs.ready:
        wrong.append(f"not Ready: {signs.reason}")
    if since is not None and (signs.renewed_at is None or signs.renewed_at <= since):
        renewed = "never" if signs.renewed_at is None else f"last at {signs.renewed_at:%H:%M:%S} UTC"
        wrong.append(f"its Lease was renewed {renewed}, not since {since:%H:%M:%S} UTC")
    return seen(NODE, wrong, "Ready")


def judged_etcd(found: EtcdSeen, *, leaving: bool) -> Sighting:
    """Judge an etcd member; with `leaving` the others must keep a quorum without it, and all of them vote."""
    wrong = [] if found.healthy else [f"not healthy: {found.reason}"]
    if all(member.id != found.own for member in found.members):
        wrong.append("not in the list of members")
    wrong += [f"alarm {alarm}" for alarm in found.alarms]
    if leaving:
        wrong += _leaving(found)
    return seen(ETCD, wrong, f"healthy, one of {len(found.members)} members")


def judged_vault(found: VaultSeen) -> Sighting:
    """Judge a Vault server; a sealed one waits for a person, since no machine may hold its keys."""
    wrong = []
    if not found.initialised:
        wrong.append("not initialised")
    elif found.sealed:
        wrong.append("sealed: it waits for a person to unseal it")
    elif not found.led:
        wrong.append("no leader is known")
    return seen(VAULT, wrong, "unsealed, with a leader")


def seen(check: str, wrong: Sequence[str], well: str) -> Sighting:
    """Return what a check saw: `well`, unless something is wrong."""
    return Sighting(check=check, passed=not wrong, saw="; ".join(wrong) or well)


def _leaving(found: EtcdSeen) -> list[str]:
    others = [member for member in found.members if member.id != found.own]
    wrong = [f"{member.name or member.id} is a learner" for member in others if member.learner]
    needed = len([member for member in found.members if not member.learner]) // 2 + 1
    healthy = [member for member in others if member.healthy and not member.learner]
    if len(healthy) < needed:
        ill = ", ".join(member.name or member.id for member in others if not member.healthy)
        lacking = f" (not healthy: {ill})" if ill else ""
        wrong.append(f"without it {len(healthy)} members would be healthy, {needed} are needed{lacking}")
    return wrong
