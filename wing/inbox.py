"""What comes from the mesh is believed or not here, before the machine hears of it.

Commands count only when an orchestrator that this wing was enrolled with signed their exact bytes, so the
signature is checked before anything is decoded. Our own presence tells of a second host with our identity:
it must be signed by our own key, since a real clone has that too and a hostile broker has not. What the
broker retained counts as well: two hosts with one identity evict each other from one session, so each
meets the other's birth almost only as the retained one.
"""

from datetime import datetime

from broker.client import Received
from broker.codec import decode, peek_id
from broker.errors import CodecError, SignatureError, UnknownKindError
from broker.ids import Boot
from broker.messages import Command, Offline, Presence
from broker.presence import Mirror
from broker.signing import Keyring, VerifyKey
from wing.events import CommandReceived, Drop, ForeignBirthSeen, ForeignStopSeen, GarbageReceived

Heard = CommandReceived | GarbageReceived | ForeignBirthSeen | ForeignStopSeen


class Ear:
    """What a wing in `boot`, which began at `since`, needs to judge what it hears."""

    def __init__(
        self, *, orchestrators: Keyring, own: VerifyKey, presence_topic: str, boot: Boot, since: datetime
    ) -> None:
        self._orchestrators = orchestrators
        self._own = own
        self._presence_topic = presence_topic
        self._mirror = Mirror(own=boot, born_at=since)

    def heard(self, received: Received) -> Heard | None:
        """Return what `received` means, None if it is only an echo of ourselves."""
        if received.topic == self._presence_topic:
            return self._presence(received)
        if received.retained:
            return _garbage(received, Drop.RETAINED, "a command is never retained")
        return self._command(received)

    def _command(self, received: Received) -> CommandReceived | GarbageReceived:
        try:
            self._orchestrators.verify(received.payload, received.signature)
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

    def _presence(self, received: Received) -> Heard | None:
        try:
            self._own.verify(received.payload, received.signature)
            message = decode(received.payload)
        except SignatureError as error:
            return _garbage(received, Drop.FOREIGN_PRESENCE, error.reason)
        except CodecError as error:
            return _garbage(received, Drop.MALFORMED, str(error))
        if not isinstance(message, Presence):
            return _garbage(received, Drop.MALFORMED, f"{type(message).__name__} where presence belongs")
        if isinstance(message.body, Offline) and message.body.boot != self._mirror.own:
            return ForeignStopSeen(at=received.at, boot=message.body.boot)
        self._mirror, foreign = self._mirror.heard(message)
        return None if foreign is None else ForeignBirthSeen(at=received.at, boot=foreign)


def _garbage(received: Received, why: Drop, detail: str) -> GarbageReceived:
    return GarbageReceived(at=received.at, why=why, detail=detail, id=peek_id(received.payload))
