"""What the outside is shown of a cluster: the shapes of `-o json`, as frozen values.

The service makes them, the API writes them as JSON with these very field names, and the client reads
them back; so a shape is decided once, here. Fields may be added, never renamed. Times are aware UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from broker.ids import Boot, ClusterName, Digest, InstanceId, MessageId, Role, RolloutId, RunId


class PresenceState(Enum):
    """Whether an instance is there: `OFFLINE` stopped in order, `LOST` did not, `UNKNOWN` not heard yet."""

    ONLINE = "online"
    OFFLINE = "offline"
    LOST = "lost"
    UNKNOWN = "unknown"


class InstanceOutcome(Enum):
    """What an instance last proved, or `RUNNING` while a run that is no noop is under way."""

    CONVERGED = "converged"
    APPLIED = "applied"
    FAILED = "failed"
    RUNNING = "running"
    UNKNOWN = "unknown"


class RunState(Enum):
    """Where a run is; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return self not in {RunState.QUEUED, RunState.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which instances: every given condition must hold; none given selects nothing but with `everything`."""

    roles: tuple[Role, ...] = ()
    instances: tuple[InstanceId, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    everything: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceView:
    """One instance as operators see it; `facts` describe its host, `counters` what it dropped, by reason."""

    id: InstanceId
    role: Role
    pool: str
    labels: Mapping[str, str]
    cluster: ClusterName
    presence: PresenceState
    boot: Boot | None
    desired: Digest | None
    observed: Digest | None
    outcome: InstanceOutcome
    drift: bool
    reason: str
    since: datetime | None
    last_seen: datetime | None
    version: str | None
    facts: Mapping[str, Any]
    counters: Mapping[str, int]
    run: RunId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeView:
    """One property of one resource that a run changed, or would change."""

    resource: str
    property: str
    before: str
    after: str
    diff: str | None
    file: str | None
    line: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run; `progress` is `(done, total)` of the execution under way."""

    id: RunId
    instance: InstanceId
    role: Role
    digest: Digest
    noop: bool
    state: RunState
    outcome: str | None
    verdict: str | None
    changed: int
    failed: int
    skipped: int
    total: int
    exit_codes: tuple[int, ...]
    reason: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    requested_by: str
    caused_by: MessageId | None
    diff_hash: str | None
    changes: tuple[ChangeView, ...] = ()
    changes_left_out: int = 0
    progress: tuple[int, int] | None = None
    log_complete: bool = False
    rollout: RolloutId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleView:
    """A bundle to converge to; `size` is of the canonical tar, `packed` of its transport, in bytes."""

    digest: Digest
    size: int
    packed: int
    name: str | None
    version: str | None
    roles: tuple[Role, ...]
    pushed_at: datetime
    pushed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanGroup:
    """Changes that the same instances share, and which those are; no change stands in two groups.

    What is an instance's own reads `${root}` and `${instance}` in them.
    """

    instances: tuple[InstanceId, ...]
    changes: tuple[ChangeView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFailure:
    """An instance whose dry run did not succeed, and why."""

    instance: InstanceId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """What a bundle would change; `diff_hash` is stable for the same changes on the same instances."""

    id: str
    bundle: Digest
    complete: bool
    diff_hash: str | None
    groups: tuple[PlanGroup, ...]
    unchanged: tuple[InstanceId, ...]
    failed: tuple[PlanFailure, ...]
    pending: tuple[InstanceId, ...]
    runs: tuple[RunId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One line of the tail; `cursor` orders all of them, `seq` is None except for facts."""

    cursor: int
    id: MessageId
    kind: str
    at: datetime
    instance: InstanceId | None
    role: Role | None
    boot: Boot | None
    seq: int | None
    caused_by: MessageId | None
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveView:
    """A log line or progress as it is said: no cursor, never stored, may be lost."""

    kind: str
    at: datetime
    instance: InstanceId
    role: Role
    run: RunId
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PingView:
    """One wing's answer to a ping; both times in seconds, None where there was no answer."""

    instance: InstanceId
    round_trip_s: float | None
    clock_offset_s: float | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """Whether all is well; each problem says what, where and what to do."""

    healthy: bool
    problems: tuple[str, ...]
    broker: Mapping[str, Any]
    orchestrator: Mapping[str, Any]
    leader: str
    epoch: int
    instances: Mapping[str, int]
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvergeTicket:
    """What a request to converge or plan has set going: its id and a run for each instance it found."""

    id: str
    digest: Digest
    noop: bool
    runs: tuple[RunView, ...]
