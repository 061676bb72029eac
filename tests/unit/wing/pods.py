"""Pods and drains for the tests that decide about them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from broker.messages import Drain, DrainPolicy, OrderFact
from tests.unit.wing.wings import NOW, new_id, order_id
from wing.cluster import Answer, Controller, Node, Pod
from wing.drain import NodeDrain
from wing.drain_events import (
    Answered,
    Begun,
    CordonSet,
    Delete,
    DrainEffect,
    DrainEvent,
    Evict,
    Finish,
    Looked,
    Tell,
)
from wing.drain_state import Charge, Pace
from wing.errand import OrderEnd
from wing.selectors import parse

JOB = Controller(group="batch", kind="Job", name="job")
NODE = Node(name="worker-1", version="1")
OURS = Node(name="worker-1", version="2", cordoned=True, owner="r-7")
THEIRS = Node(name="worker-1", version="2", cordoned=True)


def pod(name: str = "web", **changes: object) -> Pod:
    """Return a pod of a Job's on worker-1; its uid is its name's."""
    plain = Pod(namespace="shop", name=name, uid=f"uid-{name}", node="worker-1", controller=JOB)
    return replace(plain, **changes)  # type: ignore[arg-type] # by field name


@dataclass
class Playbook:
    """A drain that is told one thing after the other; keeps all that it wanted."""

    policy: DrainPolicy = field(default_factory=DrainPolicy)
    takes_over: str | None = None
    pace: Pace = field(default_factory=Pace)
    at: datetime = NOW
    effects: list[DrainEffect] = field(default_factory=list)

    def __post_init__(self) -> None:
        order = Drain(order=order_id(1), owner="r-7", policy=self.policy, takes_over=self.takes_over)
        selectors = tuple(parse(text) for text in self.policy.delete_selectors)
        charge = Charge(command=new_id(), order=order, node="worker-1", selectors=selectors)
        self.drain = NodeDrain.of(charge, self.pace)
        self.tell(Begun(at=self.at))

    def tell(self, event: DrainEvent) -> tuple[DrainEffect, ...]:
        """Tell it what happened; return what it wants."""
        self.drain, effects = self.drain.handle(event)
        self.effects.extend(effects)
        return effects

    def cordoned(self, *pods: Pod) -> tuple[DrainEffect, ...]:
        """Let it cordon a node that nobody had cordoned, and look at `pods` on it."""
        self.tell(Looked(at=self.at, node=NODE, pods=pods))
        self.tell(CordonSet(at=self.at))
        return self.looked(*pods)

    def looked(self, *pods: Pod, node: Node = OURS) -> tuple[DrainEffect, ...]:
        """Let it look at `pods` on its cordoned node."""
        return self.tell(Looked(at=self.at, node=node, pods=pods))

    def answered(self, asked: Pod, answer: Answer) -> tuple[DrainEffect, ...]:
        """Let the API server answer the wish for a pod's end."""
        return self.tell(Answered(at=self.at, uid=asked.uid, answer=answer))

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)


def told(effects: Sequence[DrainEffect]) -> list[OrderFact]:
    """Return the facts among `effects`."""
    return [effect.fact for effect in effects if isinstance(effect, Tell)]


def asked(effects: Sequence[DrainEffect]) -> list[str]:
    """Return the names of the pods that are asked to go, by eviction or deletion."""
    return [effect.pod.name for effect in effects if isinstance(effect, Evict | Delete)]


def end(effects: Sequence[DrainEffect]) -> OrderEnd | None:
    """Return how the drain ended, None if it did not."""
    return next((effect.end for effect in effects if isinstance(effect, Finish)), None)
