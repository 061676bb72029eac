"""What a drain would meet, told before it begins: budgets that hold it, and pods with nowhere to go.

The estimate of room is rough, and says so: it adds up what pods request and what Nodes have left. Affinity,
spread, volumes and ports are not looked at, so a pod that fits here may still have to wait; one that does not
fit certainly will.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from broker.ids import InstanceId
from broker.messages import DrainPolicy
from orchestrator.domain.picture import Amounts, BudgetSeen, NodeRoom, Picture, PodSeen, Toleration

MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """The instances of a wave that are drained, by the name of their Node."""

    wave: int
    nodes: Mapping[str, InstanceId]


def warnings(picture: Picture, waves: Sequence[Leaving], policy: DrainPolicy) -> tuple[str, ...]:
    """Return what would hold these waves up if they were drained now by `policy`, each in a sentence."""
    whose = {node: who for wave in waves for node, who in wave.nodes.items()}
    pods = [pod for pod in picture.pods if pod.node in whose and (policy.critical or not pod.critical)]
    budgets = () if policy.disable_eviction else _budgets(picture.budgets, pods, whose)
    rooms = (line for wave in waves for line in _room(picture.nodes, pods, wave))
    return (*_unknown(picture, whose), *budgets, *rooms)


def _unknown(picture: Picture, whose: Mapping[str, InstanceId]) -> Iterator[str]:
    known = {node.name for node in picture.nodes}
    for node, who in sorted(whose.items()):
        if node not in known:
            yield f"{who}: there is no Node {node}; if it has another name, say so in the roster: node = NAME"


def _budgets(
    budgets: Iterable[BudgetSeen], pods: Sequence[PodSeen], whose: Mapping[str, InstanceId]
) -> Iterator[str]:
    by_namespace: dict[str, list[PodSeen]] = defaultdict(list)
    guards: dict[str, list[str]] = defaultdict(list)
    for pod in pods:
        by_namespace[pod.namespace].append(pod)
    for budget in sorted(budgets, key=lambda each: each.full_name):
        found = by_namespace.get(budget.namespace, ())
        held = {whose[pod.node] for pod in found if budget.holds(pod)}
        if held:
            yield _holds(budget, held)
        for pod in found:
            if budget.selects(pod):
                guards[pod.full_name].append(budget.name)
    for name, several in sorted(guards.items()):
        if len(several) > 1:
            yield f"pod {name} has more than one budget ({', '.join(several)}), so it can't be evicted at all"


def _holds(budget: BudgetSeen, held: Iterable[InstanceId]) -> str:
    counted = f"{budget.needed} of {budget.expected} healthy needed"
    if budget.healthy != budget.expected:
        counted += f", {budget.healthy} are"
    return (
        f"budget {budget.full_name} allows no disruption: {counted};"
        f" it will hold the drain of {_named(sorted(held))}"
    )


def _room(nodes: Sequence[NodeRoom], pods: Iterable[PodSeen], wave: Leaving) -> Iterator[str]:
    """Yield which pods of a wave would not fit on the Nodes that stay; by like tolerations."""
    left = [node for node in nodes if node.usable and node.name not in wave.nodes]
    alike: dict[frozenset[Toleration], list[PodSeen]] = defaultdict(list)
    for pod in pods:
        if pod.node in wave.nodes:
            alike[pod.tolerations].append(pod)
    for tolerations, moving in alike.items():
        found = _short(moving, [node.free for node in left if node.takes(tolerations)])
        if found:
            yield f"wave {wave.wave} ({_named(sorted(wave.nodes.values()))}): {found}"


def _short(moving: Sequence[PodSeen], free: Sequence[Amounts]) -> str:
    asked = sum((pod.asks for pod in moving), Amounts())
    if not free:
        return f"no schedulable Ready Node is left that would take its {_pods(len(moving))}"
    there = sum(free, Amounts())
    short = asked.lacks(there)
    if short:
        return (
            f"its {_pods(len(moving))} may not fit elsewhere: they request {asked}, and {there} are free on"
            f" {len(free)} other Nodes: too little {' and '.join(short)} (an estimate by requests alone)"
        )
    sizes = sorted({(pod.asks.cpu_m, pod.asks.memory): pod for pod in moving}.items(), reverse=True)
    large = next((pod for _, pod in sizes if all(pod.asks.lacks(each) for each in free)), None)
    if large is None:
        return ""
    return f"pod {large.full_name} requests more than any other Node has free (an estimate by requests alone)"


def _pods(count: int) -> str:
    return "pod" if count == 1 else f"{count} pods"


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    shown = [*names[:MOST_NAMED], f"{more} more"] if more > 0 else list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
