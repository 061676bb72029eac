"""What a wing states about the past: answers to commands, parts of a run's account, troubles."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from broker import ids
from broker.ids import Boot, Digest, Epoch, MessageId, RunId
from broker.messages import checks
from broker.messages.checks import HASH_BYTES, chain_hash, file_name, not_negative, positive
from broker.messages.order_facts import OrderFact

CHAIN_HASH: Final = HASH_BYTES
CHAIN_START: Final = bytes(CHAIN_HASH)


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

    def __post_init__(self) -> None:
        file_name("name", self.name)
        ids.digest(self.digest)
        not_negative("size", self.size)
        not_negative("chunks", self.chunks)


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

    def __post_init__(self) -> None:
        ids.run_id(self.run)
        ids.digest(self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The command is in the wing's journal and will get exactly one final answer."""

    command: MessageId

    def __post_init__(self) -> None:
        ids.message_id(self.command, field="command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The command was refused and is not remembered; `epoch` is the refused one's."""

    command: MessageId
    reason: RejectReason
    detail: str
    epoch: Epoch

    def __post_init__(self) -> None:
        ids.message_id(self.command, field="command")
        not_negative("epoch", self.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The command's work has begun; `run` is None for what is no run."""

    command: MessageId
    run: RunId | None = None

    def __post_init__(self) -> None:
        ids.message_id(self.command, field="command")
        if self.run is not None:
            ids.run_id(self.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWaiting:
    """A started run waits for someone else, whom `reason` names (such as a holder of Puppet's lock)."""

    command: MessageId
    run: RunId
    reason: str

    def __post_init__(self) -> None:
        ids.message_id(self.command, field="command")
        ids.run_id(self.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChunk:
    """Part `index` (from 0) of `count` of a run's attachment `name`."""

    run: RunId
    name: str
    index: int
    count: int
    content: bytes

    def __post_init__(self) -> None:
        ids.run_id(self.run)
        file_name("name", self.name)
        not_negative("index", self.index)
        positive("count", self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """Final: the command did what was asked."""

    command: MessageId
    result: RunResult | None = None

    def __post_init__(self) -> None:
        ids.message_id(self.command, field="command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Final: the command did not do what was asked, for `reason`."""

    command: MessageId
    reason: str
    result: RunResult | None = None

    def __post_init__(self) -> None:
        ids.message_id(self.command, field="command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Final: the command was ended, or never started, because someone wanted so."""

    command: MessageId
    reason: str
    result: RunResult | None = None

    def __post_init__(self) -> None:
        ids.message_id(self.command, field="command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """Final: the wing or its host went away in the middle; what was done is not known."""

    command: MessageId
    reason: str

    def __post_init__(self) -> None:
        ids.message_id(self.command, field="command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncated:
    """The journal's bound was reached: facts `first` to `last` of `boot` are gone for good."""

    boot: Boot
    first: int
    last: int

    def __post_init__(self) -> None:
        ids.boot(self.boot)
        positive("first", self.first)
        positive("last", self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The wing can't work as it should, for a reason that a person has to look at."""

    what: str
    detail: str


FinalAnswer = Succeeded | Failed | Cancelled | Interrupted
FactBody = (
    Accepted | Rejected | Started | RunWaiting | RunChunk | FinalAnswer | OrderFact | Truncated | Trouble
)


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
        positive("seq", self.seq)
        chain_hash("prev", self.prev)
        checks.envelope(self.id, self.caused_by)
