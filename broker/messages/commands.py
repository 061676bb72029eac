"""What an orchestrator may tell a wing to do, and whom a command is for."""

from dataclasses import dataclass
from datetime import datetime

from broker import ids
from broker.ids import Boot, ClusterName, Digest, Epoch, InstanceId, MessageId, Role, RunId
from broker.messages import checks
from broker.messages.checks import not_negative, positive
from broker.messages.upkeep import OrderBody


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom a command is for; without an instance every wing of the role, with a boot only that one."""

    cluster: ClusterName
    role: Role
    instance: InstanceId | None = None
    boot: Boot | None = None

    def __post_init__(self) -> None:
        ids.cluster_name(self.cluster)
        ids.role(self.role)
        if self.instance is not None:
            ids.instance_id(self.instance)
        if self.boot is not None:
            ids.boot(self.boot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Converge:
    """Make the instance what the bundle says, and prove it; with `noop` only say what would change."""

    run: RunId
    digest: Digest
    size: int
    url: str
    noop: bool = False
    diff: str | None = None
    timeout_s: int = 1800
    attempts: int = 3
    confirm: bool = True

    def __post_init__(self) -> None:
        ids.run_id(self.run)
        ids.digest(self.digest)
        positive("size", self.size)
        positive("timeout_s", self.timeout_s)
        positive("attempts", self.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefetch:
    """Fetch, verify and unpack a bundle ahead of its converge."""

    digest: Digest
    size: int
    url: str

    def __post_init__(self) -> None:
        ids.digest(self.digest)
        positive("size", self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """End a run, or an order by its id, or forbid one that is not known yet."""

    run: RunId

    def __post_init__(self) -> None:
        ids.run_id(self.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Answer with a `Pong` at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """Every fact of `boot` up to `seq` is stored; the wing may forget them."""

    boot: Boot
    seq: int

    def __post_init__(self) -> None:
        ids.boot(self.boot)
        not_negative("seq", self.seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Send the facts of `boot` from `first` on again, at most `limit` of them."""

    boot: Boot
    first: int
    limit: int = 500

    def __post_init__(self) -> None:
        ids.boot(self.boot)
        positive("limit", self.limit)
        positive("first", self.first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Describe yourself: publish a birth again."""


Control = Ping | Ack | Replay | Report
CommandBody = Converge | Prefetch | Cancel | OrderBody | Control


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An imperative to a wing; obeyed only if signed, meant for it, fresh, and of the highest epoch."""

    id: MessageId
    at: datetime
    caused_by: MessageId | None = None
    target: Target
    epoch: Epoch
    not_after: datetime
    body: CommandBody

    def __post_init__(self) -> None:
        checks.envelope(self.id, self.caused_by)
        not_negative("epoch", self.epoch)
