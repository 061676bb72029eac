"""What is known of the cluster, for whoever asks: the `Fleet` face."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from broker.ids import InstanceId, MessageId
from broker.messages import Live, Ping, Pong
from orchestrator.domain.instance import Instance
from orchestrator.domain.problems import problems
from orchestrator.domain.show import instance_view
from orchestrator.domain.views import InstanceView, PingView, PresenceState, Selector, StatusView
from orchestrator.service.core import Core
from orchestrator.service.edge import Believed
from orchestrator.service.selecting import select, unknown_instance
from orchestrator.service.state import ClusterState, Work

DIGITS: Final = 6


@dataclass(slots=True, kw_only=True)
class _Round:
    """A ping under way: who has not answered, and what the others said."""

    missing: set[InstanceId]
    answers: dict[InstanceId, PingView] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)


class FleetService:
    """Answers from the state in memory; only pings reach out."""

    def __init__(self, core: Core, *, endpoint: str, version: str) -> None:
        self._core = core
        self._endpoint = endpoint
        self._version = version
        self._started_at = core.clock.now()
        self._rounds: dict[MessageId, _Round] = {}
        core.on_live(self._heard)

    async def instances(self, selector: Selector | None) -> Sequence[InstanceView]:
        """Return the selected instances (None: all), by id."""
        known = self._core.state.instances
        found = (
            select(selector, known)
            if selector is not None
            else sorted(known.values(), key=lambda item: item.enrolment.id)
        )
        return [self._view(item) for item in found]

    async def instance(self, instance: InstanceId) -> InstanceView:
        """Return one instance, or raise a RefusedError of kind `unknown-instance`."""
        found = self._core.state.instances.get(instance)
        if found is None:
            raise unknown_instance(instance, self._core.state.instances)
        return self._view(found)

    async def status(self) -> StatusView:
        """Return whether all is well, and what is not."""
        state = self._core.state
        found = problems(
            instances=state.instances.values(),
            role_desired=state.role_desired,
            leadership=state.leadership,
            connected=state.connected,
            disconnect_reason=state.disconnect_reason,
            endpoint=self._endpoint,
            counters=state.counters,
            told_by=state.told_by,
            rollouts=state.upgrades.open.values(),
            at=self._core.clock.now(),
            nodes_lost=state.nodes.trouble,
        )
        return StatusView(
            healthy=not found,
            problems=found,
            broker={"endpoint": self._endpoint, "connected": state.connected},
            orchestrator={
                "name": state.leadership.holder,
                "version": self._version,
                "started_at": self._started_at,
                "cursor": state.cursor,
                "restored": state.leadership.restored,
            },
            leader=state.leadership.holder,
            epoch=state.leadership.epoch,
            instances=self._counted(),
            counters=dict(state.counters),
        )

    async def acknowledge(self, *, requested_by: str) -> StatusView:
        """Let reconciliation go on after the journal was found restored; a person has looked at it."""

        def act(state: ClusterState, work: Work) -> None:
            if state.leadership.restored is not None:
                state.believe_again(work, by=requested_by, at=self._core.clock.now())

        await self._core.call(act)
        return await self.status()

    async def ping(self, selector: Selector, *, timeout_s: float) -> Sequence[PingView]:
        """Return each wing's answer, or after `timeout_s` that there was none."""
        found = [item.enrolment.id for item in select(selector, self._core.state.instances)]
        current = _Round(missing=set(found))
        pings = self._sent(found, current)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await current.complete.wait()
        finally:
            for ping in pings:
                del self._rounds[ping]
        return [current.answers.get(each) or self._silent(each, timeout_s) for each in found]

    async def ready(self) -> Mapping[str, bool]:
        """Return what must hold before the orchestrator can work (journal, broker), by name."""
        return {"journal": True, "broker": self._core.state.connected}

    def _sent(self, found: Sequence[InstanceId], current: _Round) -> list[MessageId]:
        """Ask whole roles with one message each, others one by one."""
        state = self._core.state
        by_role: dict[str, list[Instance]] = {}
        for instance in state.instances.values():
            by_role.setdefault(instance.enrolment.role, []).append(instance)
        pings: list[MessageId] = []
        left = set(found)
        for members in by_role.values():
            ids = {item.enrolment.id for item in members}
            if ids <= left:
                pings.append(self._core.sender.tell_role(members[0].enrolment.role, Ping()))
                left -= ids
        pings += [self._core.sender.tell(each, Ping()) for each in sorted(left)]
        self._rounds.update(dict.fromkeys(pings, current))
        return pings

    def _heard(self, found: Believed) -> None:
        message = found.message
        if not isinstance(message, Live) or not isinstance(message.body, Pong) or message.caused_by is None:
            return
        current = self._rounds.get(message.caused_by)
        sent = self._core.sender.sent_at(message.caused_by)
        if current is None or sent is None or found.instance not in current.missing:
            return
        trip = (found.at - sent).total_seconds()
        ahead = (message.body.received_at - sent).total_seconds() - trip / 2
        current.answers[found.instance] = PingView(
            instance=found.instance,
            round_trip_s=round(trip, DIGITS),
            clock_offset_s=round(ahead, DIGITS),
            error=None,
        )
        current.missing.discard(found.instance)
        if not current.missing:
            current.complete.set()

    def _silent(self, instance: InstanceId, timeout_s: float) -> PingView:
        error = f"no answer within {timeout_s:g} s"
        if not self._core.state.connected:
            error = f"the broker {self._endpoint} can't be reached"
        return PingView(instance=instance, round_trip_s=None, clock_offset_s=None, error=error)

    def _view(self, instance: Instance) -> InstanceView:
        state = self._core.state
        return instance_view(
            instance,
            cluster=state.cluster,
            role_desired=state.role_desired.get(instance.enrolment.role),
            at=self._core.clock.now(),
            rollout=state.upgrades.of_instance.get(instance.enrolment.id),
        )

    def _counted(self) -> Mapping[str, int]:
        at = self._core.clock.now()
        states = [item.sighting.state(at).value for item in self._core.state.instances.values()]
        return {"total": len(states), **_counts(states)}


def _counts(states: Iterable[str]) -> Mapping[str, int]:
    counted = {state.value: 0 for state in PresenceState}
    for state in states:
        counted[state] += 1
    return counted
