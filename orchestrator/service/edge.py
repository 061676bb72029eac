"""What comes from the mesh is believed only after its topic, its signature and its form were found good.

The broker may be hostile: whoever writes a topic claims to be its instance, and only the signature of the key
that the instance was enrolled with proves it. What fails is counted by reason, told, and dropped.
"""

from dataclasses import dataclass
from datetime import datetime

from broker.client import Received
from broker.codec import decode
from broker.errors import CodecError, SignatureError, TopicError, UnknownKindError
from broker.ids import ClusterName, InstanceId
from broker.messages import Fact, Live, Message, Presence
from broker.signing import VerifyKey
from broker.topics import Channel, Topic, parse
from orchestrator.domain.model import Enrolment


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """A message that its instance has said, and the exact bytes of it."""

    instance: InstanceId
    message: Message
    payload: bytes
    retained: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A message that is not believed: `counter` says why, `instance` in whose name it came."""

    counter: str
    detail: str
    instance: InstanceId | None = None


class Edge:
    """Checks what comes in, against who is enrolled."""

    def __init__(self, cluster: ClusterName) -> None:
        self._cluster = cluster
        self._enrolled: dict[InstanceId, tuple[Enrolment, VerifyKey]] = {}
        self._former: dict[InstanceId, VerifyKey] = {}

    def enrol(self, enrolments: tuple[Enrolment, ...]) -> None:
        """Believe these instances, and no others.

        It is done whenever one joins, so only keys that are new are read.
        """
        before, self._enrolled = self._enrolled, {}
        for enrolment in enrolments:
            known = before.get(enrolment.id)
            if known is None or known[0].key != enrolment.key:
                key = VerifyKey.from_base64(enrolment.key)
                if known is not None:
                    self._former[enrolment.id] = known[1]
                elif enrolment.former is not None:
                    self._former[enrolment.id] = VerifyKey.from_base64(enrolment.former)
            else:
                key = known[1]
            self._enrolled[enrolment.id] = (enrolment, key)

    def check(self, received: Received) -> Believed | Dropped:
        """Return the message if it can be believed, else why not."""
        try:
            topic = parse(received.topic)
        except TopicError as error:
            return Dropped(counter="foreign_topic", detail=str(error))
        who = topic.instance
        found = self._enrolled.get(who) if who is not None else None
        if who is None or found is None or topic.cluster != self._cluster:
            return Dropped(counter="not_enrolled", detail=received.topic)
        enrolment, key = found
        if topic.role != enrolment.role:
            return Dropped(counter="foreign_topic", detail=received.topic, instance=who)
        return self._read(received, topic, who, key)

    def _read(self, received: Received, topic: Topic, who: InstanceId, key: VerifyKey) -> Believed | Dropped:
        try:
            if topic.channel is not Channel.LOG:
                key.verify(received.payload, received.signature)
            message = decode(received.payload)
        except SignatureError as error:
            if self._is_former(received, who):
                return Dropped(counter="former_key", detail=received.topic, instance=who)
            return Dropped(counter=f"bad_signature_{topic.channel.value}", detail=str(error), instance=who)
        except UnknownKindError as error:
            return Dropped(counter="unknown_kind", detail=str(error), instance=who)
        except CodecError as error:
            return Dropped(counter="malformed", detail=str(error), instance=who)
        if not _fits(topic.channel, message):
            detail = f"{type(message).__name__} on {received.topic}"
            return Dropped(counter="foreign_topic", detail=detail, instance=who)
        return Believed(
            instance=who,
            message=message,
            payload=received.payload,
            retained=received.retained,
            at=received.at,
        )

    def _is_former(self, received: Received, who: InstanceId) -> bool:
        """Tell whether the host said this whose place another has taken: its will, or what was under way.

        That is nobody's forgery, and nothing that a person should look at.
        """
        former = self._former.get(who)
        if former is None:
            return False
        try:
            former.verify(received.payload, received.signature)
        except SignatureError:
            return False
        return True


def _fits(channel: Channel, message: Message) -> bool:
    match channel:
        case Channel.PRESENCE:
            return isinstance(message, Presence)
        case Channel.FACTS:
            return isinstance(message, Fact | Live)
        case Channel.LOG:
            return isinstance(message, Live)
        case Channel.COMMAND:
            return False
