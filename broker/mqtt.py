"""The mesh over MQTT 5: everything that has to be known of aiomqtt and paho, kept in one module.

Nothing is promised on their word. The reason in a PUBACK is not looked at, so an acknowledged publication
may be lost; a message would be acknowledged before anybody handled it, so acknowledging is taken from them;
a client that lost its connection can't be trusted with the next, so each connection is a new one, with
certificates read afresh (they are renewed); and a connection's number is used up once its CONNECT may have
been sent, since its will could be published though we never saw the answer.
"""

import asyncio
import base64
import binascii
import contextlib
import functools
import logging
import random
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import aiomqtt
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from broker.client import Publication, Received, Signature, Will
from broker.errors import NotConnectedError
from broker.keeping import Keeping, KeptMesh, Receive, utc_now
from broker.messages import MAX_MESSAGE
from broker.tls import TlsContext

log = logging.getLogger(__name__)

PACKET_OVERHEAD: Final = 8 * 1024
"""What topic and properties may add to a message, so that no packet of ours is refused."""

NO_DELAY: Final = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
"""Small messages that follow each other would wait 40 ms for the other side's delayed acknowledgement."""

UNSPECIFIED: Final = 0x80
NO_REASON: Final = "the connection ended without a word (broker or network gone, or this identity taken over)"


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """Where the broker is and how it is spoken to; the files are read again for each connection.

    A broker that leaves a CONNECT, SUBSCRIBE or PUBLISH unanswered for `answer_s` is not connected.
    """

    host: str
    port: int
    ca: Path
    certificate: Path
    key: Path
    keepalive_s: int = 20
    session_expiry_s: int = 86400
    will_delay_s: int = 5
    answer_s: float = 10.0
    keeping: Keeping = field(default_factory=Keeping)

    @property
    def endpoint(self) -> str:
        """Return the broker's address for a person."""
        return f"{self.host}:{self.port}"

    def tls(self) -> TlsContext:
        """Return TLS with the files as they are now; blocks while they are read."""
        return TlsContext.of(ca=self.ca, certificate=self.certificate, key=self.key)


class MqttMesh(KeptMesh):
    """One identity's place on an MQTT broker; its certificate's common name must be `client_id`."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        will: Will | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(
            lambda receive: _Link(settings, client_id, receive, clock),
            endpoint=settings.endpoint,
            client_id=client_id,
            will=will,
            keeping=settings.keeping,
            clock=clock,
            chance=random.Random(),  # noqa: S311 - spreads attempts, guards nothing
        )


_Callback = Callable[..., None]


class _Link:
    """One connection of aiomqtt; see `broker.keeping.Link`."""

    def __init__(
        self, settings: MqttSettings, client_id: str, receive: Receive, clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._receive = receive
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._client: aiomqtt.Client
        self._tls: TlsContext | None = None
        self._early: deque[aiomqtt.Message] | None = deque()
        self._unacknowledged = 0
        self._may_be_known = False

    @property
    def may_be_known(self) -> bool:
        """Whether a CONNECT may have been sent."""
        return self._may_be_known

    @contextlib.asynccontextmanager
    async def open(self, will: Publication | None) -> AsyncIterator[None]:
        """Connect, and disconnect in order."""
        with self._translated():
            self._tls = await asyncio.to_thread(self._settings.tls)
            self._client = client = self._made(self._tls, will)
            paho = client._client  # noqa: SLF001 - aiomqtt 2.5 has no way of its own to acknowledge by hand
            paho.manual_ack_set(on=True)
            paho.on_disconnect = functools.partial(
                self._on_disconnect, cast("_Callback", paho.on_connect), cast("_Callback", paho.on_disconnect)
            )
            try:
                async with client:
                    self._may_be_known = True
                    yield
            finally:
                # aiomqtt leaves the socket open, and registered, when its CONNECT was never answered.
                self._may_be_known |= paho.socket() is not None
                paho.disconnect()

    async def watch(self) -> None:
        """Return never; raise NotConnectedError as soon as the connection is lost."""
        with self._translated():
            async for message in self._client.messages:
                raise aiomqtt.MqttError(f"a message on {message.topic} came past the tap")

    async def publish(self, publication: Publication) -> None:
        """Hand `publication` over; at QoS 1 return once the broker has answered, whatever it said."""
        with self._translated():
            await self._client.publish(
                publication.topic,
                publication.payload,
                qos=publication.qos,
                retain=publication.retain,
                properties=_properties(publication, PacketTypes.PUBLISH),
            )

    async def subscribe(self, filters: Collection[str]) -> None:
        """Subscribe to `filters`; NotConnectedError names one that the broker refuses."""
        asked = [(name, SubscribeOptions(qos=1)) for name in filters]
        with self._translated():
            codes = await self._client.subscribe(asked)
            for name, code in zip(filters, codes, strict=True):
                if isinstance(code, ReasonCode) and code.is_failure:
                    raise aiomqtt.MqttError(f"subscription to {name} refused: {code}")

    def release(self) -> None:
        """Let through what came before the connection was announced, and all that follows."""
        early, self._early = self._early, None
        for message in early or ():
            self._pass_on(message)

    def _made(self, tls: TlsContext, will: Publication | None) -> aiomqtt.Client:
        settings = self._settings
        client = aiomqtt.Client(
            settings.host,
            settings.port,
            identifier=self._client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            keepalive=settings.keepalive_s,
            timeout=settings.answer_s,
            tls_context=tls,
            will=None if will is None else _will(will, settings.will_delay_s),
            properties=_connect_properties(settings),
            socket_options=NO_DELAY,
            queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", functools.partial(_Tap, self._deliver)),
            logger=log.getChild("wire"),
        )
        client.pending_calls_threshold = settings.keeping.window + 1
        return client

    def _deliver(self, message: aiomqtt.Message) -> None:
        # What is raised here ends the connection: a broker that breaks its word must not cost us our memory.
        self._unacknowledged += message.qos
        early = 0 if self._early is None else len(self._early)
        if max(self._unacknowledged, early // 2) > self._settings.keeping.receive_maximum:
            raise aiomqtt.MqttError("the broker sends more than it was allowed to")
        if self._early is None:
            self._pass_on(message)
        else:
            self._early.append(message)

    def _pass_on(self, message: aiomqtt.Message) -> None:
        received = Received(
            topic=str(message.topic),
            payload=message.payload,
            signature=_signature(message),
            retained=message.retain,
            at=self._clock(),
        )
        self._receive(received, functools.partial(self._acknowledge, message) if message.qos else None)

    def _on_disconnect(
        self, on_connect: _Callback, on_disconnect: _Callback, paho: mqtt.Client, *words: Any
    ) -> None:
        # aiomqtt does not notice a connection that ends before its CONNACK, and waits for it all the same.
        on_disconnect(paho, *words)
        if not self._may_be_known:
            self._may_be_known = True
            self._loop.call_soon_threadsafe(on_connect, paho, *words)

    def _acknowledge(self, message: aiomqtt.Message) -> None:
        self._unacknowledged -= 1
        self._client._client.ack(message.mid, message.qos)  # noqa: SLF001 - see open

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (aiomqtt.MqttError, OSError) as error:
            reason = (self._tls and self._tls.problem) or _reason(error)
            raise NotConnectedError(endpoint=self._settings.endpoint, reason=reason) from error


class _Tap(asyncio.Queue[aiomqtt.Message]):
    """Takes the place of aiomqtt's queue, to hand each message on at once instead of by a task for each."""

    def __init__(self, deliver: Callable[[aiomqtt.Message], None], maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._deliver = deliver

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """Hand `item` on."""
        self._deliver(item)


def _connect_properties(settings: MqttSettings) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
    properties.SessionExpiryInterval = settings.session_expiry_s
    properties.ReceiveMaximum = settings.keeping.receive_maximum
    properties.MaximumPacketSize = MAX_MESSAGE + PACKET_OVERHEAD
    return properties


def _will(publication: Publication, delay_s: int) -> aiomqtt.Will:
    properties = _properties(publication, PacketTypes.WILLMESSAGE)
    properties.WillDelayInterval = delay_s
    return aiomqtt.Will(
        publication.topic, publication.payload, publication.qos, publication.retain, properties
    )


def _properties(publication: Publication, packet: int) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call] # paho's
    if publication.signature is not None:
        encoded = base64.b64encode(publication.signature.value).decode("ascii")
        properties.UserProperty = [("key", publication.signature.key), ("sig", encoded)]
    if publication.expiry_s is not None:
        properties.MessageExpiryInterval = publication.expiry_s
    return properties


def _signature(message: aiomqtt.Message) -> Signature | None:
    # What is not of a signature's form is none: its reader refuses it as unsigned.
    named = dict(getattr(message.properties, "UserProperty", ()))
    try:
        return Signature(key=named["key"], value=base64.b64decode(named["sig"], validate=True))
    except (KeyError, binascii.Error):
        return None


def _reason(error: BaseException) -> str:
    # aiomqtt says "Disconnected during message iteration"; what happened is behind it.
    cause = error.__cause__ or error
    if isinstance(cause, aiomqtt.MqttCodeError) and isinstance(cause.rc, ReasonCode):
        return NO_REASON if cause.rc.value == UNSPECIFIED else str(cause.rc)
    return str(cause) or type(cause).__name__
