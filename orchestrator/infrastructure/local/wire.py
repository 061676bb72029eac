"""What is wrong with a cluster's network on purpose: hosts that hear each other late, in part, or not at all.

A packet between hosts passes the bridge, and there it is dropped, so that a host neither notices who did
it nor can undo it, and a boot heals nothing. The machine itself reaches every host at any time: who looks at
a torn cluster shall see both halves. The file is the truth; the rules are written from it as a whole.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from orchestrator.infrastructure.local.errors import LocalError, UnsupportedError
from orchestrator.infrastructure.local.locks import locked
from orchestrator.infrastructure.local.places import ClusterPlaces, HostPlaces
from orchestrator.infrastructure.local.programs import FAULTS, demand, run
from puppet_bridge.atomic import write_whole

PER_CENT: Final = 100
LONGEST_DELAY_MS: Final = 60_000
RESOLUTION: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Pairs of hosts that don't hear each other, and by host the packets lost (%) and the delay (ms)."""

    cuts: frozenset[frozenset[str]] = frozenset()
    loss: Mapping[str, float] = field(default_factory=dict)
    delay: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as text."""
        cuts = sorted(sorted(pair) for pair in self.cuts)
        return json.dumps({"cuts": cuts, "loss": dict(self.loss), "delay": dict(self.delay)}, indent=2)

    def without(self, name: str) -> "Faults":
        """Return what is left when a host is gone."""
        return Faults(
            cuts=frozenset(pair for pair in self.cuts if name not in pair),
            loss={host: value for host, value in self.loss.items() if host != name},
            delay={host: value for host, value in self.delay.items() if host != name},
        )


def read(cluster: ClusterPlaces) -> Faults:
    """Return what is wrong now."""
    if not cluster.faults.exists():
        return Faults()
    table = json.loads(cluster.faults.read_text(encoding="utf-8"))
    cuts = frozenset(frozenset(pair) for pair in table["cuts"])
    return Faults(cuts=cuts, loss=table["loss"], delay=table["delay"])


def partition(cluster: ClusterPlaces, group: tuple[str, ...], others: tuple[str, ...] = ()) -> None:
    """Have no host of `group` and none of `others` (if empty: of all the rest) hear each other."""
    known = _known(cluster, (*group, *others))
    rest = others or tuple(name for name in known if name not in group)
    if not group or not rest or set(group) & set(rest):
        raise LocalError(
            what=f"{', '.join(group) or 'nobody'} can't be parted from {', '.join(rest) or 'nobody'}",
            why="two groups are needed that share no host",
            action="name the hosts of one side, and with --from those of the other",
        )
    cuts = frozenset(frozenset((one, other)) for one in group for other in rest)
    with locked(cluster.hosts):
        faults = read(cluster)
        _write(cluster, replace(faults, cuts=faults.cuts | cuts))


def lose(cluster: ClusterPlaces, name: str, per_cent: float) -> None:
    """Have so many of a host's packets, from and to other hosts, get lost; 0 ends it."""
    _known(cluster, (name,))
    if not 0 <= per_cent <= PER_CENT:
        raise LocalError(what=f"{per_cent:g} % of the packets can't be lost", action="say 0 to 100")
    with locked(cluster.hosts):
        faults = read(cluster)
        kept = {host: value for host, value in faults.loss.items() if host != name}
        _write(cluster, replace(faults, loss=kept | ({name: per_cent} if per_cent else {})))


def delay(cluster: ClusterPlaces, name: str, milliseconds: int) -> None:
    """Have whatever is sent to a host arrive so much later; 0 ends it. UnsupportedError without netem."""
    _known(cluster, (name,))
    if not 0 <= milliseconds <= LONGEST_DELAY_MS:
        raise LocalError(what=f"{milliseconds} ms is no delay", action=f"say 0 to {LONGEST_DELAY_MS}")
    with locked(cluster.hosts):
        faults = read(cluster)
        _set_delay(cluster.host(name), milliseconds)
        kept = {host: value for host, value in faults.delay.items() if host != name}
        _write(cluster, replace(faults, delay=kept | ({name: milliseconds} if milliseconds else {})))


def heal(cluster: ClusterPlaces) -> None:
    """Have the whole network as it should be."""
    with locked(cluster.hosts):
        for name in read(cluster).delay:
            _set_delay(cluster.host(name), 0)
        _write(cluster, Faults())


def plugged(host: HostPlaces) -> None:
    """Bring a delay back, which a host's new cable does not have."""
    if milliseconds := read(host.cluster).delay.get(host.name):
        _set_delay(host, milliseconds)


def forget(host: HostPlaces) -> None:
    """Forget what was wrong with a host that is gone; whoever calls holds the directory of all hosts."""
    if host.cluster.faults.exists():
        _write(host.cluster, read(host.cluster).without(host.name))


def rules(cluster: ClusterPlaces, faults: Faults) -> str:
    """Return nftables' rules for all of it, which replace those that were there, in one transaction."""
    table = f"table bridge {cluster.bridge}"
    lines = [f"{table} {{}}", f"delete {table}"]
    if faults.cuts or faults.loss:
        lines += [f"{table} {{", "chain faults {", "type filter hook forward priority 0; policy accept;"]
        for one, other in sorted(sorted(pair) for pair in faults.cuts):
            lines += [_drop(cluster, one, other), _drop(cluster, other, one)]
        for name, per_cent in sorted(faults.loss.items()):
            share = round(per_cent * RESOLUTION / PER_CENT)
            # nftables refuses a comparison that is always true.
            lost = f"numgen random mod {RESOLUTION} < {share} drop" if share < RESOLUTION else "drop"
            port = cluster.host(name).port
            lines += [f'iifname "{port}" {lost}', f'oifname "{port}" {lost}']
        lines += ["}", "}"]
    return "\n".join(lines) + "\n"


def _drop(cluster: ClusterPlaces, sender: str, receiver: str) -> str:
    return f'iifname "{cluster.host(sender).port}" oifname "{cluster.host(receiver).port}" drop'


def _write(cluster: ClusterPlaces, faults: Faults) -> None:
    demand(FAULTS)
    write_whole(cluster.faults, faults.to_json().encode())
    run("nft", "-f", "-", given=rules(cluster, faults))


def _set_delay(host: HostPlaces, milliseconds: int) -> None:
    demand(FAULTS)
    device = ("dev", host.port, "root")
    with suppress(LocalError):  # there is none to be deleted
        run("tc", "qdisc", "delete", *device)
    if not milliseconds:
        return
    try:
        run("tc", "qdisc", "add", *device, "netem", "delay", f"{milliseconds}ms")
    except LocalError as error:
        raise UnsupportedError(
            what="this kernel can't delay packets",
            why=f"it has no netem (CONFIG_NET_SCH_NETEM): {error.why}",
            action="use a kernel that has it, or loss instead of delay",
        ) from error


def _known(cluster: ClusterPlaces, names: tuple[str, ...]) -> tuple[str, ...]:
    known = cluster.names()
    for name in names:
        if name not in known:
            raise LocalError(
                what=f"there is no host {name}",
                why=f"in {cluster.home} there are: {', '.join(known) or 'none'}",
                action="name one of them",
            )
    return known
