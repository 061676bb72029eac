"""Watches Nodes for as long as the orchestrator runs, over whatever may happen to the connection.

A list tells what there is, a watch goes on from the list's version. When the watch ends, it is begun again
where it ended; when that version is no more (410), by a list. Only what matters is told: a Node's status is
written every few minutes, mostly to say the same.
"""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Final

import structlog
import tenacity

from orchestrator.adapters.kubernetes.api import (
    SILENCE_S,
    ExpiredError,
    KubernetesApi,
    UnreachableError,
    Watch,
    decoded,
    opened,
)
from orchestrator.adapters.kubernetes.objects import NodeObject, NodePage, Status, WatchEvent, node_of
from orchestrator.domain.instance import NodeSeen
from orchestrator.domain.nodes import AllNodes, NodeChanged, NodeNews, NodesLost
from orchestrator.ports import Clock

log = structlog.get_logger(__name__)

PATH: Final = "/api/v1/nodes"
GONE: Final = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How a watch is kept, in seconds.

    The pause before attempt n+1 is random, up to `pause_s` doubled n-1 times, at most `longest_pause_s`. A
    watch that ends sooner than `lasting_s` and has told nothing counts as a failure; one that is silent for
    `silence_s` as dead.
    """

    pause_s: float = 0.5
    longest_pause_s: float = 30.0
    lasting_s: float = 1.0
    silence_s: float = SILENCE_S


class KubernetesNodes:
    """`Nodes` by a kubeconfig's credential, which may `list` and `watch` them."""

    def __init__(self, kubeconfig: Path, clock: Clock, patience: Patience | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._clock = clock
        self._patience = patience or Patience()

    async def news(self) -> AsyncGenerator[NodeNews, None]:
        """Yield all Nodes, then each change that matters, for ever; when watching fails too, and all anew."""
        stream = _Stream(self._kubeconfig, self._clock, self._patience)
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(UnreachableError),
            wait=tenacity.wait_random_exponential(
                multiplier=self._patience.pause_s, max=self._patience.longest_pause_s
            ),
            before_sleep=_again,
        )
        try:
            while True:
                try:
                    news = await stream.next()
                except UnreachableError as error:
                    yield NodesLost(reason=error.reason)
                    news = await attempts(stream.next)
                yield news
        finally:
            await stream.close()


class _Stream:
    """The Nodes as they were told, up to which version, and the watch that goes on from there."""

    def __init__(self, kubeconfig: Path, clock: Clock, patience: Patience) -> None:
        self._kubeconfig = kubeconfig
        self._clock = clock
        self._patience = patience
        self._known: dict[str, NodeSeen] = {}
        self._version: str | None = None
        self._lost = False
        self._pending: deque[NodeNews] = deque()
        self._open = AsyncExitStack()
        self._watch: Watch | None = None
        self._began_at = 0.0
        self._silent = True

    async def next(self) -> NodeNews:
        """Return the next piece of news; raises UnreachableError, after which it may be called again."""
        try:
            while not self._pending:
                try:
                    await self._step()
                except ExpiredError as error:
                    if self._version is None:
                        reason = "the Nodes change faster than they can be listed"
                        raise UnreachableError(reason=reason) from error
                    self._version = None
                    await self.close()
        except UnreachableError:
            self._lost = True
            self._pending.clear()
            await self.close()
            raise
        return self._pending.popleft()

    async def close(self) -> None:
        """Let the connection go."""
        self._watch = None
        await self._open.aclose()

    async def _step(self) -> None:
        if self._watch is None:
            await self._connect()
            return
        line = await self._watch.line()
        if line is not None:
            self._take(decoded(line, WatchEvent))
            return
        await self.close()
        if self._silent and monotonic() - self._began_at < self._patience.lasting_s:
            raise UnreachableError(reason="the API server ends the watch as soon as it has begun")

    async def _connect(self) -> None:
        api = await self._open.enter_async_context(opened(self._kubeconfig, self._patience.silence_s))
        if self._version is None:
            await self._list(api)
        watch = await api.watch(PATH, self._version or "")
        self._open.callback(watch.close)
        self._watch, self._began_at, self._silent = watch, monotonic(), True
        if self._lost and not self._pending:
            self._pending.append(AllNodes(nodes=tuple(self._known.values())))
        self._lost = False

    async def _list(self, api: KubernetesApi) -> None:
        found: dict[str, NodeSeen] = {}
        version = ""
        async for page in api.pages(PATH, NodePage):
            version = page.metadata.resource_version
            for item in page.items or ():
                found[item.metadata.name] = node_of(item, self._clock.now())
        self._known, self._version = found, version
        self._pending.append(AllNodes(nodes=tuple(found.values())))

    def _take(self, event: WatchEvent) -> None:
        if event.type == "ERROR":
            status = decoded(bytes(event.object), Status)
            if status.code == GONE:
                raise ExpiredError
            raise UnreachableError(reason=status.message or "the API server ended the watch")
        self._silent = False
        found = decoded(bytes(event.object), NodeObject)
        self._version = found.metadata.resource_version
        name = found.metadata.name
        match event.type:
            case "ADDED" | "MODIFIED":
                self._changed(name, node_of(found, self._clock.now()))
            case "DELETED":
                self._known.pop(name, None)
                self._pending.append(NodeChanged(name=name, node=None))
            case _:
                pass  # a bookmark has a version only

    def _changed(self, name: str, node: NodeSeen) -> None:
        before = self._known.get(name)
        self._known[name] = node
        if before is None or replace(before, seen_at=node.seen_at) != node:
            self._pending.append(NodeChanged(name=name, node=node))


def _again(state: tenacity.RetryCallState) -> None:
    error = None if state.outcome is None else state.outcome.exception()
    log.info("nodes not watched yet", attempt=state.attempt_number, reason=str(error))
