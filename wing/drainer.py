"""Carries a drain out: what `NodeDrain` wants is done on the cluster, and what comes of it is told to it.

All that waits is a task of its own, so the drain goes on deciding while the API server is slow, and its time
ends whatever hangs.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from broker.messages import OrderFact
from broker.messages.upkeep import GRACE_OF_POD
from wing.cluster import ClusterError, ConflictError, ForbiddenError, NodeApi
from wing.cordon import lift
from wing.drain import NodeDrain
from wing.drain_events import (
    Answered,
    Begun,
    CordonFailed,
    CordonLifted,
    CordonSet,
    Delete,
    DrainEffect,
    DrainEvent,
    Evict,
    Finish,
    LiftCordon,
    LiftFailed,
    Look,
    Looked,
    LookFailed,
    SetCordon,
    Tell,
    WakeAt,
    Withdrawn,
    Woken,
)
from wing.drain_state import Charge, Pace
from wing.events import Done, Stopped, Unable


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a drain needs of the world: its Node's way to the cluster, the time, and who hears of it."""

    api: NodeApi
    clock: Callable[[], datetime]
    tell: Callable[[OrderFact], None]


async def drain(charge: Charge, around: Around, cancel: asyncio.Event, pace: Pace) -> Done | Stopped | Unable:
    """Empty the Node and return how that ended; once `cancel` is set nothing more is evicted."""
    async with asyncio.TaskGroup() as tasks:
        return await _Drainer(charge, around, pace, tasks).run(cancel)


class _Drainer:
    def __init__(self, charge: Charge, around: Around, pace: Pace, tasks: asyncio.TaskGroup) -> None:
        self._drain = NodeDrain.of(charge, pace)
        self._around = around
        self._owner = charge.order.owner
        grace_s = charge.order.policy.grace_period_s
        self._grace_s = None if grace_s == GRACE_OF_POD else grace_s
        self._pace = pace
        self._tasks = tasks
        self._events: asyncio.Queue[DrainEvent] = asyncio.Queue()
        self._doing: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._end: Done | Stopped | Unable | None = None

    async def run(self, cancel: asyncio.Event) -> Done | Stopped | Unable:
        self._spawn(self._withdraw(cancel), "cancel")
        self.step(Begun(at=self._around.clock()))
        while self._end is None:
            self.step(await self._events.get())
        for task in self._doing:
            task.cancel()
        for timer in self._timers:
            timer.cancel()
        return self._end

    def step(self, event: DrainEvent) -> None:
        self._drain, effects = self._drain.handle(event)
        for effect in effects:
            self._carry_out(effect)

    def _carry_out(self, effect: DrainEffect) -> None:
        match effect:
            case Look():
                self._spawn(self._look(), "look")
            case SetCordon():
                self._spawn(self._cordon(effect), "cordon")
            case LiftCordon():
                self._spawn(self._lift(), "lift")
            case Evict() | Delete():
                self._spawn(self._ask(effect), f"evict.{effect.pod.full_name}")
            case WakeAt(at=at):
                self._wake(at)
            case Tell(fact=fact):
                self._around.tell(fact)
            case Finish(end=end):
                self._end = end
            case _:
                assert_never(effect)

    def _spawn(self, doing: Coroutine[None, None, None], name: str) -> None:
        task = self._tasks.create_task(doing, name=f"wing.drain.{name}")
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    def _wake(self, at: datetime) -> None:
        in_s = max(0.0, (at - self._around.clock()).total_seconds())
        self._timers = [timer for timer in self._timers if timer.when() > asyncio.get_running_loop().time()]
        self._timers.append(asyncio.get_running_loop().call_later(in_s, self._woken, at))

    def _woken(self, at: datetime) -> None:
        # A timer may be a little early by the host's clock, which is not the loop's.
        self._put(Woken(at=max(at, self._around.clock())))

    def _put(self, event: DrainEvent) -> None:
        self._events.put_nowait(event)

    async def _withdraw(self, cancel: asyncio.Event) -> None:
        await cancel.wait()
        self._put(Withdrawn(at=self._around.clock()))

    async def _look(self) -> None:
        try:
            node = await self._around.api.node()
            pods = await self._around.api.pods()
        except ClusterError as error:
            forbidden = isinstance(error, ForbiddenError)
            self._put(LookFailed(at=self._around.clock(), reason=str(error), forbidden=forbidden))
        else:
            self._put(Looked(at=self._around.clock(), node=node, pods=pods))

    async def _cordon(self, effect: SetCordon) -> None:
        try:
            await self._around.api.cordon(effect.node, self._owner, self._around.clock())
        except ClusterError as error:
            self._put(
                CordonFailed(
                    at=self._around.clock(),
                    reason=str(error),
                    forbidden=isinstance(error, ForbiddenError),
                    changed=isinstance(error, ConflictError),
                )
            )
        else:
            self._put(CordonSet(at=self._around.clock()))

    async def _lift(self) -> None:
        pace = self._pace
        try:
            node = await lift(self._around.api, self._owner, patience_s=pace.patience_s, pause_s=pace.look_s)
        except ClusterError as error:
            self._put(LiftFailed(at=self._around.clock(), reason=str(error)))
        else:
            self._put(CordonLifted(at=self._around.clock(), cordoned=node.cordoned))

    async def _ask(self, effect: Evict | Delete) -> None:
        api, pod = self._around.api, effect.pod
        asked = api.evict(pod, self._grace_s) if isinstance(effect, Evict) else api.delete(pod, self._grace_s)
        answer = await asked
        self._put(Answered(at=self._around.clock(), uid=pod.uid, answer=answer))
