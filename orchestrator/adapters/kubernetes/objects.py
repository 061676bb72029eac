"""The little of Kubernetes' JSON that is read, parsed once into the domain's own values.

An object may hold whatever its author wanted; what is not named here is not looked at.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Generic, TypeVar

import msgspec

from orchestrator.adapters.kubernetes.quantities import bytes_of, milli_of
from orchestrator.domain.instance import NodeSeen
from orchestrator.domain.picture import (
    Amounts,
    NodeRoom,
    PodSeen,
    Taint,
    Toleration,
)

CORDONED_BY: Final = "tarmak.io/cordoned-by"
MIRROR: Final = "kubernetes.io/config.mirror"
NODE_CRITICAL: Final = "system-node-critical"
MOST_REASON: Final = 200

_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_DAEMONSET: Final = ("apps", "DaemonSet")

ItemT = TypeVar("ItemT")
Quantity = str | int | float


class ApiObject(msgspec.Struct, frozen=True, rename="camel"):
    """An object of the API: its names are in camel case, and each field may be missing."""


class _Owner(ApiObject, frozen=True):
    api_version: str = ""
    kind: str = ""
    controller: bool | None = None


class Metadata(ApiObject, frozen=True):
    """Who an object is."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[_Owner, ...] | None = None
    deletion_timestamp: datetime | None = None


class _ListMetadata(ApiObject, frozen=True):
    resource_version: str = ""
    next_page: str | None = msgspec.field(default=None, name="continue")


class Page(msgspec.Struct, Generic[ItemT], frozen=True):
    """One page of a list."""

    metadata: _ListMetadata
    items: tuple[ItemT, ...] | None = None


class WatchEvent(msgspec.Struct, frozen=True):
    """One event of a watch, its object still to be read."""

    type: str
    object: msgspec.Raw


class Status(ApiObject, frozen=True):
    """What the API server says of a request that it refuses, or of a watch that it ends."""

    code: int = 0
    message: str = ""


class _Condition(ApiObject, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class _Taint(ApiObject, frozen=True):
    key: str = ""
    value: str = ""
    effect: str = ""


class _NodeSpec(ApiObject, frozen=True):
    unschedulable: bool | None = None
    taints: tuple[_Taint, ...] | None = None


class _NodeStatus(ApiObject, frozen=True):
    conditions: tuple[_Condition, ...] | None = None
    allocatable: dict[str, Quantity] | None = None


class NodeObject(ApiObject, frozen=True):
    """A Node."""

    metadata: Metadata
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()


class _Resources(ApiObject, frozen=True):
    requests: dict[str, Quantity] | None = None


class _Container(ApiObject, frozen=True):
    resources: _Resources = _Resources()
    restart_policy: str | None = None


class _Toleration(ApiObject, frozen=True):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class _PodSpec(ApiObject, frozen=True):
    node_name: str = ""
    priority_class_name: str | None = None
    containers: tuple[_Container, ...] | None = None
    init_containers: tuple[_Container, ...] | None = None
    resources: _Resources | None = None
    overhead: dict[str, Quantity] | None = None
    tolerations: tuple[_Toleration, ...] | None = None


class _PodStatus(ApiObject, frozen=True):
    phase: str = ""
    conditions: tuple[_Condition, ...] | None = None


class PodObject(ApiObject, frozen=True):
    """A pod."""

    metadata: Metadata
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    @property
    def is_finished(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.status.phase in _FINISHED

    @property
    def stays(self) -> bool:
        """Whether a drain leaves it, or it goes anyway: a DaemonSet's, a static one, one that is ending."""
        metadata = self.metadata
        owner = next((each for each in metadata.owner_references or () if each.controller), _Owner())
        daemon = (owner.api_version.rpartition("/")[0], owner.kind) == _DAEMONSET
        return daemon or MIRROR in (metadata.annotations or {}) or metadata.deletion_timestamp is not None


NodePage = Page[NodeObject]
PodPage = Page[PodObject]


def status_of(body: bytes) -> Status:
    """Return what a refusal says; a body that is none (a proxy's page) has nothing to say."""
    try:
        return msgspec.json.decode(body, type=Status)
    except msgspec.MsgspecError:
        return Status()


def node_of(found: NodeObject, at: datetime) -> NodeSeen:
    """Return the Node that the API describes so."""
    ready = _condition(found.status.conditions, "Ready")
    reason = ": ".join(part for part in (ready.reason, ready.message) if part) or "it has not said so"
    is_ready = ready.status == "True"
    return NodeSeen(
        name=found.metadata.name,
        ready=is_ready,
        unschedulable=bool(found.spec.unschedulable),
        owner=(found.metadata.annotations or {}).get(CORDONED_BY),
        seen_at=at,
        reason="" if is_ready else reason[:MOST_REASON],
    )


def room_of(found: NodeObject, asked: Amounts) -> NodeRoom:
    """Return a Node's room, of which `asked` is taken."""
    is_ready = _condition(found.status.conditions, "Ready").status == "True"
    has = found.status.allocatable or {}
    return NodeRoom(
        name=found.metadata.name,
        usable=is_ready and not found.spec.unschedulable and found.metadata.deletion_timestamp is None,
        allocatable=Amounts(
            cpu_m=milli_of(has.get("cpu", 0)),
            memory=bytes_of(has.get("memory", 0)),
            pods=bytes_of(has.get("pods", 0)),
        ),
        asked=asked,
        taints=tuple(Taint(key=e.key, value=e.value, effect=e.effect) for e in found.spec.taints or ()),
    )


def pod_of(found: PodObject) -> PodSeen:
    """Return the pod that the API describes so."""
    return PodSeen(
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        node=found.spec.node_name,
        labels=found.metadata.labels or {},
        asks=asks_of(found),
        tolerations=frozenset(_tolerations(found.spec.tolerations or ())),
        ready=_condition(found.status.conditions, "Ready").status == "True",
        pending=found.status.phase == "Pending",
        critical=found.spec.priority_class_name == NODE_CRITICAL,
    )


def asks_of(found: PodObject) -> Amounts:
    """Return what a pod requests, as the scheduler counts it: at its start or later, whichever is more."""
    return Amounts(cpu_m=_request(found.spec, "cpu"), memory=_request(found.spec, "memory"), pods=1)


def _condition(conditions: tuple[_Condition, ...] | None, kind: str) -> _Condition:
    return next((each for each in conditions or () if each.type == kind), _Condition())


def _request(spec: _PodSpec, name: str) -> int:
    # Sidecars run beside the other containers, and beside those that begin after them.
    beside, peak = 0, 0
    for each in spec.init_containers or ():
        asks = _amount(each.resources.requests, name)
        peak = max(peak, beside + asks)
        beside += asks if each.restart_policy == "Always" else 0
    running = beside + sum(_amount(each.resources.requests, name) for each in spec.containers or ())
    total = max(peak, running)
    whole = {} if spec.resources is None else spec.resources.requests or {}
    if name in whole:
        total = _amount(whole, name)
    return total + _amount(spec.overhead, name)


def _amount(of: Mapping[str, Quantity] | None, name: str) -> int:
    raw = (of or {}).get(name, 0)
    return milli_of(raw) if name == "cpu" else bytes_of(raw)


def _tolerations(found: Iterable[_Toleration]) -> Iterable[Toleration]:
    for each in found:
        yield Toleration(key=each.key, value=each.value, effect=each.effect, exists=each.operator == "Exists")
