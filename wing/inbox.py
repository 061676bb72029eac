"""What comes from the mesh is believed or not here, before the machine hears of it.

Commands count only when an orchestrator that this wing was enrolled with signed their exact bytes, so the
signature is checked before anything is decoded. Only a live birth on our own presence topic that is newer
than this boot tells of a second host: the broker also hands us what our own former boots said.
"""

from dataclasses import dataclass
from datetime import datetime

from broker.client import Received
from broker.codec import decode, peek_id
from broker.errors import CodecError, SignatureError, UnknownKindError
from broker.ids import Boot
from broker.messages import Birth, Command, Heartbeat, Presence
from broker.signing import Keyring
from wing.events import CommandReceived, Drop, ForeignBirthSeen, GarbageReceived


@dataclass(frozen=True, slots=True, kw_only=True)
class Ear:
    """What a wing in `boot`, which began at `since`, needs to judge what it hears."""

    orchestrators: Keyring
    presence_topic: str
    boot: Boot
    since: datetime

    def heard(self, received: Received) -> CommandReceived | GarbageReceived | ForeignBirthSeen | None:
        """Return what `received` means, None if it is only an echo of ourselves."""
        if received.topic == self.presence_topic:
            return self._presence(received)
        if received.retained:
            return _garbage(received, Drop.RETAINED, "a command is never retained")
        return self._command(received)

    def _command(self, received: Received) -> CommandReceived | GarbageReceived:
        try:
            self.orchestrators.verify(received.payload, received.signature)
            message = decode(received.payload)
        except SignatureError as error:
            return _garbage(received, Drop.UNSIGNED, error.reason)
        except UnknownKindError as error:
            return _garbage(received, Drop.UNKNOWN_KIND, str(error))
        except CodecError as error:
            return _garbage(received, Drop.MALFORMED, str(error))
        if not isinstance(message, Command):
            return _garbage(received, Drop.NOT_A_COMMAND, type(message).__name__)
        return CommandReceived(at=received.at, command=message)

    def _presence(self, received: Received) -> GarbageReceived | ForeignBirthSeen | None:
        if received.retained:
            return None
        try:
            message = decode(received.payload)
        except CodecError as error:
            return _garbage(received, Drop.MALFORMED, str(error))
        match message:
            case Presence(at=at, body=Birth(standing=standing) | Heartbeat(standing=standing)):
                foreign = standing.boot != self.boot and at > self.since
                return ForeignBirthSeen(at=received.at, boot=standing.boot) if foreign else None
            case _:
                return None


def _garbage(received: Received, why: Drop, detail: str) -> GarbageReceived:
    return GarbageReceived(at=received.at, why=why, detail=detail, id=peek_id(received.payload))
