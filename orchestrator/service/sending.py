"""What goes out to wings: signed, dated, and queued, so that no decision ever waits for the broker.

What finds no connection or no room is dropped: commands are sent again until they are answered, and controls
are worth nothing later.
"""

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from broker.client import MeshClient, Publication
from broker.codec import encode
from broker.errors import NotConnectedError
from broker.ids import InstanceId, MessageId, Role
from broker.messages import Command, Ping, Report, Target
from broker.signing import SigningKey
from broker.topics import Topics
from orchestrator.ports import Clock

if TYPE_CHECKING:
    from orchestrator.service.state import ClusterState

log = structlog.get_logger(__name__)

CONTROL_FOR: Final = timedelta(seconds=60)
OUTGOING: Final = 20_000


class Sender:
    """Signs commands and hands them to the mesh, one after the other."""

    def __init__(self, state: "ClusterState", mesh: MeshClient, key: SigningKey, clock: Clock) -> None:
        self._state = state
        self._mesh = mesh
        self._key = key
        self._clock = clock
        self._topics = Topics(state.cluster)
        self._outgoing: asyncio.Queue[Publication] = asyncio.Queue(maxsize=OUTGOING)
        self._pings: dict[MessageId, datetime] = {}

    async def run(self) -> None:
        """Hand over what is queued until cancelled."""
        while True:
            publication = await self._outgoing.get()
            try:
                await self._mesh.publish(publication)
            except NotConnectedError as error:
                log.info("command not handed over", topic=publication.topic, reason=error.reason)

    def forget(self) -> None:
        """Drop what is queued, since the connection is gone."""
        while not self._outgoing.empty():
            self._outgoing.get_nowait()

    def tell_role(self, role: Role, body: Ping | Report) -> MessageId:
        """Send a control to every wing of a role; returns its id."""
        return self._control(body, role, None)

    def tell(self, instance: InstanceId, body: Ping | Report) -> MessageId:
        """Send a control to one wing; returns its id."""
        return self._control(body, self._state.instances[instance].enrolment.role, instance)

    def sent_at(self, ping: MessageId) -> datetime | None:
        """Return when a ping went out, None if that is too long ago."""
        return self._pings.get(ping)

    def send(self, command: Command) -> None:
        """Queue a command, if there is a connection and room."""
        if not self._state.connected or self._outgoing.full():
            return
        target = command.target
        topic = (
            self._topics.command_role(target.role)
            if target.instance is None
            else self._topics.command(target.role, target.instance)
        )
        payload = encode(command)
        left_s = int((command.not_after - self._clock.now()).total_seconds())
        self._outgoing.put_nowait(
            Publication(
                topic=topic, payload=payload, signature=self._key.sign(payload), expiry_s=max(60, left_s)
            )
        )

    def _control(self, body: Ping | Report, role: Role, instance: InstanceId | None) -> MessageId:
        now = self._clock.now()
        target = Target(cluster=self._state.cluster, role=role, instance=instance)
        command = Command(
            id=self._state.new_id(),
            at=now,
            target=target,
            epoch=self._state.leadership.epoch,
            not_after=now + CONTROL_FOR,
            body=body,
        )
        if isinstance(body, Ping):
            self._remember(command.id, now)
        self.send(command)
        return command.id

    def _remember(self, ping: MessageId, at: datetime) -> None:
        self._pings = {key: sent for key, sent in self._pings.items() if sent > at - CONTROL_FOR}
        self._pings[ping] = at
