"""The orchestrator's own face, before any HTTP: what may be asked of it, and what it answers.

The API turns requests into these calls and views into JSON; the service answers them. A call that can't
be done raises a `RefusedError`, which says why and what to do, and changes nothing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Protocol

from broker.ids import Digest, InstanceId, OrchestratorName, Role, RolloutId, RunId
from broker.messages import DrainPolicy
from orchestrator.domain.join_views import EnrolmentView, RevokedView, TokenView
from orchestrator.domain.rollout.strategy import Strategy
from orchestrator.domain.rollout_views import DrainView, RolloutView, WhyView
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


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeRequest:
    """Take the selected instances to `digest` as `strategy` says.

    `approved` is the hash of a plan whose changes were read: nothing else may be changed. `confirmed` says
    that a person has agreed to the outages that the plan names.
    """

    selector: Selector
    digest: Digest
    strategy: Strategy
    approved: str | None = None
    confirmed: bool = False
    requested_by: str = ""


class RolloutAction(Enum):
    """What an operator may do to a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    RETRY = "retry"
    SKIP = "skip"
    REVERT = "revert"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActRequest:
    """An action on a rollout: `instances` are those to skip or retry (empty: all that failed).

    `beyond_failed` goes with `RESUME` and `RETRY`: so many failed instances don't count as unavailable.
    """

    rollout: RolloutId
    action: RolloutAction
    instances: tuple[InstanceId, ...] = ()
    beyond_failed: int = 0
    requested_by: str = ""


class Rollouts(Protocol):
    """Upgrades of a living fleet."""

    async def preview(self, request: UpgradeRequest) -> RolloutView:
        """Return what `upgrade` would do, and change nothing.

        Refuses what `upgrade` would refuse, except that nothing has to be confirmed.
        """

    async def upgrade(self, request: UpgradeRequest) -> RolloutView:
        """Begin a rollout; refused if it is not confirmed, or an instance is in another rollout."""

    async def rollouts(self, *, limit: int = 100, before: RolloutId | None = None) -> Sequence[RolloutView]:
        """Return rollouts, newest first, without their steps."""

    async def rollout(self, rollout: RolloutId) -> RolloutView:
        """Return one rollout, or raise a RefusedError of kind `unknown-rollout`."""

    async def act(self, request: ActRequest) -> RolloutView:
        """Do something to a rollout; refused where its state does not allow that."""

    async def why(self, subject: str | None) -> Sequence[WhyView]:
        """Return why an instance or a rollout waits or failed (None: whatever does), if anything does."""


class Drains(Protocol):
    """Emptying single instances, outside any rollout."""

    async def drain(
        self, instance: InstanceId, policy: DrainPolicy, *, confirmed: bool, requested_by: str
    ) -> DrainView:
        """Drain an instance and leave it cordoned, through the same gates as a rollout's."""

    async def uncordon(self, instance: InstanceId, *, requested_by: str) -> DrainView:
        """Lift a cordon of ours."""

    async def drain_state(self, drain: str) -> DrainView:
        """Return how a drain or an uncordon goes, or raise a RefusedError of kind `unknown-drain`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """Whom a token is to be for; `addresses` go into its certificate, besides its id."""

    instance: InstanceId
    role: Role
    pool: str
    labels: Mapping[str, str]
    node: str | None
    addresses: tuple[str, ...]
    life_s: float
    requested_by: str


class Enrolments(Protocol):
    """Who belongs to the fleet, and who may join it."""

    async def token(self, request: TokenRequest) -> TokenView:
        """Make a token that is good once; refused where nobody could join with it."""

    async def tokens(self) -> Sequence[TokenView]:
        """Return the tokens that are kept, newest first."""

    async def enrolled(self) -> Sequence[EnrolmentView]:
        """Return who is enrolled, by id."""

    async def revoke(self, instance: InstanceId, *, requested_by: str) -> RevokedView:
        """Withdraw an instance's open tokens, and take it off the fleet if it has joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """What a host says to join: its token, its certificate request (PEM), its public signing key (base64)."""

    token: str
    csr: str
    signing_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinAnswer:
    """All that a host needs to be its instance; `orchestrators` are whom it obeys, by name."""

    cluster: str
    instance: InstanceId
    role: Role
    pool: str
    labels: Mapping[str, str]
    node: str | None
    broker_host: str
    broker_port: int
    orchestrators: Mapping[OrchestratorName, str]
    certificate: str
    ca: str


class Joins(Protocol):
    """The way into the fleet."""

    async def authority(self) -> bytes:
        """Return the certificate (PEM) of the authority that everyone trusts, and tokens name by its hash."""

    async def join(self, request: JoinRequest, *, peer: str) -> JoinAnswer:
        """Let a host in by its token, or raise a RefusedError of kind `not-admitted`."""
