"""The broker is trusted with delivery only, yet it is the first to say no: these are its orders.

A host that was broken into has a certificate for one instance, so what the broker lets it write must be
that instance's own and nothing else. Rendered from `broker.topics`, the ACL can't drift from the topics in
use; the shipped files in deploy/mosquitto/ are this module's output, and a test holds them to it.

    python -m broker.acl conf > deploy/mosquitto/tarmak.conf
    python -m broker.acl acl > deploy/mosquitto/acl

With `--cluster` and `--orchestrator` (each as often as needed) it renders those of another site.

Written for Mosquitto 2.0. The certificate's common name becomes the username, and the username the client id:
two connections with one certificate take each other's place instead of both being heard. Mosquitto warns of
the one pattern without `%u`, which is meant: it is how every wing may read what its role is told.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from broker import ids
from broker.ids import ClusterName, OrchestratorName
from broker.messages import MAX_MESSAGE
from broker.topics import ANY, PREFIX, Channel, Topics

NOTICE: Final = "# Rendered by broker/acl.py: render it again instead of editing it."
IDENTITY: Final = "%u"
MAX_HEADERS: Final = 8 * 1024
MAX_QUEUED_MESSAGES: Final = 100_000
MAX_QUEUED_BYTES: Final = 256 * 1024 * 1024
MAX_INFLIGHT_MESSAGES: Final = 1_000
AUTOSAVE_S: Final = 30

SHIPPED_CLUSTER: Final = ClusterName("main")
SHIPPED_ORCHESTRATOR: Final = OrchestratorName("orchestrator_1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerConfig:
    """One Mosquitto: where it listens, and where its files are.

    `ca` has signed every certificate that may connect. `user` is whom a Mosquitto that was started by root
    becomes; None leaves it at Mosquitto's own default (`mosquitto`).
    """

    host: str
    port: int
    ca: PurePosixPath
    certificate: PurePosixPath
    key: PurePosixPath
    acl: PurePosixPath
    persistence: PurePosixPath
    user: str | None = None


SHIPPED: Final = ListenerConfig(
    host="0.0.0.0",  # noqa: S104 - the mesh is for other hosts; only certificates get in
    port=8883,
    ca=PurePosixPath("/etc/tarmak/mosquitto/ca.pem"),
    certificate=PurePosixPath("/etc/tarmak/mosquitto/broker.pem"),
    key=PurePosixPath("/etc/tarmak/mosquitto/broker.key"),
    acl=PurePosixPath("/etc/tarmak/mosquitto/acl"),
    persistence=PurePosixPath("/var/lib/mosquitto"),
)


def render_acl(*, clusters: Iterable[ClusterName], orchestrators: Iterable[OrchestratorName]) -> str:
    """Return Mosquitto's ACL file: every wing its own topics, every orchestrator the other ends of them.

    Raises InvalidIdError for a name that is not of its form: it would be a line of its own in the file.
    """
    named = tuple(ids.cluster_name(cluster) for cluster in clusters)
    blocks = (
        f"{NOTICE}\n# A wing speaks only under its own id, and hears the commands to its role and to itself.",
        *("\n".join(_of_a_wing(cluster)) for cluster in named),
        *("\n".join(_of_an_orchestrator(name, named)) for name in orchestrators),
    )
    return "\n\n".join(blocks) + "\n"


def render_config(config: ListenerConfig) -> str:
    """Return Mosquitto's configuration file; ValueError for a value that would break its line."""
    lines = (
        NOTICE,
        *_listener(config),
        *_limits(),
        *_persistence(config.persistence),
        "",
        "log_dest stderr",
        *(("user " + config.user,) if config.user is not None else ()),
    )
    for line in lines:
        if not line.isprintable():
            raise ValueError(f"a line of Mosquitto's configuration holds unprintable characters: {line!r}")
    return "\n".join((*lines, ""))


def _of_a_wing(cluster: ClusterName) -> Iterable[str]:
    yield f"pattern read {_topic(cluster, Channel.COMMAND, ANY)}"
    yield f"pattern read {_topic(cluster, Channel.COMMAND, ANY, IDENTITY)}"
    yield f"pattern readwrite {_topic(cluster, Channel.PRESENCE, ANY, IDENTITY)}"
    yield f"pattern write {_topic(cluster, Channel.FACTS, ANY, IDENTITY)}"
    yield f"pattern write {_topic(cluster, Channel.LOG, ANY, IDENTITY)}"


def _of_an_orchestrator(name: OrchestratorName, clusters: tuple[ClusterName, ...]) -> Iterable[str]:
    yield f"user {ids.orchestrator_name(name)}"
    for cluster in clusters:
        yield f"topic write {_topic(cluster, Channel.COMMAND, ANY)}"
        yield f"topic write {_topic(cluster, Channel.COMMAND, ANY, ANY)}"
        for heard in Topics(cluster).orchestrator_filters():
            yield f"topic read {heard}"


def _topic(cluster: ClusterName, channel: Channel, *rest: str) -> str:
    return "/".join((PREFIX, cluster, channel.value, *rest))


def _listener(config: ListenerConfig) -> Iterable[str]:
    return (
        "",
        f"listener {config.port} {config.host}",
        f"cafile {config.ca}",
        f"certfile {config.certificate}",
        f"keyfile {config.key}",
        "# The oldest version that is let in.",
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
        "allow_anonymous false",
        f"acl_file {config.acl}",
        "set_tcp_nodelay true",
    )


def _limits() -> Iterable[str]:
    return (
        "",
        "# A client that was away finds what it missed, up to these bounds. What is beyond them is dropped,",
        "# and sent again by those who wait for an answer.",
        f"max_queued_messages {MAX_QUEUED_MESSAGES}",
        f"max_queued_bytes {MAX_QUEUED_BYTES}",
        f"max_inflight_messages {MAX_INFLIGHT_MESSAGES}",
        "# A message of the protocol with its topic and properties.",
        f"max_packet_size {MAX_MESSAGE + MAX_HEADERS}",
        "persistent_client_expiration 1d",
    )


def _persistence(folder: PurePosixPath) -> Iterable[str]:
    return (
        "",
        "# Spares a replay after a restart; nothing depends on it.",
        "persistence true",
        f"persistence_location {folder}/",
        f"autosave_interval {AUTOSAVE_S}",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the shipped configuration (`conf`) or ACL (`acl`) to the standard output."""
    parser = argparse.ArgumentParser(prog="python -m broker.acl", description="Render Mosquitto's files.")
    parser.add_argument("file", choices=("conf", "acl"))
    parser.add_argument("--cluster", action="append", type=ids.cluster_name)
    parser.add_argument("--orchestrator", action="append", type=ids.orchestrator_name)
    asked = parser.parse_args(arguments)
    if asked.file == "conf":
        sys.stdout.write(render_config(SHIPPED))
    else:
        sys.stdout.write(
            render_acl(
                clusters=asked.cluster or (SHIPPED_CLUSTER,),
                orchestrators=asked.orchestrator or (SHIPPED_ORCHESTRATOR,),
            )
        )


if __name__ == "__main__":
    main()
