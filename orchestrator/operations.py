"""The orchestrator's own face, before any HTTP: what may be asked of it, and what it answers.

The API turns requests into these calls and views into JSON; the service answers them. A call that can't
be done raises a `RefusedError`, which says why and what to do, and changes nothing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from broker.ids import Digest, InstanceId, Role, RunId
from orchestrator.domain.views import (
    BundleView,
    ConvergeTicket,
    EventView,
    InstanceView,
    LiveView,
    PingView,
    PlanView,
    RunState,
    RunView,
    Selector,
    StatusView,
)


class RefusedError(Exception):
    """What was asked can't be done: `kind` is a stable word, `status` HTTP's, `action` what to do."""

    def __init__(self, *, kind: str, status: int, title: str, detail: str, action: str) -> None:
        self.kind = kind
        self.status = status
        self.title = title
        self.detail = detail
        self.action = action
        super().__init__(f"{title}: {detail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvergeRequest:
    """Converge the selected instances now; without a digest each on what is desired of it.

    `parallel` bounds how many run at once (None: all), `timeout_s` bounds each run's Puppet.
    """

    selector: Selector
    digest: Digest | None = None
    noop: bool = False
    parallel: int | None = None
    timeout_s: int = 1800
    confirm: bool = True
    requested_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list, newest first; `before` is the last id of the page before."""

    selector: Selector | None = None
    states: tuple[RunState, ...] = ()
    ticket: str | None = None
    limit: int = 100
    before: RunId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events: after `cursor`, not before `since`, of those roles, instances and kinds (empty: all)."""

    cursor: int = 0
    since: datetime | None = None
    roles: tuple[Role, ...] = ()
    instances: tuple[InstanceId, ...] = ()
    kinds: tuple[str, ...] = ()


class Fleet(Protocol):
    """What is known of the cluster."""

    async def instances(self, selector: Selector | None) -> Sequence[InstanceView]:
        """Return the selected instances (None: all), by id."""

    async def instance(self, instance: InstanceId) -> InstanceView:
        """Return one instance, or raise a RefusedError of kind `unknown-instance`."""

    async def status(self) -> StatusView:
        """Return whether all is well, and what is not."""

    async def ping(self, selector: Selector, *, timeout_s: float) -> Sequence[PingView]:
        """Return each wing's answer, or after `timeout_s` that there was none."""

    async def acknowledge(self, *, requested_by: str) -> StatusView:
        """Let reconciliation go on after the journal was found restored: a person has looked at it."""

    async def ready(self) -> Mapping[str, bool]:
        """Return what must hold before the orchestrator can work (journal, broker), by name."""


class Runs(Protocol):
    """Converging, and what became of it."""

    async def converge(self, request: ConvergeRequest) -> ConvergeTicket:
        """Set runs going on the selected instances; an empty selection, or no bundle for it, is refused."""

    async def runs(self, query: RunFilter) -> Sequence[RunView]:
        """Return runs, newest first, without their changes."""

    async def run(self, run: RunId) -> RunView:
        """Return one run with its changes, or raise a RefusedError of kind `unknown-run`."""

    async def run_log(self, run: RunId) -> Sequence[Mapping[str, object]]:
        """Return the complete log, a line each, or raise a RefusedError while it is not complete."""

    async def cancel(self, run: RunId, *, requested_by: str) -> RunView:
        """Ask the run's wing to end it; a final run is refused."""

    async def plan(self, ticket: str) -> PlanView:
        """Return what the noop runs of `ticket` have found so far."""


class Bundles(Protocol):
    """The bundles that the orchestrator knows and serves."""

    async def bundles(self) -> Sequence[BundleView]:
        """Return the known bundles, newest first."""

    async def bundle(self, digest: Digest) -> BundleView:
        """Return one bundle, or raise a RefusedError of kind `unknown-bundle`."""

    async def packed(self, digest: Digest) -> Path:
        """Return the packed file of a bundle (gzip), or raise a RefusedError of kind `unknown-bundle`."""

    async def receive(self, chunks: AsyncIterator[bytes], *, pushed_by: str) -> BundleView:
        """Take a packed bundle, verify it whole, keep it by its digest; the same one twice is the same."""


class Tail(Protocol):
    """The live stream."""

    def events(self, query: EventFilter, *, follow: bool) -> AsyncIterator[EventView]:
        """Yield stored events in order of cursor, then, with `follow`, new ones without end."""

    def live(self, *, instances: Sequence[InstanceId], runs: Sequence[RunId]) -> AsyncIterator[LiveView]:
        """Yield log lines and progress as they come (empty: of all); a slow reader misses some."""
