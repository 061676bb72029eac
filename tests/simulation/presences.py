"""What an orchestrator heard of who is there, so that nobody may be taken for dead who is heard alive.

A will may come long after its client is back. So each sign of life and each death is noted where it reaches
the orchestrator's client, and what it then writes about a presence has to follow from these.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from broker.client import Received
from broker.codec import decode
from broker.ids import Boot, InstanceId
from broker.memory import MemoryMesh
from broker.messages import Birth, Heartbeat, Presence
from orchestrator.domain.instance import Instance
from orchestrator.domain.views import PresenceState

HANDLED_WITHIN_S: Final = 1.0
FRESH: Final = timedelta(seconds=60)
SILENCE_S: Final = 80.0
"""An instance counts as there for 150 s; clocks differ, and what is fresh may be a minute old."""

PRESENCE: Final = "/presence/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A live birth or heartbeat, and when it came."""

    boot: Boot
    connection: int
    at_s: float


@dataclass(slots=True, kw_only=True)
class Presences:
    """The last signs of life and all the deaths that one process heard of."""

    now: Callable[[], float]
    _alive: dict[InstanceId, Sign] = field(default_factory=dict)
    _deaths: set[tuple[Boot, int]] = field(default_factory=set)

    def heard(self, received: Received) -> None:
        """Take note of a message."""
        if PRESENCE not in received.topic:
            return
        message = decode(received.payload)
        assert isinstance(message, Presence)
        body = message.body
        if not isinstance(body, Birth | Heartbeat):
            self._deaths.add((body.boot, body.connection))
        elif not received.retained and received.at - message.at < FRESH:
            name, standing = InstanceId(received.topic.rpartition("/")[2]), body.standing
            sign = Sign(boot=standing.boot, connection=standing.connection, at_s=self.now())
            known = self._alive.get(name)
            if known is None or known.boot != sign.boot or known.connection <= sign.connection:
                self._alive[name] = sign

    def wrongly_dead(self, name: InstanceId, instance: Instance) -> bool:
        """Tell whether an instance is taken for dead that was heard alive, and whose death was not heard."""
        sign, shown = self._alive.get(name), instance.shown
        if sign is None or shown.boot != sign.boot:
            return False
        if shown.state not in {PresenceState.LOST, PresenceState.OFFLINE} or shown.disputed:
            return False
        if not HANDLED_WITHIN_S < self.now() - sign.at_s < SILENCE_S:
            return False
        return not any(boot == sign.boot and last >= sign.connection for boot, last in self._deaths)


class OverheardMesh(MemoryMesh):
    """An orchestrator's client, with somebody who takes note of what reaches it."""

    def __init__(self, presences: Presences, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._presences = presences

    def _receive(self, message: Received, handled: Callable[[], None] | None) -> None:
        self._presences.heard(message)
        super()._receive(message, handled)
