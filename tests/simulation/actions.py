"""Everything that may happen to a simulated fleet, as values that a script is written in."""

from dataclasses import dataclass

from broker.messages import DrainPolicy
from orchestrator.domain.rollout.strategy import Strategy
from orchestrator.operations import RolloutAction

# What operators ask -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Converge:
    """An operator converges `hosts` (empty: all) on the bundle `digest`."""

    hosts: tuple[int, ...]
    digest: int
    noop: bool
    parallel: int | None
    timeout_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRun:
    """An operator cancels an open run, the one at `place` (0 to 1) among them."""

    place: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """An operator pings everyone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """An operator begins a rollout over `hosts` (empty: all) to the bundle `digest`.

    With `approved` the changes are planned first, and only those are let through.
    """

    hosts: tuple[int, ...]
    digest: int
    strategy: Strategy
    approved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """An operator does something to an open rollout, the one at `place` (0 to 1) among them.

    `host` is the place of the instance to skip or to retry among the rollout's; None retries all that failed.
    """

    action: RolloutAction
    place: float
    host: float | None = None
    beyond: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainHost:
    """An operator drains a host."""

    host: int
    policy: DrainPolicy
    confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UncordonHost:
    """An operator lifts our cordon of a host."""

    host: int


# What goes wrong ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class KillWing:
    """A wing is killed, or with `reset` its whole host."""

    host: int
    away_s: float
    reset: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWing:
    """A wing is stopped in order."""

    host: int
    away_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DoomWing:
    """A wing dies before or after its `writes`th write from now."""

    host: int
    writes: int
    after: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WipeHost:
    """A host is installed anew."""

    host: int
    away_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneHost:
    """A host's disk is copied, and for a while two hosts have one identity."""

    host: int
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CutWing:
    """A wing can't reach the broker for a while."""

    host: int
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOrchestrator:
    """The orchestrator can't reach the broker for a while."""

    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StopBroker:
    """The broker goes down for a while; with `forget` nothing of it is left."""

    for_s: float
    forget: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KillOrchestrator:
    """The orchestrator is killed."""

    away_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DoomOrchestrator:
    """The orchestrator dies before or after its `commits`th commit from now."""

    commits: int
    after: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldLock:
    """Somebody else's Puppet is at work on a host for a while."""

    host: int
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FillDisk:
    """A host's disk is full for a while."""

    host: int
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Meddle:
    """Somebody uncordons a host's Node with kubectl, whoever cordoned it; or cordons it for a while."""

    host: int
    cordon: bool
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftAway:
    """Something on a host changes, so that a bundle would change other things than it would have before."""

    host: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeOrchestrator:
    """The orchestrator's process stops after its `commits`th commit from now, as by SIGSTOP.

    What it had decided by then is not sent yet. Another takes the lead after `until_taken_s`, and after
    `for_s` the first one goes on.
    """

    commits: int
    for_s: float
    until_taken_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackUp:
    """Somebody copies the orchestrator's journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """The orchestrator comes back with the journal as it was when it was copied last."""

    away_s: float


Action = (
    Converge
    | CancelRun
    | Ping
    | Upgrade
    | Steer
    | DrainHost
    | UncordonHost
    | KillWing
    | StopWing
    | DoomWing
    | WipeHost
    | CloneHost
    | CutWing
    | CutOrchestrator
    | StopBroker
    | KillOrchestrator
    | DoomOrchestrator
    | HoldLock
    | FillDisk
    | Meddle
    | DriftAway
    | FreezeOrchestrator
    | BackUp
    | Restore
)
