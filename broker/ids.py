"""The names that everything on the mesh is keyed by, checked once where they come in.

A name that is not of its form never gets further than these functions, so no later code has to
wonder whether an instance's id could hold a slash (a topic's separator) or an underscore (which
only orchestrators' names have). The forms are those of the mesh protocol, version 1.
"""

import re
from typing import Final, NewType

from broker.errors import InvalidIdError

ClusterName = NewType("ClusterName", str)
Role = NewType("Role", str)
InstanceId = NewType("InstanceId", str)
OrchestratorName = NewType("OrchestratorName", str)
RunId = NewType("RunId", str)
OrderId = NewType("OrderId", str)
RolloutId = NewType("RolloutId", str)
MessageId = NewType("MessageId", str)
Digest = NewType("Digest", str)
Boot = NewType("Boot", str)
Epoch = NewType("Epoch", int)

LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
ORCHESTRATOR: Final = re.compile(r"(?=.{1,63}\Z)[a-z0-9-]+(_[a-z0-9-]+)+")
UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")
ROLLOUT: Final = re.compile(r"r-[1-9][0-9]{0,9}")
HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
BOOT: Final = re.compile(r"[1-9][0-9]{0,9}-[0-9a-f]{8}")


def cluster_name(text: str) -> ClusterName:
    """Return `text` as a cluster's name, or raise InvalidIdError."""
    return ClusterName(_matched("cluster", LABEL, text))


def role(text: str) -> Role:
    """Return `text` as a role, or raise InvalidIdError."""
    return Role(_matched("role", LABEL, text))


def instance_id(text: str) -> InstanceId:
    """Return `text` as an instance's id, or raise InvalidIdError."""
    return InstanceId(_matched("instance", LABEL, text))


def orchestrator_name(text: str) -> OrchestratorName:
    """Return `text` as an orchestrator's name (it holds an underscore), or raise InvalidIdError."""
    return OrchestratorName(_matched("orchestrator", ORCHESTRATOR, text))


def run_id(text: str) -> RunId:
    """Return `text` as a run's id (a lower-case UUID), or raise InvalidIdError."""
    return RunId(_matched("run", UUID, text))


def order_id(text: str) -> OrderId:
    """Return `text` as an order's id (a lower-case UUID), or raise InvalidIdError."""
    return OrderId(_matched("order", UUID, text))


def message_id(text: str, *, field: str = "id") -> MessageId:
    """Return `text` as a message's id (a lower-case UUID), or raise InvalidIdError that names `field`."""
    return MessageId(_matched(field, UUID, text))


def host_name(text: str) -> str:
    """Return `text` as the name of a host or a Kubernetes Node (RFC 1123), or raise InvalidIdError."""
    return _matched("host name", HOST, text)


def digest(text: str) -> Digest:
    """Return `text` as a bundle's digest (`sha256:` and 64 hexadecimal digits), or raise InvalidIdError."""
    return Digest(_matched("digest", SHA256, text))


def boot(text: str) -> Boot:
    """Return `text` as a boot (a count and 8 random hexadecimal digits), or raise InvalidIdError."""
    return Boot(_matched("boot", BOOT, text))


def boot_count(value: Boot) -> int:
    """Return how many boots the instance's journal had counted at this one, from 1."""
    return int(value.partition("-")[0])


def rollout_id(text: str) -> RolloutId:
    """Return `text` as a rollout's id (`r-` and a number), or raise InvalidIdError."""
    return RolloutId(_matched("rollout", ROLLOUT, text))


def _matched(field: str, form: re.Pattern[str], text: str) -> str:
    if form.fullmatch(text) is None:
        raise InvalidIdError(field=field, value=text)
    return text
