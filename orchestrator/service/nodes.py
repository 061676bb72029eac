"""What Kubernetes tells of its Nodes reaches the instances that they are, through the core like all else."""

from collections.abc import Iterable
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, assert_never

import structlog

from broker.ids import InstanceId
from orchestrator.domain.events import NodeHeard, NodeUnwatched
from orchestrator.domain.instance import NodeSeen
from orchestrator.domain.nodes import AllNodes, NodeChanged, NodeNews, NodesLost
from orchestrator.ports import Nodes

if TYPE_CHECKING:
    from orchestrator.service.core import Core
    from orchestrator.service.state import ClusterState, Work

log = structlog.get_logger(__name__)


class NodeBook:
    """The Nodes as last told, by name, and whose they are; `trouble` says why nothing is told any more."""

    def __init__(self, state: "ClusterState") -> None:
        self.trouble = ""
        self._state = state
        self._seen: dict[str, NodeSeen] = {}
        self._whose: dict[str, InstanceId] = {}

    def enrolled(self, work: "Work", at: datetime) -> None:
        """Take in a new roster: whoever is new to it, or has another Node, is told of that."""
        before = self._whose
        self._whose = {item.enrolment.node_name: name for name, item in self._state.instances.items()}
        moved = (name for name, who in self._whose.items() if before.get(name) != who)
        self._tell(moved, work, at)

    def take(self, news: NodeNews, work: "Work", at: datetime) -> None:
        """Take in what was told."""
        match news:
            case AllNodes():
                self._recovered(work, at)
                self._seen = {node.name: node for node in news.nodes}
                self._tell(self._whose, work, at)
            case NodeChanged():
                self._change(news)
                self._tell([news.name], work, at)
            case NodesLost():
                self._lost(news.reason, work, at)
            case _:
                assert_never(news)

    def _change(self, news: NodeChanged) -> None:
        if news.node is None:
            self._seen.pop(news.name, None)
        else:
            self._seen[news.name] = news.node

    def _tell(self, names: Iterable[str], work: "Work", at: datetime) -> None:
        for name in list(names):
            who = self._whose.get(name)
            node = self._seen.get(name)
            if who is not None and self._state.instances[who].node != node:
                self._state.apply(who, NodeHeard(at=at, node=node), work)

    def _recovered(self, work: "Work", at: datetime) -> None:
        if self.trouble:
            self.trouble = ""
            log.info("nodes watched again")
            self._state.emit(work, "kubernetes_found", at)

    def _lost(self, reason: str, work: "Work", at: datetime) -> None:
        log.warning("nodes not watched", reason=reason)
        if not self.trouble:
            self._state.emit(work, "kubernetes_lost", at, reason=reason)
        self.trouble = reason
        self._seen = {}
        for who in self._whose.values():
            if self._state.instances[who].node is not None:
                self._state.apply(who, NodeUnwatched(at=at), work)


class NodeDesk:
    """Carries the news from the port to the book."""

    def __init__(self, core: "Core", nodes: Nodes) -> None:
        self._core = core
        self._nodes = nodes

    async def run(self) -> None:
        """Work until cancelled."""
        async with aclosing(self._nodes.news()) as told:
            async for news in told:
                await self.step(news)

    async def step(self, news: NodeNews) -> None:
        """Have one piece of news handled, and return once what follows from it is written."""
        await self._core.call(lambda state, work: state.nodes.take(news, work, self._core.clock.now()))
