"""What a rollout wants done: written, with the rollout as it is then, before anything is carried out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.ids import Digest, InstanceId, Role, RunId
from broker.messages import OrderBody


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSlot:
    """Count an instance among those of its role that are disrupted, in this rollout's name."""

    instance: InstanceId
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeSlot:
    """Give an instance's slot back."""

    instance: InstanceId


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginRun:
    """Have an instance converged on `digest`, or with `noop` find out what that would change.

    `diff` is the hash of the changes that were approved, None if all are.
    """

    run: RunId
    instance: InstanceId
    digest: Digest
    noop: bool
    diff: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginOrder:
    """Have an instance drained, uncordoned or looked at."""

    instance: InstanceId
    body: OrderBody


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelWork:
    """Have a run or an order of an instance ended."""

    instance: InstanceId
    work: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Desire:
    """Set what an instance shall have."""

    instance: InstanceId
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class DesireOfRole:
    """Set what those who join a role shall have."""

    role: Role
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Add a line to the tail, about an instance or the rollout as a whole."""

    kind: str
    instance: InstanceId | None = None
    body: Mapping[str, Any] = field(default_factory=dict)


RolloutEffect = TakeSlot | FreeSlot | BeginRun | BeginOrder | CancelWork | Desire | DesireOfRole | Tell
