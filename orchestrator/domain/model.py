"""What the orchestrator remembers: the records of its journal, as frozen values.

Intent lives here and nowhere else, so these must survive any crash; whatever can be learnt again from the
mesh (presence, round trips, progress) is not among them. Times are aware UTC; `…_s` are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.ids import Boot, Digest, Epoch, InstanceId, MessageId, OrderId, Role, RolloutId, RunId
from broker.messages import CommandBody, OrderBody, RunResult
from orchestrator.domain.views import ChangeView, RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Who may speak as an instance, and what it is for; `key` is base64 of its raw public signing key.

    `node` is its Kubernetes Node where that has another name. One that has `joined` did so with a token; the
    others stand in the roster. `former` is the key of the machine whose place this one has taken.
    """

    id: InstanceId
    role: Role
    pool: str
    labels: Mapping[str, str]
    key: str
    enrolled_at: datetime
    node: str | None = None
    joined: bool = False
    former: str | None = None

    @property
    def node_name(self) -> str:
        """The name of its Kubernetes Node, if it is one."""
        return self.node or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One converge on one instance, from the request to its one final answer.

    A run waits as `QUEUED` until its ticket releases it and its instance is online; then a command carries
    it, and `command` is that one's id. `result` is the wing's account, None where there is none. `rollout` is
    the one that it is a part of, `diff` the hash of the changes that were approved (None: all are).
    """

    id: RunId
    ticket: str | None
    instance: InstanceId
    role: Role
    digest: Digest
    size: int
    url: str
    noop: bool
    timeout_s: int
    confirm: bool
    automatic: bool
    requested_by: str
    caused_by: MessageId | None
    created_at: datetime
    not_after: datetime
    state: RunState = RunState.QUEUED
    released: bool = False
    command: MessageId | None = None
    accepted: bool = False
    reason: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: RunResult | None = None
    papers_due: bool = False
    rollout: RolloutId | None = None
    diff: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One piece of work on an instance that is no run: a drain, an uncordon, or a look at its health.

    It goes the same way as a run, from `QUEUED` to its one final answer. `owner` is the rollout that it is a
    part of, or the bare drain that it is. `reason` says why it waits, what blocks it, or how it ended;
    `blocked` has each pod or check by itself that does.
    """

    id: OrderId
    instance: InstanceId
    role: Role
    owner: str
    body: OrderBody
    requested_by: str
    created_at: datetime
    not_after: datetime
    caused_by: MessageId | None = None
    state: RunState = RunState.QUEUED
    released: bool = True
    command: MessageId | None = None
    accepted: bool = False
    reason: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    total: int | None = None
    evicted: int = 0
    blocked: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


Work = Run | Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Cordon:
    """A cordon of ours on an instance's Node: in whose name, and since when."""

    owner: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A command that its wing has not answered for good, and when it is sent next.

    `next_at` is None while nothing needs to be sent: the wing has accepted it. It is sent again all the same
    when the instance comes back in another boot, for a wing that has lost its journal can't answer it.
    """

    id: MessageId
    instance: InstanceId
    boot: Boot
    body: CommandBody
    caused_by: MessageId | None
    created_at: datetime
    not_after: datetime
    sends: int = 0
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A request that set runs going, at most `parallel` of them under way at once (None: all)."""

    id: str
    digest: Digest
    noop: bool
    parallel: int | None
    requested_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle that was pushed: `size` of its canonical tar and `packed` of its transport, in bytes."""

    digest: Digest
    size: int
    packed: int
    name: str | None
    version: str | None
    roles: tuple[Role, ...]
    pushed_at: datetime
    pushed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the tail before it has its cursor."""

    id: MessageId
    kind: str
    at: datetime
    instance: InstanceId | None = None
    role: Role | None = None
    boot: Boot | None = None
    seq: int | None = None
    caused_by: MessageId | None = None
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leadership:
    """Who leads the cluster, and the fence of the commands; `restored` says why the journal is doubted.

    `until` is when the lease ends if it is not renewed, None where another means (a lock) keeps others out.
    """

    epoch: Epoch
    holder: str
    since: datetime
    restored: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """What a run's attachments held: its changes, and its log as the wing packed it (None: no log).

    `reason` says why they can't be believed or read, empty if they can.
    """

    run: RunId
    changes: tuple[ChangeView, ...] = ()
    left_out: int = 0
    log: bytes | None = None
    reason: str = ""
