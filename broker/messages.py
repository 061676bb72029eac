"""Every message of the mesh protocol, version 1, as frozen values, and the registry of their kinds.

Both sides of the wire speak only of these. What a message may hold is decided here once: a body that
does not fit its class never gets past `broker.codec`. Kinds are listed by hand in `KINDS`, so renaming
a class never changes the wire.

Times are aware UTC. Durations are whole seconds (`…_s`). Sizes are bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

from broker import ids
from broker.ids import Boot, ClusterName, Digest, Epoch, InstanceId, MessageId, Role, RunId

MAX_MESSAGE: Final = 256 * 1024
CHUNK: Final = 128 * 1024


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


# Commands ---------------------------------------------------------------------------------------


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
        _positive("size", self.size)
        _positive("timeout_s", self.timeout_s)
        _positive("attempts", self.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefetch:
    """Fetch, verify and unpack a bundle ahead of its converge."""

    digest: Digest
    size: int
    url: str

    def __post_init__(self) -> None:
        ids.digest(self.digest)
        _positive("size", self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """End a run, or forbid one that is not known yet."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Send the facts of `boot` from `first` on again, at most `limit` of them."""

    boot: Boot
    first: int
    limit: int = 500

    def __post_init__(self) -> None:
        ids.boot(self.boot)
        _positive("limit", self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Describe yourself: publish a birth again."""


Control = Ping | Ack | Replay | Report
CommandBody = Converge | Prefetch | Cancel | Control


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


# Facts ------------------------------------------------------------------------------------------


class RejectReason(Enum):
    """Why a wing did not accept a command."""

    BAD_SIGNATURE = "bad signature"
    WRONG_TARGET = "wrong target"
    STALE_EPOCH = "stale epoch"
    OTHER_BOOT = "other boot"
    EXPIRED = "expired"
    JOURNAL_FULL = "journal full"
    IDENTITY_CONFLICT = "identity conflict"
    STOPPING = "stopping"


class Verdict(Enum):
    """What a run proved about its instance; only `CONVERGED` and `APPLIED` are successes."""

    CONVERGED = "converged"
    APPLIED = "applied"
    FAILED = "failed"


class RunOutcome(Enum):
    """How the Puppet executions of a run ended, taken together."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    FAILED = "failed"
    NOT_RUN = "not_run"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A run's log or report, carried in `RunChunk` facts; `digest` covers its bytes put together."""

    name: str
    digest: Digest
    size: int
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run did: counts are those of its last execution, `exit_codes` one for each execution.

    `changed` counts over all executions. `verdict` is None for a noop, which proves nothing about its
    instance. `diff_hash` is the hash of what would change or changed, None where there is no report.
    """

    run: RunId
    digest: Digest
    noop: bool
    outcome: RunOutcome
    verdict: Verdict | None
    reason: str
    changed: int
    failed: int
    skipped: int
    total: int
    exit_codes: tuple[int, ...]
    started_at: datetime
    finished_at: datetime
    diff_hash: str | None = None
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The command is in the wing's journal and will get exactly one final answer."""

    command: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The command was refused and is not remembered; `epoch` is the refused one's."""

    command: MessageId
    reason: RejectReason
    detail: str
    epoch: Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The command's work has begun; `run` is None for what is no run."""

    command: MessageId
    run: RunId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWaiting:
    """A started run waits for someone else, whom `reason` names (such as a holder of Puppet's lock)."""

    command: MessageId
    run: RunId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChunk:
    """Part `index` (from 0) of `count` of a run's attachment `name`."""

    run: RunId
    name: str
    index: int
    count: int
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """Final: the command did what was asked."""

    command: MessageId
    result: RunResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Final: the command did not do what was asked, for `reason`."""

    command: MessageId
    reason: str
    result: RunResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Final: the command was ended, or never started, because someone wanted so."""

    command: MessageId
    reason: str
    result: RunResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """Final: the wing or its host went away in the middle; what was done is not known."""

    command: MessageId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncated:
    """The journal's bound was reached: facts `first` to `last` of `boot` are gone for good."""

    boot: Boot
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The wing can't work as it should, for a reason that a person has to look at."""

    what: str
    detail: str


FinalAnswer = Succeeded | Failed | Cancelled | Interrupted
FactBody = Accepted | Rejected | Started | RunWaiting | RunChunk | FinalAnswer | Truncated | Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A past-tense statement of a wing, numbered from 1 within its boot.

    `prev` is the SHA-256 of the payload of the fact before it in the same boot (32 zero bytes for the
    first): the chain in which nothing can be invented, dropped or reordered unnoticed.
    """

    id: MessageId
    at: datetime
    caused_by: MessageId | None = None
    boot: Boot
    seq: int
    prev: bytes
    body: FactBody

    def __post_init__(self) -> None:
        ids.boot(self.boot)
        _positive("seq", self.seq)
        if len(self.prev) != CHAIN_HASH:
            raise ValueError(f"prev: {len(self.prev)} bytes, not {CHAIN_HASH}")


CHAIN_HASH: Final = 32
CHAIN_START: Final = bytes(CHAIN_HASH)


# Presence ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The facts of one boot that no ack has covered: `first` to `last`, none missing between them."""

    boot: Boot
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the instance last proved, by a run that was no noop."""

    digest: Digest
    verdict: Verdict
    run: RunId
    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What describes the host to a person."""

    hostname: str
    addresses: tuple[str, ...]
    os: str
    kernel: str
    puppet: str
    cores: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What births and heartbeats both say.

    `epoch` is the highest seen. `head_seq` and `head` are the number of the boot's newest fact and the
    SHA-256 of its payload (0 and zero bytes before the first): signed, they vouch for the chain so far.
    `counters` count what was dropped, by reason.
    """

    boot: Boot
    connection: int
    epoch: Epoch
    head_seq: int
    head: bytes
    observed: Observed | None = None
    running: RunId | None = None
    backlog: tuple[Backlog, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A wing has connected."""

    standing: Standing
    version: str
    host: Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A wing is still there."""

    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """A wing has stopped in order."""

    boot: Boot
    connection: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The broker's word, prepared by the wing, that a connection has died."""

    boot: Boot
    connection: int


PresenceBody = Birth | Heartbeat | Offline | Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Whether a wing is there, retained by the broker."""

    id: MessageId
    at: datetime
    caused_by: MessageId | None = None
    body: PresenceBody


# Live -------------------------------------------------------------------------------------------


class Level(Enum):
    """How much a log line matters, in Puppet's words."""

    DEBUG = "debug"
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    ERR = "err"
    ALERT = "alert"
    EMERG = "emerg"
    CRIT = "crit"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that Puppet said: `source` is the resource or part of Puppet, without a trailing newline."""

    at: datetime
    level: Level
    source: str
    message: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLines:
    """Lines of a run as they are said; may be lost."""

    run: RunId
    lines: tuple[LogLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Execution `execution` (from 1) of a run has evaluated `done` of `total` resources; may be lost."""

    run: RunId
    execution: int
    done: int
    total: int
    resource: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The answer to a ping (its id is the envelope's `caused_by`), with the wing's clock when it came."""

    boot: Boot
    received_at: datetime


LiveBody = LogLines | Progress | Pong


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """An unnumbered statement of a wing that nothing depends on, but that a pong counts as a sign of life."""

    id: MessageId
    at: datetime
    caused_by: MessageId | None = None
    body: LiveBody


Message = Command | Fact | Presence | Live

COMMAND_KINDS: Final[Mapping[str, type[CommandBody]]] = {
    "converge.v1": Converge,
    "prefetch.v1": Prefetch,
    "cancel.v1": Cancel,
    "ping.v1": Ping,
    "ack.v1": Ack,
    "replay.v1": Replay,
    "report.v1": Report,
}
FACT_KINDS: Final[Mapping[str, type[FactBody]]] = {
    "accepted.v1": Accepted,
    "rejected.v1": Rejected,
    "started.v1": Started,
    "run_waiting.v1": RunWaiting,
    "run_chunk.v1": RunChunk,
    "succeeded.v1": Succeeded,
    "failed.v1": Failed,
    "cancelled.v1": Cancelled,
    "interrupted.v1": Interrupted,
    "truncated.v1": Truncated,
    "trouble.v1": Trouble,
}
PRESENCE_KINDS: Final[Mapping[str, type[PresenceBody]]] = {
    "birth.v1": Birth,
    "heartbeat.v1": Heartbeat,
    "offline.v1": Offline,
    "lost.v1": Lost,
}
LIVE_KINDS: Final[Mapping[str, type[LiveBody]]] = {
    "log_lines.v1": LogLines,
    "progress.v1": Progress,
    "pong.v1": Pong,
}


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name}: {value} is less than 1")
