"""Takes the picture of a cluster from which it is told what a drain would meet."""

import asyncio
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Final

from orchestrator.adapters.kubernetes.api import ExpiredError, KubernetesApi, UnreachableError, opened
from orchestrator.adapters.kubernetes.budgets import BudgetPage, budget_of
from orchestrator.adapters.kubernetes.objects import (
    NodePage,
    PodPage,
    asks_of,
    pod_of,
    room_of,
)
from orchestrator.domain.picture import Amounts, Picture, PodSeen
from orchestrator.ports import PreflightError

LOOK_S: Final = 25.0
_NODES: Final = "/api/v1/nodes"
_PODS: Final = "/api/v1/pods"
_BUDGETS: Final = "/apis/policy/v1/poddisruptionbudgets"


class KubernetesPreflight:
    """`Preflight` by a credential that may `list` Nodes, and the pods and budgets of all namespaces."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    async def look(self, nodes: Collection[str]) -> Picture:
        """Return the cluster as it is now, with the pods on these Nodes; raises PreflightError."""
        try:
            async with asyncio.timeout(LOOK_S), opened(self._kubeconfig) as api:
                return await _picture(api, frozenset(nodes))
        except UnreachableError as error:
            raise PreflightError(reason=error.reason) from error
        except ExpiredError as error:
            raise PreflightError(reason="the cluster changes faster than it can be listed") from error
        except ValueError as error:
            raise PreflightError(reason=f"the API server's answer can't be read: {error}") from error
        except TimeoutError as error:
            raise PreflightError(reason=f"to list its pods takes longer than {LOOK_S:.0f} s") from error


async def _picture(api: KubernetesApi, concerned: frozenset[str]) -> Picture:
    asked, pods = await _pods(api, concerned)
    rooms = [
        room_of(item, asked[item.metadata.name])
        async for page in api.pages(_NODES, NodePage)
        for item in page.items or ()
    ]
    budgets = [budget_of(item) async for page in api.pages(_BUDGETS, BudgetPage) for item in page.items or ()]
    return Picture(nodes=tuple(rooms), pods=tuple(pods), budgets=tuple(budgets))


async def _pods(
    api: KubernetesApi, concerned: frozenset[str]
) -> tuple[defaultdict[str, Amounts], list[PodSeen]]:
    """Return what is asked for on each Node, and the pods that would have to leave those concerned."""
    asked: defaultdict[str, Amounts] = defaultdict(Amounts)
    leaving: list[PodSeen] = []
    async for page in api.pages(_PODS, PodPage):
        for item in page.items or ():
            node = item.spec.node_name
            if not node or item.is_finished:
                continue
            asked[node] += asks_of(item)
            if node in concerned and not item.stays:
                leaving.append(pod_of(item))
    return asked, leaving
