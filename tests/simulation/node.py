"""The Kubernetes Node of a host: who cordoned it, the pods on it, and the budgets that hold some of them.

It stands in the API server, so nothing that happens to the host takes it away, and others change it too: the
drain of a wing is only one of those who do. What happens here is told to the ledger, which judges it.
"""

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from broker.messages import (
    CordonChanged,
    Drain,
    DrainBlocked,
    Drainer,
    DrainFinished,
    DrainStarted,
    OnTimeout,
    PodEvicted,
    Uncordon,
)
from tests.simulation.clock import VirtualClock
from tests.simulation.ledger import Ledger
from tests.simulation.waiting import slept
from tests.simulation.watch import SOMEBODY
from wing.effects import RunOrder
from wing.events import Done, End, Stopped, Unable
from wing.ports import OrderWatcher

LONGEST_EVICTION_S: Final = 4.0
BUDGET_RETRY_S: Final = 5.0
HELD_S: Final = (10.0, 30.0, 120.0, 1e9)
"""For how long a budget holds a pod; the last until all is calm."""


@dataclass(slots=True, kw_only=True)
class Pod:
    """A pod that goes within `evict_s`, once no budget holds it any more."""

    name: str
    evict_s: float
    held_until: float = 0.0


class Node:
    """A Node: unschedulable in the name of `owner` (None: of nobody, `SOMEBODY`: of none of us)."""

    def __init__(self, name: str, ledger: Ledger, dice: random.Random) -> None:
        self.name = name
        self.owner: str | None = None
        self.pods: list[Pod] = []
        self._ledger = ledger
        self._dice = dice
        self._calm = False
        self._numbers = itertools.count(1)
        self._fill()

    @property
    def is_ours(self) -> bool:
        """Whether a rollout or a bare drain has cordoned it."""
        return self.owner not in {None, SOMEBODY}

    def cordon(self, owner: str) -> None:
        """Let no new pod come, in the name of `owner`."""
        self._ledger.note(f"{self.name} is cordoned for {owner}")
        before, self.owner = self.owner, owner
        self._ledger.watch.cordoned(self.name, owner, before)

    def uncordon(self, by: str) -> None:
        """Let pods come again."""
        self._ledger.note(f"{self.name} is uncordoned by {by}")
        self._ledger.watch.uncordoned(self.name, self.owner, by)
        self.owner = None
        self._fill()

    def calm(self) -> None:
        """Let every budget be kept with room to spare from now on."""
        self._calm = True
        for pod in self.pods:
            pod.held_until = 0.0

    def _fill(self) -> None:
        for _ in range(self._dice.randint(0, 2) - len(self.pods)):
            held = not self._calm and self._dice.random() < 0.15
            held_s = asyncio.get_running_loop().time() + self._dice.choice(HELD_S) if held else 0.0
            self.pods.append(
                Pod(
                    name=f"shop/cart-{next(self._numbers)}",
                    evict_s=self._dice.uniform(0.2, LONGEST_EVICTION_S),
                    held_until=held_s,
                )
            )


class Draining:
    """One drain or uncordon, as a wing carries it out on its Node."""

    def __init__(self, node: Node, asked: RunOrder, watcher: OrderWatcher, clock: VirtualClock) -> None:
        self._node = node
        self._asked = asked
        self._watcher = watcher
        self._clock = clock
        self._began_s = asyncio.get_running_loop().time()
        self._evicted = 0
        self._owned = False

    async def drain(self, order: Drain, cancel: asyncio.Event) -> End:
        """Cordon the Node, and have every pod go that may, as kubectl does."""
        self._cordon(order)
        self._tell(DrainStarted, drainer=Drainer.KUBERNETES, node=self._node.name, total=len(self._node.pods))
        ends_s = self._began_s + order.policy.timeout_s
        while self._node.pods:
            if self._node.owner is None:
                self._cordon(order, "somebody had uncordoned it")
            if not await self._evict(self._node.pods[0], ends_s, cancel):
                return Stopped() if cancel.is_set() else self._give_up(order)
        self._finish()
        return Done()

    def uncordon(self, order: Uncordon) -> End:
        """Lift the cordon if it is the order's own."""
        if self._node.owner == order.owner:
            self._node.uncordon(order.owner)
        reason = f"cordoned by {self._node.owner}" if self._node.owner else ""
        self._cordon_changed(cordoned=self._node.owner is not None, reason=reason)
        return Done()

    def _cordon(self, order: Drain, reason: str = "") -> None:
        owner = self._node.owner
        if owner is None or (owner == order.takes_over and owner != order.owner):
            self._node.cordon(order.owner)
        self._owned = self._node.owner == order.owner
        self._cordon_changed(cordoned=True, reason=reason)

    async def _evict(self, pod: Pod, ends_s: float, cancel: asyncio.Event) -> bool:
        loop = asyncio.get_running_loop()
        told = False
        while pod.held_until > loop.time():
            if not told:
                self._blocked(pod)
                told = True
            if not await slept(cancel, BUDGET_RETRY_S) or loop.time() > ends_s:
                return False
        if not await slept(cancel, pod.evict_s) or loop.time() > ends_s:
            return False
        if pod in self._node.pods:
            self._node.pods.remove(pod)
        self._evicted += 1
        self._tell(PodEvicted, pod=pod.name, took_ms=self._took_ms())
        return True

    def _give_up(self, order: Drain) -> End:
        left = tuple(pod.name for pod in self._node.pods)
        if order.policy.on_timeout is not OnTimeout.KEEP and self._owned:
            if self._node.owner == order.owner:  # a clone may have lifted it
                self._node.uncordon(order.owner)
            self._owned = False
            self._cordon_changed(cordoned=False, reason="the drain did not succeed")
        self._finish(left)
        return Unable(reason=f"the time is over: {', '.join(left)}")

    def _finish(self, left: tuple[str, ...] = ()) -> None:
        self._tell(DrainFinished, took_ms=self._took_ms(), evicted=self._evicted, left=left)

    def _blocked(self, pod: Pod) -> None:
        self._tell(
            DrainBlocked,
            pod=pod.name,
            since=self._clock.now(),
            reason="its budget holds it",
            budget="shop/cart",
            healthy=2,
            needed=2,
        )

    def _cordon_changed(self, *, cordoned: bool, reason: str = "") -> None:
        self._tell(
            CordonChanged,
            node=self._node.name,
            cordoned=cordoned,
            owned=self._owned and cordoned,
            reason=reason,
        )

    def _took_ms(self) -> int:
        return int((asyncio.get_running_loop().time() - self._began_s) * 1000)

    def _tell(self, fact: Callable[..., object], **said: object) -> None:
        self._watcher.told(fact(command=self._asked.command, order=self._asked.order.order, **said))  # type: ignore[arg-type]
