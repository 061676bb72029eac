"""A picture of a Kubernetes cluster at one moment, as far as a drain depends on it: Nodes, pods, budgets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

GIB: Final = 2**30
MILLI: Final = 1000
_KEEPS_OFF: Final = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What pods ask for, or a Node has: thousandths of a core, bytes, and a number of pods."""

    cpu_m: int = 0
    memory: int = 0
    pods: int = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            cpu_m=self.cpu_m + other.cpu_m, memory=self.memory + other.memory, pods=self.pods + other.pods
        )

    def less(self, other: "Amounts") -> "Amounts":
        """Return what is left after `other`, nothing where that is more."""
        return Amounts(
            cpu_m=max(0, self.cpu_m - other.cpu_m),
            memory=max(0, self.memory - other.memory),
            pods=max(0, self.pods - other.pods),
        )

    def lacks(self, free: "Amounts") -> tuple[str, ...]:
        """Return by name of what there is not enough."""
        names = ("cpu_m", "memory", "pods")
        words = {"cpu_m": "cpu", "memory": "memory", "pods": "places for pods"}
        return tuple(words[name] for name in names if getattr(self, name) > getattr(free, name))

    def __str__(self) -> str:
        cores, memory = self.cpu_m / MILLI, self.memory / GIB
        return f"{cores:.1f} cores, {memory:.1f} GiB and {self.pods} places for pods"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """What keeps pods off a Node that don't tolerate it."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """What a pod tolerates: an empty `key` is any, an empty `effect` too; `exists` takes any value."""

    key: str
    value: str
    effect: str
    exists: bool

    def covers(self, taint: Taint) -> bool:
        """Tell whether a taint is tolerated."""
        if self.effect not in {"", taint.effect}:
            return False
        if not self.key:
            return self.exists
        return self.key == taint.key and (self.exists or self.value == taint.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRoom:
    """A Node's room: what it has for pods, and what those on it ask for; `usable`: Ready and schedulable."""

    name: str
    usable: bool
    allocatable: Amounts
    asked: Amounts
    taints: tuple[Taint, ...] = ()

    @property
    def free(self) -> Amounts:
        """What more it could take."""
        return self.allocatable.less(self.asked)

    def takes(self, tolerations: Iterable[Toleration]) -> bool:
        """Tell whether a pod with these tolerations may come."""
        known = tuple(tolerations)
        keeping = (taint for taint in self.taints if taint.effect in _KEEPS_OFF)
        return self.usable and all(any(each.covers(taint) for each in known) for taint in keeping)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSeen:
    """A pod that a drain would evict; `critical`: of the class system-node-critical, `pending`: not begun."""

    namespace: str
    name: str
    node: str
    labels: Mapping[str, str]
    asks: Amounts
    tolerations: frozenset[Toleration] = frozenset()
    ready: bool = True
    pending: bool = False
    critical: bool = False

    @property
    def full_name(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition of a label selector, in Kubernetes' own words: In, NotIn, Exists, DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels fulfil it; an operator that nobody knows fits nothing."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
            case _:
                return False


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSeen:
    """A disruption budget, as its controller counted last: `healthy` of `expected` are, `needed` must be.

    `selector` None selects nothing, an empty one every pod of the namespace. `evicts_unready`: pods that are
    not ready may go whatever it says.
    """

    namespace: str
    name: str
    selector: tuple[Requirement, ...] | None
    allowed: int
    healthy: int
    needed: int
    expected: int
    evicts_unready: bool = False

    @property
    def full_name(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"

    def selects(self, pod: PodSeen) -> bool:
        """Tell whether it guards a pod."""
        if self.selector is None or pod.namespace != self.namespace:
            return False
        return all(each.holds(pod.labels) for each in self.selector)

    def holds(self, pod: PodSeen) -> bool:
        """Tell whether it would refuse the pod's eviction now.

        By kubernetes/pkg/registry/core/pod/storage/eviction.go.
        """
        if self.allowed > 0 or pod.pending or not self.selects(pod):
            return False
        if pod.ready:
            return True
        return not self.evicts_unready and not self.healthy >= self.needed > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A cluster at one moment: all its Nodes and budgets, and the pods on the Nodes that were asked about."""

    nodes: tuple[NodeRoom, ...] = ()
    pods: tuple[PodSeen, ...] = ()
    budgets: tuple[BudgetSeen, ...] = ()
