"""What a test of drains may do to a cluster, whichever it is, and a drain on it that can be watched."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from broker.ids import MessageId, OrderId
from broker.messages import Drain, DrainPolicy, OrderFact
from wing.cluster import NodeApi
from wing.drain_state import Charge, Pace
from wing.drainer import Around, drain
from wing.errand import OrderEnd
from wing.selectors import parse

COMMAND = MessageId("00000000-0000-7000-8000-000000000001")
ORDER = OrderId("00000000-0000-7000-9000-000000000001")
OWNER = "r-7"
BRISK = Pace(look_s=0.05, retry_s=0.1, patience_s=5.0, deletion_s=30.0)
"""A drain that lets nobody wait; how long it is for is for the machine's own tests."""

STRICT = replace(BRISK, overdue_s=0.0)
"""Calls a pod overdue at the end of its grace: a busy kubelet's pods too, and the API tells whole seconds."""

PATIENCE_S = 120
WEB: Mapping[str, str] = {"app": "web"}


class Site(Protocol):
    """A Node `node` and `other`, and pods on them; `api` has the first one's own credential."""

    node: str
    other: str
    namespace: str
    api: NodeApi

    async def pod(
        self,
        name: str,
        *,
        controlled: bool = True,
        emptydir: bool = False,
        labels: Mapping[str, str] = WEB,
        finalizers: Iterable[str] = (),
        finished: bool = False,
        priority_class: str | None = None,
    ) -> None:
        """Put a pod on the node."""

    async def daemon(self, name: str) -> None:
        """Have a DaemonSet, and a pod of it on the node."""

    async def mirror(self, name: str) -> None:
        """Put the mirror of a static pod on the node."""

    async def stateful(self, name: str) -> None:
        """Have a StatefulSet, whose pod NAME-0 is on the node, and comes back on the other when that goes."""

    async def budget(self, name: str, labels: Mapping[str, str] = WEB, *, min_available: int = 1) -> None:
        """Let a budget hold the pods with `labels`."""

    async def drop_budget(self, name: str) -> None:
        """Take a budget away."""

    async def release(self, name: str) -> None:
        """Take a pod's finalizers away."""

    async def end_namespace(self) -> None:
        """Begin to delete the namespace."""

    async def set_cordon(self, *, cordoned: bool) -> None:
        """Cordon or uncordon the node as a person does."""

    async def stop(self) -> None:
        """Let the API server be gone."""

    async def start(self) -> None:
        """Let the API server be back."""

    async def pods_on(self, node: str) -> set[str]:
        """Return the names of the namespace's pods on a node, daemons and mirrors too."""


@dataclass
class Watched:
    """A drain under way; `told` is what it has told so far."""

    told: list[OrderFact] = field(default_factory=list)
    cancel: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, fact: OrderFact) -> None:
        self.told.append(fact)
        self._news.set()

    def of(self, kind: type[OrderFact]) -> list[OrderFact]:
        """Return the facts of one kind."""
        return [fact for fact in self.told if isinstance(fact, kind)]

    async def until(self, seen: Callable[[OrderFact], bool]) -> OrderFact:
        """Wait for a fact; one that was told already counts."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for fact in self.told:
                    if seen(fact):
                        return fact
                self._news.clear()
                await self._news.wait()


def charge(site: Site, policy: DrainPolicy, owner: str = OWNER, takes_over: str | None = None) -> Charge:
    """Return the wish to have the site's node drained."""
    return Charge(
        command=COMMAND,
        order=Drain(order=ORDER, owner=owner, policy=policy, takes_over=takes_over),
        node=site.node,
        selectors=tuple(parse(text) for text in policy.delete_selectors),
    )


async def drained(
    site: Site,
    watched: Watched,
    *,
    owner: str = OWNER,
    takes_over: str | None = None,
    pace: Pace = BRISK,
    **policy: object,
) -> OrderEnd:
    """Drain the site's node, and return how that ended."""
    wanted = replace(DrainPolicy(timeout_s=60), **policy)  # type: ignore[arg-type] # by field name
    around = Around(api=site.api, clock=lambda: datetime.now(UTC), tell=watched.tell)
    async with asyncio.timeout(PATIENCE_S):
        wish = charge(site, wanted, owner, takes_over)
        return await drain(wish, around, watched.cancel, pace)
