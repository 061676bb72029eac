"""What a drain needs to know of a cluster, and may ask of it, without any of Kubernetes' own types.

Pure values and two small ports. All is said from one Node's view, with that Node's own credential: it sees
the pods that are bound to it, itself and its Lease, and nothing else (no budgets, no controllers).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

NODE_CRITICAL: Final = "system-node-critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """Who has made a pod and makes another when it goes, as its owner reference says."""

    group: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod as its Node sees it. `uid` alone tells it from another that takes its name.

    `local` names its volumes that go with it (emptyDir); `ends_at` is when its grace is over, None while
    nobody wants its end; `returns` says that a cordon would not keep its like away from the Node.
    """

    namespace: str
    name: str
    uid: str
    node: str
    priority: int = 0
    priority_class: str = ""
    controller: Controller | None = None
    mirror: bool = False
    finished: bool = False
    local: tuple[str, ...] = ()
    ends_at: datetime | None = None
    finalizers: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    returns: bool = False

    @property
    def full_name(self) -> str:
        """The pod's name as people write it: namespace/name."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A Node at one version of it. `owner` is whom its annotation names as who has cordoned it.

    The annotation means something only while the Node is `cordoned`; without it, it is stale.
    """

    name: str
    version: str
    cordoned: bool = False
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """A Node's signs of life: whether it says Ready (and else why not), and when its Lease was renewed."""

    ready: bool
    reason: str = ""
    renewed_at: datetime | None = None


# What an eviction is answered with -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The pod has begun to go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """Refused in a way that a pod which is already gone would be: the Node's own list has to say."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceEnding:
    """The pod's namespace is being deleted, and the pod with it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A disruption budget (namespace/name, where it is known) holds the pod; its counts where it has any."""

    reason: str
    budget: str | None = None
    healthy: int | None = None
    needed: int | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """The API server is not able to answer now, or not there; the same may be asked again."""

    reason: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Asking again would change nothing."""

    reason: str


Answer = Granted | Doubtful | NamespaceEnding | Held | Busy | Refused

# What may go wrong, and the ports ------------------------------------------------------------------


class ClusterError(Exception):
    """A cluster could not be asked, or said no.

    ClusterError
    ├── CredentialError      there is nothing to ask with
    ├── UnreachableError     nobody answers, or not now
    ├── ConflictError        what was to be changed is not as it was read
    └── ForbiddenError       it answers no, with a status
    """


class CredentialError(ClusterError):
    """The kubeconfig at `path` can't be used, for `reason`."""

    def __init__(self, *, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"kubeconfig {path}: {reason}")


class UnreachableError(ClusterError):
    """The API server can't be reached, or is not able to answer now, for `reason`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ConflictError(ClusterError):
    """The Node has changed since it was read: read it again."""


class ForbiddenError(ClusterError):
    """The API server says no: the HTTP `status`, and what it said."""

    def __init__(self, *, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{reason} (status {status})")


class NodeApi(Protocol):
    """A Node's own way to its cluster; each call but the evictions raises ClusterError."""

    async def node(self) -> Node:
        """Return the Node as it is now."""

    async def cordon(self, node: Node, owner: str, at: datetime) -> None:
        """Cordon the Node in the name of `owner`; raises ConflictError unless it is still as `node`."""

    async def uncordon(self, node: Node) -> None:
        """Lift the Node's cordon, whose ever it is; raises ConflictError unless it is still as `node`."""

    async def pods(self) -> Sequence[Pod]:
        """Return every pod that is bound to the Node."""

    async def evict(self, pod: Pod, grace_s: int | None) -> Answer:
        """Ask for the pod's end through its budgets; `grace_s` None is its own grace period."""

    async def delete(self, pod: Pod, grace_s: int | None) -> Answer:
        """Ask for the pod's end past its budgets; `grace_s` None is its own grace period."""


class NodeSigns(Protocol):
    """How a Node's life is looked at."""

    async def signs(self) -> Signs:
        """Return the Node's signs of life; raises ClusterError."""
