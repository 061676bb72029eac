"""What a wing says beside its facts: presence, pongs and live lines, each signed over its exact bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from broker.client import Publication, Will
from broker.codec import encode
from broker.ids import Boot, MessageId
from broker.messages import (
    Birth,
    Heartbeat,
    Host,
    Live,
    LiveBody,
    Lost,
    Offline,
    Pong,
    Presence,
    PresenceBody,
    Standing,
)
from broker.signing import SigningKey
from broker.topics import Topics
from wing.state import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Makes the publications of one wing, at the time of `clock`."""

    identity: Identity
    key: SigningKey
    clock: Callable[[], datetime]
    new_id: Callable[[], MessageId]
    version: str

    @property
    def presence_topic(self) -> str:
        """Where this wing's presence is retained."""
        return self._topics.presence(self.identity.role, self.identity.instance)

    @property
    def fact_topic(self) -> str:
        """Where this wing's facts and pongs go."""
        return self._topics.facts(self.identity.role, self.identity.instance)

    @property
    def filters(self) -> tuple[str, ...]:
        """What this wing listens to."""
        return self._topics.wing_filters(self.identity.role, self.identity.instance)

    def birth(self, standing: Standing, host: Host) -> Publication:
        """Return what says that the wing has connected, and describes it."""
        return self._presence(Birth(standing=standing, version=self.version, host=host))

    def heartbeat(self, standing: Standing) -> Publication:
        """Return what says that the wing is still there."""
        return self._presence(Heartbeat(standing=standing))

    def offline(self, boot: Boot, connection: int) -> Publication:
        """Return what says that the wing stopped in order."""
        return self._presence(Offline(boot=boot, connection=connection))

    def will(self, boot: Boot) -> Will:
        """Return who writes the testament of each connection of `boot`."""
        return lambda connection: self._presence(Lost(boot=boot, connection=connection))

    def pong(self, ping: MessageId, boot: Boot, received_at: datetime) -> Publication:
        """Return the answer to a ping."""
        body = Pong(boot=boot, received_at=received_at)
        return self._live(self.fact_topic, body, caused_by=ping, qos=1)

    def live(self, body: LiveBody) -> Publication:
        """Return lines or progress of a run."""
        topic = self._topics.log(self.identity.role, self.identity.instance)
        return self._live(topic, body, caused_by=None, qos=0)

    @property
    def _topics(self) -> Topics:
        return Topics(self.identity.cluster)

    def _presence(self, body: PresenceBody) -> Publication:
        payload = encode(Presence(id=self.new_id(), at=self.clock(), body=body))
        return Publication(
            topic=self.presence_topic, payload=payload, retain=True, signature=self.key.sign(payload)
        )

    def _live(self, topic: str, body: LiveBody, *, caused_by: MessageId | None, qos: int) -> Publication:
        payload = encode(Live(id=self.new_id(), at=self.clock(), caused_by=caused_by, body=body))
        return Publication(topic=topic, payload=payload, qos=qos, signature=self.key.sign(payload))
