"""A Kubernetes cluster without one: the in-memory twin of the adapter, for tests and simulations."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from dataclasses import replace

from orchestrator.domain.instance import NodeSeen
from orchestrator.domain.nodes import AllNodes, NodeChanged, NodeNews, NodesLost
from orchestrator.domain.picture import NodeRoom, Picture
from orchestrator.ports import PreflightError


class MemoryKubernetes:
    """`Nodes` and `Preflight` in one; `reason` says why it can't be reached, empty if it can."""

    def __init__(self) -> None:
        self.picture = Picture()
        self.reason = ""
        self._nodes: dict[str, NodeSeen] = {}
        self._watchers: set[asyncio.Queue[NodeNews]] = set()

    def put(self, node: NodeSeen) -> None:
        """Let a Node come, or be other than before."""
        before = self._nodes.get(node.name)
        self._nodes[node.name] = node
        if before is None or replace(before, seen_at=node.seen_at) != node:
            self._tell(NodeChanged(name=node.name, node=node))

    def remove(self, name: str) -> None:
        """Let a Node go."""
        del self._nodes[name]
        self._tell(NodeChanged(name=name, node=None))

    def lose(self, reason: str) -> None:
        """Let the API server be out of reach."""
        self.reason = reason
        for watcher in self._watchers:
            watcher.put_nowait(NodesLost(reason=reason))

    def find(self) -> None:
        """Let the API server answer again."""
        self.reason = ""
        self._tell(self._all())

    async def news(self) -> AsyncGenerator[NodeNews, None]:
        """Yield all Nodes, then each change that matters, for ever; when watching fails too, and all anew."""
        queue: asyncio.Queue[NodeNews] = asyncio.Queue()
        queue.put_nowait(NodesLost(reason=self.reason) if self.reason else self._all())
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def look(self, nodes: Collection[str]) -> Picture:
        """Return the cluster as it is now, with the pods on these Nodes; raises PreflightError."""
        if self.reason:
            raise PreflightError(reason=self.reason)
        rooms = tuple(self._room(room) for room in self.picture.nodes)
        pods = tuple(pod for pod in self.picture.pods if pod.node in nodes)
        return replace(self.picture, nodes=rooms, pods=pods)

    def _room(self, room: NodeRoom) -> NodeRoom:
        node = self._nodes.get(room.name)
        return room if node is None else replace(room, usable=node.ready and not node.unschedulable)

    def _all(self) -> AllNodes:
        return AllNodes(nodes=tuple(self._nodes.values()))

    def _tell(self, news: NodeNews) -> None:
        if not self.reason:
            for watcher in self._watchers:
                watcher.put_nowait(news)
