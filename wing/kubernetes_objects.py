"""The little of Kubernetes' JSON that a drain reads, parsed once into its own values.

An object may hold whatever its author wanted; what is not named here is not looked at, and what is named and
has another form is the API server's fault, told as such.
"""

from datetime import datetime
from typing import Final

import msgspec

from wing.cluster import Controller, Node, Pod, Signs
from wing.eviction import Cause, Reply

CORDONED_BY: Final = "tarmak.io/cordoned-by"
CORDONED_AT: Final = "tarmak.io/cordoned-at"
MIRROR: Final = "kubernetes.io/config.mirror"
CORDON_TAINT: Final = "node.kubernetes.io/unschedulable"

_FINISHED: Final = frozenset({"Succeeded", "Failed"})


class _Object(msgspec.Struct, frozen=True, rename="camel"):
    """An object of the API: its names are in camel case, and each field may be missing."""


class _Owner(_Object, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class _Metadata(_Object, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: tuple[str, ...] | None = None
    owner_references: tuple[_Owner, ...] | None = None
    deletion_timestamp: datetime | None = None


class _Volume(_Object, frozen=True):
    name: str = ""
    empty_dir: dict[str, object] | None = None


class _Toleration(_Object, frozen=True):
    key: str = ""
    operator: str = "Equal"
    effect: str = ""


class _PodSpec(_Object, frozen=True):
    node_name: str = ""
    priority: int | None = None
    priority_class_name: str | None = None
    volumes: tuple[_Volume, ...] | None = None
    tolerations: tuple[_Toleration, ...] | None = None


class _PodStatus(_Object, frozen=True):
    phase: str = ""


class _Pod(_Object, frozen=True):
    metadata: _Metadata
    spec: _PodSpec
    status: _PodStatus = _PodStatus()


class _ListMetadata(_Object, frozen=True):
    next_page: str | None = msgspec.field(default=None, name="continue")


class PodPage(_Object, frozen=True):
    """One page of a list of pods."""

    metadata: _ListMetadata
    items: tuple[_Pod, ...] | None = None


class _Condition(_Object, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class _NodeSpec(_Object, frozen=True):
    unschedulable: bool | None = None


class _NodeStatus(_Object, frozen=True):
    conditions: tuple[_Condition, ...] | None = None


class NodeObject(_Object, frozen=True):
    """A Node."""

    metadata: _Metadata
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()


class _LeaseSpec(_Object, frozen=True):
    renew_time: datetime | None = None


class LeaseObject(_Object, frozen=True):
    """A Lease."""

    spec: _LeaseSpec = _LeaseSpec()


class _Cause(_Object, frozen=True):
    reason: str = ""
    message: str = ""


class _Details(_Object, frozen=True):
    causes: tuple[_Cause, ...] | None = None
    retry_after_seconds: int | None = None


class _Status(_Object, frozen=True):
    message: str = ""
    details: _Details | None = None


def node_of(found: NodeObject) -> Node:
    """Return the Node that the API describes so."""
    return Node(
        name=found.metadata.name,
        version=found.metadata.resource_version,
        cordoned=bool(found.spec.unschedulable),
        owner=(found.metadata.annotations or {}).get(CORDONED_BY),
    )


def signs_of(found: NodeObject, lease: LeaseObject | None) -> Signs:
    """Return a Node's signs of life; without a Lease it has never been renewed."""
    conditions = found.status.conditions or ()
    ready = next((each for each in conditions if each.type == "Ready"), _Condition())
    reason = ": ".join(part for part in (ready.reason, ready.message) if part)
    renewed_at = None if lease is None else lease.spec.renew_time
    return Signs(ready=ready.status == "True", reason=reason or "it has not said so", renewed_at=renewed_at)


def pods_of(page: PodPage) -> tuple[Pod, ...]:
    """Return the pods on a page."""
    return tuple(_pod(found) for found in page.items or ())


def reply_of(status: int, body: bytes, retry_after: str | None) -> Reply:
    """Return an answer with what its Status said; a body that is none (a proxy's page) has nothing to say."""
    try:
        said = msgspec.json.decode(body, type=_Status)
    except msgspec.MsgspecError:
        said = _Status()
    details = said.details or _Details()
    header = int(retry_after) if retry_after is not None and retry_after.isdecimal() else None
    return Reply(
        status=status,
        message=said.message,
        causes=tuple(Cause(reason=cause.reason, message=cause.message) for cause in details.causes or ()),
        retry_after_s=header or details.retry_after_seconds,
    )


def _pod(found: _Pod) -> Pod:
    metadata, spec = found.metadata, found.spec
    return Pod(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        node=spec.node_name,
        priority=spec.priority or 0,
        priority_class=spec.priority_class_name or "",
        controller=_controller(metadata.owner_references or ()),
        mirror=MIRROR in (metadata.annotations or {}),
        finished=found.status.phase in _FINISHED,
        local=tuple(volume.name for volume in spec.volumes or () if volume.empty_dir is not None),
        ends_at=metadata.deletion_timestamp,
        finalizers=metadata.finalizers or (),
        labels=metadata.labels or {},
        returns=any(_tolerates_cordon(each) for each in spec.tolerations or ()),
    )


def _controller(owners: tuple[_Owner, ...]) -> Controller | None:
    owner = next((each for each in owners if each.controller), None)
    if owner is None:
        return None
    group, _, _ = owner.api_version.rpartition("/")
    return Controller(group=group, kind=owner.kind, name=owner.name)


def _tolerates_cordon(toleration: _Toleration) -> bool:
    named = toleration.key == CORDON_TAINT or (not toleration.key and toleration.operator == "Exists")
    return named and toleration.effect in {"", "NoSchedule"}
