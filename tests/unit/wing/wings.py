"""A wing to be told things, and the commands of an orchestrator that it was enrolled with."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from broker.codec import decode
from broker.ids import Boot, ClusterName, Digest, Epoch, InstanceId, MessageId, OrderId, Role, RunId
from broker.messages import (
    Cancel,
    Command,
    CommandBody,
    Converge,
    Drain,
    Drainer,
    DrainStarted,
    Fact,
    FactBody,
    Health,
    HealthChecks,
    RunOutcome,
    RunResult,
    Target,
    Uncordon,
    Verdict,
)
from broker.uuid7 import uuid7
from wing.effects import Effect, RecordFact
from wing.events import CommandReceived, Completed, Event, WingStarted, WorkEnded
from wing.machine import Machine
from wing.state import Identity, Remembered

NOW = datetime(2030, 1, 1, tzinfo=UTC)
BOOT = Boot("3-0000aaaa")
OTHER_BOOT = Boot("2-0000bbbb")
V1 = Digest(f"sha256:{'1' * 64}")
V2 = Digest(f"sha256:{'2' * 64}")
WORKER = Identity(cluster=ClusterName("prod"), role=Role("worker"), instance=InstanceId("worker-1"))
US = Target(cluster=WORKER.cluster, role=WORKER.role, instance=WORKER.instance, boot=BOOT)
EVERY_WORKER = Target(cluster=WORKER.cluster, role=WORKER.role)

_numbers = itertools.count(1)


def new_id() -> MessageId:
    """Return an id that no other has."""
    return uuid7(NOW, next(_numbers).to_bytes(8))


def run_id(number: int) -> RunId:
    """Return the id of a run."""
    return RunId(f"00000000-0000-7000-8000-{number:012d}")


def command(
    body: CommandBody,
    *,
    at: datetime = NOW,
    target: Target = US,
    epoch: int = 1,
    lives: timedelta = timedelta(minutes=5),
    message_id: MessageId | None = None,
) -> Command:
    """Return a command of the leader of `epoch`."""
    return Command(
        id=message_id or new_id(), at=at, target=target, epoch=Epoch(epoch), not_after=at + lives, body=body
    )


def converge(number: int = 1, *, digest: Digest = V1, noop: bool = False) -> Converge:
    """Return the order for run `number`."""
    return Converge(run=run_id(number), digest=digest, size=1000, url="file:///bundles", noop=noop)


def order_id(number: int) -> OrderId:
    """Return the id of an order, which no run has."""
    return OrderId(f"00000000-0000-7000-9000-{number:012d}")


def drain(number: int = 1, *, owner: str = "r-7") -> Drain:
    """Return the order to drain, `number`."""
    return Drain(order=order_id(number), owner=owner)


def uncordon(number: int = 1, *, owner: str = "r-7") -> Uncordon:
    """Return the order to lift a cordon, `number`."""
    return Uncordon(order=order_id(number), owner=owner)


def health(number: int = 1) -> Health:
    """Return the order to look at health, `number`."""
    return Health(order=order_id(number), checks=HealthChecks())


def cancel_order(number: int = 1) -> Cancel:
    """Return the order to end order `number`."""
    return Cancel(run=RunId(order_id(number)))


def drain_started(command: MessageId, body: Drain, *, pods: tuple[str, ...] = ()) -> DrainStarted:
    """Return the word that a drain has begun."""
    return DrainStarted(
        command=command,
        order=body.order,
        drainer=Drainer.KUBERNETES,
        node="worker-1",
        total=len(pods),
        pods=pods,
    )


def cancel(number: int = 1) -> Cancel:
    """Return the order to end run `number`."""
    return Cancel(run=run_id(number))


def result(body: Converge, *, verdict: Verdict | None = Verdict.CONVERGED, reason: str = "") -> RunResult:
    """Return what a run of `body` proved."""
    good = verdict in {Verdict.CONVERGED, Verdict.APPLIED, None}
    return RunResult(
        run=body.run,
        digest=body.digest,
        noop=body.noop,
        outcome=RunOutcome.UNCHANGED if good else RunOutcome.FAILED,
        verdict=None if body.noop else verdict,
        reason=reason,
        changed=0,
        failed=0 if good else 1,
        skipped=0,
        total=3,
        exit_codes=(0,) if good else (4,),
        started_at=NOW,
        finished_at=NOW,
    )


def bodies(effects: Iterable[Effect]) -> list[FactBody]:
    """Return what the facts among `effects` say."""
    return [fact.body for fact in facts(effects)]


def facts(effects: Iterable[Effect]) -> list[Fact]:
    """Return the facts among `effects`, read back from their bytes."""
    found = [decode(effect.fact.payload) for effect in effects if isinstance(effect, RecordFact)]
    return [fact for fact in found if isinstance(fact, Fact)]


def acts(effects: Iterable[Effect], kind: type[Effect]) -> list[Effect]:
    """Return the effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def fresh(remembered: Remembered | None = None) -> Machine:
    """Return a machine that has not started yet."""
    return Machine.restored(WORKER, remembered or Remembered(boot=BOOT), at=NOW, new_id=new_id)


@dataclass
class Wing:
    """A machine that is told one thing after the other; keeps all that it wanted."""

    machine: Machine = field(default_factory=fresh)
    at: datetime = NOW
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tell(WingStarted(at=self.at))

    def tell(self, event: Event) -> tuple[Effect, ...]:
        """Tell it what happened; return what it wants."""
        self.machine, effects = self.machine.handle(event)
        self.effects.extend(effects)
        return effects

    def receive(self, received: Command) -> tuple[Effect, ...]:
        """Tell it of a command that came just now."""
        return self.tell(CommandReceived(at=self.at, command=received))

    def complete(
        self, ended: Command, *, verdict: Verdict = Verdict.CONVERGED, reason: str = ""
    ) -> list[FactBody]:
        """Tell it that the run of a command ended; return the facts that this makes."""
        assert isinstance(ended.body, Converge)
        end = Completed(result=result(ended.body, verdict=verdict, reason=reason))
        return bodies(self.tell(WorkEnded(at=self.at, command=ended.id, end=end)))

    def pass_(self, **how_long: float) -> None:
        """Let time pass."""
        self.at += timedelta(**how_long)


def aimed(target: Target, **changes: object) -> Target:
    """Return `target`, changed."""
    return replace(target, **changes)  # type: ignore[arg-type]
