"""What playbooks of the orchestrator's domain are made of: one instance, its wing's words, and the time."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from broker.codec import encode
from broker.ids import Boot, ClusterName, Digest, Epoch, InstanceId, MessageId, Role, RunId
from broker.messages import (
    CHAIN_START,
    Backlog,
    Birth,
    CommandBody,
    Converge,
    Fact,
    FactBody,
    Heartbeat,
    Host,
    Observed,
    Presence,
    RunOutcome,
    RunResult,
    Standing,
    Verdict,
)
from orchestrator.domain.effects import Effect, Emit, Publish
from orchestrator.domain.events import (
    FactHeard,
    InstanceEvent,
    PresenceHeard,
    RunReleased,
    RunRequested,
    Woke,
)
from orchestrator.domain.instance import Instance, Surroundings
from orchestrator.domain.machine import handle
from orchestrator.domain.model import Enrolment, Run
from orchestrator.domain.stream import Arrived

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A = InstanceId("worker-1")
DIGEST = Digest("sha256:" + "a" * 64)
BOOT = Boot("1-00000001")
NEXT_BOOT = Boot("2-00000002")
HOST = Host(hostname="h", addresses=(), os="", kernel="", puppet="7.23", cores=1, memory=1)


def number(value: int) -> MessageId:
    return MessageId(f"00000000-0000-7000-8000-{value:012x}")


def run(value: int = 1, **more: Any) -> Run:
    return replace(
        Run(
            id=RunId(number(0xF000 + value)),
            ticket="t",
            instance=A,
            role=Role("worker"),
            digest=DIGEST,
            size=10,
            url="https://bundles/x",
            noop=False,
            timeout_s=60,
            confirm=True,
            automatic=False,
            requested_by="ann",
            caused_by=None,
            created_at=NOW,
            not_after=NOW + timedelta(hours=1),
        ),
        **more,
    )


def result(of: Run, verdict: Verdict | None = Verdict.CONVERGED) -> RunResult:
    return RunResult(
        run=of.id,
        digest=of.digest,
        noop=of.noop,
        outcome=RunOutcome.CHANGED,
        verdict=verdict,
        reason="",
        changed=1,
        failed=0,
        skipped=0,
        total=3,
        exit_codes=(2, 0),
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=5),
    )


@dataclass(slots=True)
class Wing:
    """One boot of a wing: makes births and facts as the real one would."""

    boot: Boot = BOOT
    epoch: int = 1
    connection: int = 1
    observed: Observed | None = None
    facts: list[bytes] = field(default_factory=list)

    def say(self, body: FactBody, *, at: datetime = NOW) -> Arrived:
        prev = hashlib.sha256(self.facts[-1]).digest() if self.facts else CHAIN_START
        seq = len(self.facts) + 1
        fact = Fact(id=number(0xA000 + seq), at=at, boot=self.boot, seq=seq, prev=prev, body=body)
        payload = encode(fact)
        self.facts.append(payload)
        return Arrived(fact=fact, payload=payload)

    def standing(self, *backlog: tuple[int, int]) -> Standing:
        head = hashlib.sha256(self.facts[-1]).digest() if self.facts else CHAIN_START
        return Standing(
            boot=self.boot,
            connection=self.connection,
            epoch=Epoch(self.epoch),
            head_seq=len(self.facts),
            head=head,
            observed=self.observed,
            backlog=tuple(Backlog(boot=self.boot, first=first, last=last) for first, last in backlog),
        )

    def birth(self, at: datetime, *backlog: tuple[int, int], retained: bool = False) -> PresenceHeard:
        body = Birth(standing=self.standing(*backlog), version="1", host=HOST)
        return PresenceHeard(at=at, presence=Presence(id=number(1), at=at, body=body), retained=retained)

    def heartbeat(self, at: datetime, *backlog: tuple[int, int]) -> PresenceHeard:
        body = Heartbeat(standing=self.standing(*backlog))
        return PresenceHeard(at=at, presence=Presence(id=number(2), at=at, body=body), retained=False)


class Playbook:
    """An instance, and what its machine wanted done at each step."""

    def __init__(self, *, role_desired: Digest | None = None, epoch: int = 1) -> None:
        self.at = NOW
        self.instance = Instance(
            enrolment=Enrolment(id=A, role=Role("worker"), pool="p", labels={}, key="", enrolled_at=NOW)
        )
        self._made = 0x100
        self.around = Surroundings(
            cluster=ClusterName("c"),
            epoch=Epoch(epoch),
            role_desired=role_desired,
            may_reconcile=True,
            replay_room=5_000,
            new_id=self._new_id,
        )

    def after(self, seconds: float) -> "Playbook":
        self.at += timedelta(seconds=seconds)
        return self

    def handle(self, event: InstanceEvent) -> tuple[Effect, ...]:
        self.instance, effects = handle(self.instance, event, self.around)
        return effects

    def hear(self, arrived: Arrived) -> tuple[Effect, ...]:
        return self.handle(FactHeard(at=self.at, arrived=arrived))

    def wake(self) -> tuple[Effect, ...]:
        return self.handle(Woke(at=self.at))

    def request(self, wanted: Run) -> tuple[Effect, ...]:
        self.handle(RunRequested(at=self.at, run=wanted))
        return self.handle(RunReleased(at=self.at, run=wanted.id))

    def converging(self, wing: Wing, wanted: Run) -> MessageId:
        """Bring the wing online and send it the run; returns the command's id."""
        self.handle(wing.birth(self.at))
        return sent(self.request(wanted), Converge)[0]

    def _new_id(self) -> MessageId:
        self._made += 1
        return number(self._made)


def sent(effects: tuple[Effect, ...], kind: type[CommandBody]) -> list[MessageId]:
    return [item.id for item in commands(effects) if isinstance(item.body, kind)]


def commands(effects: tuple[Effect, ...]) -> list[Any]:
    return [effect.command for effect in effects if isinstance(effect, Publish)]


def told(effects: tuple[Effect, ...]) -> list[str]:
    return [effect.event.kind for effect in effects if isinstance(effect, Emit)]
