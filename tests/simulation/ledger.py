"""What really happened in a simulated fleet, told by those to whom it happened, and the laws on it.

The parts under test keep their own books, and a bug may be in any of them. So each journal's write and each
piece of work on a host is noted here as well, by the simulation itself; what must hold at any moment is
judged on the spot, and the rest is there for `laws` to judge once everything has come to rest.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from broker.codec import decode
from broker.ids import Boot, Digest, Epoch, InstanceId, MessageId, RunId
from broker.messages import Accepted, Cancelled, Fact, Failed, FinalAnswer, Interrupted, Observed, Succeeded
from orchestrator.adapters.memory import MemoryJournal
from orchestrator.domain.model import Run
from orchestrator.records import Batch
from tests.simulation.presences import Presences
from tests.simulation.watch import Watch
from wing.effects import Record, RecordEntry, RecordEpoch, RecordFact, RecordObserved
from wing.entries import Underway, WorkId

REMEMBERED: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One host's disk from its installation to its end, `number` in the order of their making.

    A cloned one begins with what was on the `original`; what only that one knows is not judged twice.
    """

    instance: InstanceId
    number: int
    original: "Disk | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a run that ended by itself really did to its host."""

    run: RunId
    digest: Digest
    noop: bool
    good: bool


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The simulation's own account; `broken` is empty as long as every law holds."""

    now: Callable[[], float]
    broken: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    facts: dict[tuple[Disk, Boot], list[Fact]] = field(default_factory=lambda: defaultdict(list))
    accepted: dict[tuple[Disk, MessageId], int] = field(default_factory=lambda: defaultdict(int))
    finals: dict[tuple[Disk, MessageId], list[FinalAnswer]] = field(default_factory=lambda: defaultdict(list))
    epochs: dict[Disk, Epoch] = field(default_factory=dict)
    begun: set[tuple[Disk, WorkId]] = field(default_factory=set)
    changing: dict[str, WorkId] = field(default_factory=dict)
    proofs: dict[RunId, list[Proof]] = field(default_factory=lambda: defaultdict(list))
    observed: dict[Disk, Observed] = field(default_factory=dict)
    ended: dict[RunId, Run] = field(default_factory=dict)
    watch: Watch = field(init=False)
    _started: dict[MessageId, Disk] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watch = Watch(self.fault, self.proofs.__getitem__)

    def note(self, what: str) -> None:
        """Keep a line for whoever has to find out what happened."""
        self.trace.append(f"{self.now():10.3f}  {what}")

    def fault(self, law: str) -> None:
        """Take note that a law was broken."""
        self.note(f"BROKEN: {law}")
        self.broken.append(law)

    # What wings write --------------------------------------------------------------------------------

    def recorded(self, disk: Disk, records: Sequence[Record]) -> None:
        """Take note of what a wing has just written."""
        for record in records:
            match record:
                case RecordFact():
                    self._told(disk, record)
                case RecordEntry(entry=Underway() as entry):
                    self._underway(disk, entry)
                case RecordEpoch(epoch=epoch):
                    self.epochs[disk] = max(epoch, self.epochs.get(disk, epoch))
                case RecordObserved(observed=observed):
                    self.observed[disk] = observed
                case _:
                    pass

    def _told(self, disk: Disk, record: RecordFact) -> None:
        fact = decode(record.fact.payload)
        assert isinstance(fact, Fact)
        self.note(f"{disk.instance} tells {fact.boot} {fact.seq} {_short(fact)}")
        told = self.facts[disk, fact.boot]
        if fact.seq != len(told) + 1:
            self.fault(f"{disk.instance} tells fact {fact.seq} of boot {fact.boot} after {len(told)}")
        told.append(fact)
        match fact.body:
            case Accepted(command=command):
                self.accepted[disk, command] += 1
            case Succeeded() | Failed() | Cancelled() | Interrupted():
                self.finals[disk, fact.body.command].append(fact.body)
            case _:
                pass

    def _underway(self, disk: Disk, entry: Underway) -> None:
        if disk.original is None and self._started.setdefault(entry.id, disk) != disk:
            self.fault(f"{disk.instance} starts command {entry.id}, which its lost disk had started")
        if entry.process is not None or entry.cancelled_by is not None:
            return
        seen = self.epochs.get(disk, entry.command.epoch)
        if entry.command.epoch < seen:
            self.fault(f"{disk.instance} starts a command of epoch {entry.command.epoch} after epoch {seen}")

    # What runs do ------------------------------------------------------------------------------------

    def work_begins(self, disk: Disk, run: WorkId, *, noop: bool) -> None:
        """Take note that a wing sets about a run."""
        self.note(f"{disk.instance} sets about {'noop ' if noop else ''}{run}")
        if (disk, run) in self.begun and not self.watch.is_restored:
            self.fault(f"{disk.instance} sets about run {run} a second time")
        self.begun.add((disk, run))

    def change_begins(self, machine: str, run: WorkId) -> None:
        """Take note that a process that changes the host begins."""
        if machine in self.changing:
            self.fault(f"{machine} is changed by run {run} while run {self.changing[machine]} is at it")
        self.changing[machine] = run

    def change_ends(self, machine: str, run: WorkId) -> None:
        """Take note that a process that changed the host is gone."""
        if self.changing.get(machine) == run:
            del self.changing[machine]

    def proven(self, machine: str, proof: Proof) -> None:
        """Take note of how a run that was not cut off has ended."""
        self.note(f"{machine} ended run {proof.run}: {'good' if proof.good else 'bad'}")
        self.proofs[proof.run].append(proof)

    # What the orchestrator writes ----------------------------------------------------------------------

    def leads(self, name: str, epoch: Epoch) -> None:
        """Take note of a new leader."""
        self.note(f"{name} leads in epoch {epoch}")
        self.watch.begins()

    def counted(self, counters: Mapping[str, int]) -> None:
        """Judge what an orchestrator has counted by its end, such as moves that it did not dare to make."""
        if counters.get("invariant_broken"):
            self.fault("the orchestrator was about to break a law of its own")

    def restored(self, journal: MemoryJournal) -> None:
        """Take note that the journal is one from earlier: what was written since is not known any more."""
        self.note("the journal is restored from a copy")
        self.ended.clear()
        self.watch.restored(journal)

    def committed(self, batch: Batch, presences: Presences) -> None:
        """Take note of what an orchestrator has just written, which had heard of `presences`."""
        self.watch.committed(batch)
        for name, instance in batch.instances.items():
            if presences.wrongly_dead(name, instance):
                self.fault(f"{name} is taken for {instance.shown.state.value}, and was heard since")
        for run in batch.runs.values():
            self._ran(run)
        for instance in batch.instances.values():
            seen = instance.observed
            if seen is not None and seen.verdict.value in {"converged", "applied"}:
                self._believed(instance.enrolment.id, seen)
        for item in batch.events:
            event = item.event
            place = f" {event.boot} {event.seq}" if event.seq else ""
            self.note(f"orchestrator stores {event.kind} of {event.instance or 'the mesh'}{place}")

    def _ran(self, run: Run) -> None:
        known = self.ended.get(run.id)
        if known is not None and run.state is not known.state:
            self.fault(f"run {run.id} was {known.state.value}, and then {run.state.value}")
        if run.state.is_final:
            self.ended[run.id] = run

    def _believed(self, instance: InstanceId, seen: Observed) -> None:
        proofs = self.proofs.get(seen.run, [])
        if not any(proof.good and not proof.noop and proof.digest == seen.digest for proof in proofs):
            self.fault(f"{instance} is taken as {seen.verdict.value} by run {seen.run}, which proved nothing")


def _short(fact: Fact) -> str:
    command = getattr(fact.body, "command", None)
    reason = getattr(fact.body, "reason", "")
    return f"{type(fact.body).__name__}{f' {command}' if command else ''}{f' ({reason})' if reason else ''}"
