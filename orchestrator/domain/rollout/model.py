"""A rollout as a value: what it is to do, how far each instance is, and why whatever waits does so.

All of it is written to the journal before anything that follows from it is done. Steps are kept apart from
the rollout's own record, so that one instance's progress is one small row, in a fleet of any size.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from broker.ids import Digest, InstanceId, Role, RolloutId
from orchestrator.domain.rollout.strategy import Strategy


class RolloutState(Enum):
    """Where a rollout is; the last three are final. `PENDING`: its window has not opened yet."""

    PENDING = "pending"
    PROGRESSING = "progressing"
    PAUSED = "paused"
    REVERTING = "reverting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return self in {RolloutState.SUCCEEDED, RolloutState.FAILED, RolloutState.ABORTED}

    @property
    def may_start(self) -> bool:
        """Whether new disruption may start, as far as this says."""
        return self in {RolloutState.PROGRESSING, RolloutState.REVERTING}


class StepState(Enum):
    """Where one instance is on its way."""

    PENDING = "pending"
    PREFETCHING = "prefetching"
    WAITING = "waiting"
    DRAINING = "draining"
    REPLACING = "replacing"
    CONVERGING = "converging"
    VERIFYING = "verifying"
    UNCORDONING = "uncordoning"
    SOAKING = "soaking"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    REVERTED = "reverted"

    @property
    def is_over(self) -> bool:
        """Whether the step has come to an end, a good one or not."""
        return self in {StepState.DONE, StepState.FAILED, StepState.SKIPPED, StepState.REVERTED}

    @property
    def is_away(self) -> bool:
        """Whether the instance is disrupted, from its drain to the lifting of its cordon."""
        return self in {
            StepState.DRAINING,
            StepState.REPLACING,
            StepState.CONVERGING,
            StepState.VERIFYING,
            StepState.UNCORDONING,
        }


class Cause(Enum):
    """Why something waits or failed; `why` has the sentence and the next safe command for each."""

    # What holds up a whole rollout.
    WINDOW_CLOSED = "window closed"
    PAUSED_BY_OPERATOR = "paused by operator"
    TOO_MANY_FAILED = "too many failed"
    SOME_FAILED = "some failed"
    REVERT_FAILED = "revert failed"
    FAILED_TAKE_ROOM = "failed ones take the room"
    INVARIANT_BROKEN = "invariant broken"
    ABORTING = "aborting"
    # What holds up a step before its instance is disrupted.
    ROLLOUT_STOPPED = "rollout stopped"
    WAVE_NOT_OPEN = "wave not open"
    NOT_ONLINE = "not online"
    DISPUTED = "two hosts"
    OWNED = "owned by another"
    OTHER_RUN = "another run"
    CORDONED = "cordoned by another"
    NOT_READY = "Node not Ready"
    NO_ROOM = "too many unavailable"
    NO_QUORUM = "no quorum"
    QUORUM_NOT_SEEN = "quorum not seen"
    BROKER_GONE = "broker gone"
    JOURNAL_DOUBTED = "journal doubted"
    # What a step under way waits for.
    NOT_SENT = "not sent"
    NOT_STARTED = "not started"
    WORKING = "working"
    LOST_ON_THE_WAY = "lost on the way"
    PUPPET_BUSY = "puppet busy"
    DRAIN_BLOCKED = "drain blocked"
    BEING_REPLACED = "being replaced"
    NEW_WING_AWAITED = "new wing awaited"
    HEALTH_FAILING = "health failing"
    BACKING_OUT = "backing out"
    REPORT_DUE = "report due"
    WAVE_UNDER_WAY = "wave under way"
    SOAKING = "soaking"
    # Why a step failed.
    PREFETCH_FAILED = "prefetch failed"
    DIFF_DIFFERS = "diff differs"
    DRAIN_FAILED = "drain failed"
    NOT_REPLACED = "not replaced"
    REPLACEMENT_LEFT = "replacement left"
    CONVERGE_FAILED = "converge failed"
    HEALTH_FAILED = "health failed"
    UNCORDON_FAILED = "uncordon failed"
    SILENT = "silent"
    FAILED_IN_SOAK = "failed in soak"
    NOTHING_TO_GO_BACK_TO = "nothing to go back to"
    REVOKED = "revoked"
    # Why an instance that is in no rollout needs someone.
    DIFFERS = "differs"
    # Why a step was skipped or a rollout ended.
    HAS_IT_ALREADY = "has it already"
    SKIPPED_BY_OPERATOR = "skipped by operator"
    NEVER_BEGUN = "never begun"
    REVERTED_BY_OPERATOR = "reverted by operator"
    REVERTED_AFTER_FAILURE = "reverted after failure"
    ABORTED_BY_OPERATOR = "aborted by operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """A cause with what it needs to be told: `said` fills the places of its sentence."""

    cause: Cause
    said: Mapping[str, str] = field(default_factory=dict)


class Leaving(Enum):
    """What a step does once it has been brought back from a drain that shall not go on."""

    PENDING = "pending"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """When a step came to each part of its way, as far as it has."""

    begun_at: datetime | None = None
    away_at: datetime | None = None
    converging_at: datetime | None = None
    converged_at: datetime | None = None
    back_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One instance's way from the bundle `origin` (None: not known) to `target`, in wave `wave` (from 1).

    `back` says that it is on its way back to `origin`; `touched` that its converge has been asked for, or
    another machine, so that it has to be proved again on a revert; `cordoned` that a drain was asked for, so
    that our cordon may be there, and `drained` that it succeeded. `former` is the signing key of the machine
    that is to be made anew (None: it is not, or not yet), `replaced` says that another has joined in its
    place. `work` is the id of the run or order that the step waits for,
    `tries` how often that was begun. `leaving` is set while a drain is taken back. `progressed_at` is the
    last sign of progress, from which silence counts.
    """

    instance: InstanceId
    role: Role
    wave: int
    target: Digest
    origin: Digest | None = None
    approved: str | None = None
    state: StepState = StepState.PENDING
    why: Why | None = None
    back: bool = False
    touched: bool = False
    cordoned: bool = False
    drained: bool = False
    former: str | None = None
    replaced: bool = False
    work: str | None = None
    tries: int = 0
    leaving: Leaving | None = None
    since: datetime | None = None
    progressed_at: datetime | None = None
    timings: Timings = Timings()

    @property
    def goal(self) -> Digest | None:
        """The bundle that the step takes its instance to now."""
        return self.origin if self.back else self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Instances that are released together; `canary` if they go before all others of their role."""

    number: int
    role: Role
    instances: tuple[InstanceId, ...]
    canary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Taking a frozen set of instances to `bundle`; `failed` and `over` count the steps that are.

    `whole_roles` are those of which every instance was meant, so that those who join later shall have it too.
    `wave` is the one that is open, counted within `waves` or, on the way back, `back_waves`; `soak_until`
    when its watching ends. `forgiven` failures were seen by an operator who said to go on; `beyond` of them
    don't count as unavailable. `aborted_by` and `reverted_by` name who asked; `reverting` says that the way
    back has begun.
    """

    id: RolloutId
    bundle: Digest
    strategy: Strategy
    requested_by: str
    created_at: datetime
    automatic: bool = False
    state: RolloutState = RolloutState.PROGRESSING
    why: Why | None = None
    waves: tuple[Wave, ...] = ()
    back_waves: tuple[Wave, ...] = ()
    steps: Mapping[InstanceId, Step] = field(default_factory=dict)
    whole_roles: tuple[Role, ...] = ()
    failed: int = 0
    over: int = 0
    wave: int = 1
    soak_until: datetime | None = None
    forgiven: int = 0
    beyond: int = 0
    reverting: bool = False
    reverted_by: str = ""
    aborted_by: str = ""
    finished_at: datetime | None = None

    @property
    def open_wave(self) -> Wave | None:
        """The wave whose instances may be taken now, None behind the last."""
        waves = self.back_waves if self.reverting else self.waves
        return waves[self.wave - 1] if self.wave <= len(waves) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """An instance's place among those of its role that are disrupted, and who disrupts it.

    `owner` is a rollout's id, a bare drain's, or the ticket of a converge; an instance has one at a time.
    """

    instance: InstanceId
    role: Role
    owner: str
    since: datetime


def number_of(text: str, prefix: str = "r-") -> int:
    """Return the number in an id such as `r-7`; 0 for what is of another form."""
    number = text.removeprefix(prefix)
    return int(number) if text.startswith(prefix) and number.isascii() and number.isdecimal() else 0
