"""A cluster's network: one bridge, which is the machine's own foot in it, and no way out.

The bridge's alias says whose it is. It is made with the cluster's first host and goes with its last one.
"""

import contextlib
import json
from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, Final

from orchestrator.infrastructure.local.errors import LocalError
from orchestrator.infrastructure.local.places import ClusterPlaces, HostPlaces
from orchestrator.infrastructure.local.programs import run

FORWARDING: Final = "/proc/sys/net/ipv4/conf/{bridge}/forwarding"
IPV6_OFF: Final = "/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6"


def ensure_bridge(cluster: ClusterPlaces, address: IPv4Interface) -> None:
    """Have the cluster's bridge there and up, with the machine's own address in the hosts' network."""
    links = _links()
    own = next((link for link in links if link["ifname"] == cluster.bridge), None)
    if own is not None and not _is_own(cluster, own):
        raise _foreign(cluster, own)
    _refuse_overlap(cluster, address.network, links)
    if own is None:
        run("ip", "link", "add", "name", cluster.bridge, "type", "bridge")
    run("ip", "link", "set", cluster.bridge, "alias", cluster.owner)
    _close_way_out(cluster.bridge)
    run("ip", "address", "replace", str(address), "dev", cluster.bridge)
    run("ip", "link", "set", cluster.bridge, "up")


def remove_bridge(cluster: ClusterPlaces) -> None:
    """Have the cluster's bridge gone, if it is there and is the cluster's."""
    if any(link["ifname"] == cluster.bridge and _is_own(cluster, link) for link in _links()):
        run("ip", "link", "delete", cluster.bridge)


def plug(host: HostPlaces) -> None:
    """Have a running host's cable in the bridge, also when the bridge was lost and made anew."""
    if not Path(f"/sys/class/net/{host.port}/master").exists():
        run("ip", "link", "set", host.port, "master", host.cluster.bridge, "up")


def remove_port(port: str) -> None:
    """Have a host's cable gone; it goes by itself, but only some time after the host."""
    if Path(f"/sys/class/net/{port}").exists():
        # It may be gone between the look and the deed.
        with contextlib.suppress(LocalError):
            run("ip", "link", "delete", port)


def _links() -> Sequence[dict[str, Any]]:
    found = json.loads(run("ip", "-json", "-details", "address", "show") or "[]")
    return [link for link in found if "ifname" in link]


def _is_own(cluster: ClusterPlaces, link: dict[str, Any]) -> bool:
    """Whether it is the cluster's: a bridge of its name without an alias was left half made by a crash."""
    is_bridge = link.get("linkinfo", {}).get("info_kind") == "bridge"
    return is_bridge and str(link.get("ifalias", cluster.owner)) == cluster.owner


def _foreign(cluster: ClusterPlaces, link: dict[str, Any]) -> LocalError:
    return LocalError(
        what=f"the network device {cluster.bridge} is not this cluster's",
        why=f"its alias is {link.get('ifalias')!r} instead of {cluster.owner!r}",
        action=f"if nobody needs it, remove it: ip link delete {cluster.bridge}",
    )


def _refuse_overlap(cluster: ClusterPlaces, network: IPv4Network, links: Sequence[dict[str, Any]]) -> None:
    for link in links:
        for entry in link.get("addr_info", ()):
            if entry["family"] != "inet" or link["ifname"] == cluster.bridge:
                continue
            other = IPv4Interface(f"{entry['local']}/{entry['prefixlen']}").network
            if other.overlaps(network):
                raise LocalError(
                    what=f"the network {network} is in use on this machine",
                    why=f"{link['ifname']} has {entry['local']}/{entry['prefixlen']}",
                    action="give the cluster another network within 198.18.0.0/15, or end the other one",
                )


def _close_way_out(bridge: str) -> None:
    """Whatever this machine forwards for others, it forwards nothing that comes from a host."""
    Path(FORWARDING.format(bridge=bridge)).write_text("0", encoding="utf-8")
    ipv6 = Path(IPV6_OFF.format(bridge=bridge))
    if ipv6.exists():
        ipv6.write_text("1", encoding="utf-8")
