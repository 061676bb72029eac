"""What a wing knows, as one frozen value: its journal's content, and the little that a restart may forget."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeVar

from broker.bucket import Bucket
from broker.ids import Boot, ClusterName, Epoch, InstanceId, MessageId, Role
from broker.messages import Backlog, FinalAnswer, Observed, Standing
from wing.entries import Answered, Entry, Underway, Waiting, WorkId, changes_host, run_of, work_of
from wing.facts import FactLog

MOST_STRETCHES: Final = 500
"""How much of a backlog a standing names: the newest, so that a message can carry it whatever happened."""

NO_EPOCH: Final = Epoch(0)
STRANGERS: Final = Bucket(per_s=1.0, burst=1.0)
REJECTIONS: Final = Bucket(per_s=10.0, burst=100.0)

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this wing was enrolled as."""

    cluster: ClusterName
    role: Role
    instance: InstanceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """A piece of work was cancelled before it was known: by which command, and when."""

    by: MessageId
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """The boot of another host with this wing's identity, and when it was last seen alive."""

    boot: Boot
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What the journal gives a wing at its start; `boot` has just been counted, `entries` are in order."""

    boot: Boot
    epoch: Epoch = NO_EPOCH
    entries: tuple[Entry, ...] = ()
    bans: Mapping[WorkId, Ban] = field(default_factory=dict)
    observed: Observed | None = None
    backlog: tuple[Backlog, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A wing between two events. `entries` are in the order in which they were accepted."""

    identity: Identity
    since: datetime
    log: FactLog
    epoch: Epoch = NO_EPOCH
    entries: Mapping[MessageId, Entry] = field(default_factory=dict)
    bans: Mapping[WorkId, Ban] = field(default_factory=dict)
    observed: Observed | None = None
    backlog: tuple[Backlog, ...] = ()
    connection: int = 0
    rival: Rival | None = None
    stopping: bool = False
    full: bool = False
    unwritable: str | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    strangers: Bucket = STRANGERS
    rejections: Bucket = REJECTIONS

    @classmethod
    def restored(cls, identity: Identity, remembered: Remembered, *, at: datetime) -> "State":
        """Return the state of a wing that starts at `at` with what its journal holds."""
        return cls(
            identity=identity,
            since=at,
            log=FactLog(boot=remembered.boot),
            epoch=remembered.epoch,
            entries=MappingProxyType({entry.id: entry for entry in remembered.entries}),
            bans=MappingProxyType(dict(remembered.bans)),
            observed=remembered.observed,
            backlog=remembered.backlog,
        )

    @property
    def boot(self) -> Boot:
        """The boot whose facts are being told."""
        return self.log.boot

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """What is accepted and not started, in order."""
        return tuple(entry for entry in self.entries.values() if isinstance(entry, Waiting))

    @property
    def underway(self) -> tuple[Underway, ...]:
        """What is started and not answered."""
        return tuple(entry for entry in self.entries.values() if isinstance(entry, Underway))

    @property
    def answered(self) -> tuple[Answered, ...]:
        """What is answered and not forgotten."""
        return tuple(entry for entry in self.entries.values() if isinstance(entry, Answered))

    @property
    def change(self) -> Underway | None:
        """The one thing that is changing the host, if there is one."""
        return next((entry for entry in self.underway if changes_host(entry.command)), None)

    @property
    def conflicted(self) -> bool:
        """Whether another host was lately seen with this identity."""
        return self.rival is not None

    def of_work(self, work: WorkId) -> Entry | None:
        """Return the command that is about `work`: the one under way, else the newest that is remembered."""
        found = [entry for entry in self.entries.values() if work_of(entry) == work]
        return next((entry for entry in found if isinstance(entry, Underway)), found[-1] if found else None)

    def answer_of(self, work: WorkId) -> FinalAnswer | None:
        """Return how `work` ended, None if it has not or nothing is remembered of it: it has one end only."""
        ends = (entry.said for entry in self.answered if entry.work == work)
        return None if self.is_doing(work) else next(ends, None)

    def twins(self, entry: Entry) -> tuple[Waiting, ...]:
        """Return the other commands that wait to do the very work of `entry`."""
        work = work_of(entry)
        if work is None:
            return ()
        return tuple(each for each in self.waiting if work_of(each) == work and each.id != entry.id)

    def is_doing(self, work: WorkId | None) -> bool:
        """Whether `work` is under way."""
        return work is not None and any(work_of(entry) == work for entry in self.underway)

    def with_entry(self, entry: Entry) -> "State":
        """Return the state with `entry` in place of the one before; its place in the order stays."""
        return replace(self, entries=MappingProxyType({**self.entries, entry.id: entry}))

    def without_entry(self, command: MessageId) -> "State":
        """Return the state without the command."""
        return replace(self, entries=_less(self.entries, (command,)))

    def without_bans(self, works: Iterable[WorkId]) -> "State":
        """Return the state without the bans of `works`."""
        return replace(self, bans=_less(self.bans, tuple(works)))

    def counted(self, what: str) -> "State":
        """Return the state with one more of `what` counted."""
        counters = {**self.counters, what: self.counters.get(what, 0) + 1}
        return replace(self, counters=MappingProxyType(counters))

    def standing(self) -> Standing:
        """Return what births and heartbeats say."""
        change = self.change
        return Standing(
            boot=self.boot,
            connection=self.connection,
            epoch=self.epoch,
            head_seq=self.log.seq,
            head=self.log.head,
            observed=self.observed,
            running=None if change is None else run_of(change),
            backlog=self.backlog[-MOST_STRETCHES:],
            counters=dict(self.counters),
        )


def _less(mapping: Mapping[_K, _V], keys: tuple[_K, ...]) -> Mapping[_K, _V]:
    return MappingProxyType({key: value for key, value in mapping.items() if key not in keys})
