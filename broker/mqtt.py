"""MeshClient over MQTT 5: a connection that is always being kept, whatever happens to it.

A wing lives for months; its broker restarts, its network goes, its certificate is renewed. So each
connection is a new client of aiomqtt (one that lost its connection can't be trusted with the next) with
certificates read afresh, and attempts go on without end, at growing, random distances, so that ten
thousand wings do not come back in the same second.

aiomqtt and paho are at home in this module only, and nothing is promised on their word: the reason in a
PUBACK is not looked at, so an acknowledged publication may be lost; and a connection's number is used up
once its CONNECT may have been sent, since its will could be published though we never saw the answer.
"""

import asyncio
import base64
import binascii
import contextlib
import functools
import logging
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn, Self, cast

import aiomqtt
import tenacity
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from broker.client import Connected, Disconnected, MeshEvent, Publication, Received, Signature, Will
from broker.errors import MessageTooLargeError, NotConnectedError
from broker.inbox import Inbox
from broker.messages import MAX_MESSAGE
from broker.outbox import Outbox

log = logging.getLogger(__name__)

PACKET_OVERHEAD: Final = 8 * 1024
"""What topic and properties may add to a message, so that no packet of ours is refused."""

SLOW_PAUSE_S: Final = (120.0, 240.0)
LOST: Final = (aiomqtt.MqttError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """Where the broker is and how it is spoken to; the files are read again for each connection.

    `queue_bytes` bounds what waits to be sent, `window` how much of it is on its way at once,
    `receive_maximum` how much the broker may send before it is handled. `leave_s` is how long leaving waits
    for the queue to empty; a publication to which no PUBACK came within `answer_s` breaks the connection.
    """

    host: str
    port: int
    ca: Path
    certificate: Path
    key: Path
    keepalive_s: int = 20
    session_expiry_s: int = 86400
    will_delay_s: int = 5
    queue_bytes: int = 4 * 1024 * 1024
    window: int = 16
    receive_maximum: int = 100
    pause_s: float = 1.0
    longest_pause_s: float = 30.0
    answer_s: float = 10.0
    leave_s: float = 5.0

    @property
    def endpoint(self) -> str:
        """Return the broker's address for a person."""
        return f"{self.host}:{self.port}"


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


class MqttMesh:
    """One identity's place on an MQTT broker; see `broker.client.MeshClient` for what it promises.

    A publication of QoS 0 never waits: without a connection, or without room in the queue, it is dropped.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        will: Will | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._clock = clock
        self._inbox = Inbox(capacity=settings.receive_maximum)
        self._outbox = Outbox(limit=settings.queue_bytes)
        self._filters: dict[str, None] = {}
        self._link: _Link | None = None
        self._numbers = 0
        self._slowly = False
        self._leaving = asyncio.Event()
        self._deadline = 0.0
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._tasks.create_task(self._stay_connected(), name=f"mesh.{self._client_id}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._deadline = asyncio.get_running_loop().time() + self._settings.leave_s
        self._leaving.set()
        self._outbox.close()
        try:
            # Not told of the body's exception, which would cut the farewell short; it is raised all the same.
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._inbox.close()

    async def publish(self, publication: Publication) -> None:
        """Queue `publication`; waits while the queue is full, unless its QoS is 0 (see the class)."""
        if len(publication.payload) > MAX_MESSAGE:
            raise MessageTooLargeError(size=len(publication.payload), limit=MAX_MESSAGE)
        if publication.qos == 0:
            if self._link is None or not self._outbox.offer(publication):
                log.debug("publication dropped", extra={"topic": publication.topic})
        elif not await self._outbox.put(publication):
            raise NotConnectedError(endpoint=self._settings.endpoint, reason="the mesh was left")

    async def subscribe(self, *filters: str) -> None:
        """Subscribe to `filters`, now if there is a connection, and on each later one."""
        self._filters.update(dict.fromkeys(filters))
        if self._link is not None:
            await self._link.subscribe_or_fail(filters)

    def events(self) -> AsyncIterator[MeshEvent]:
        """Yield what happens; a message is acknowledged when the one after it is asked for."""
        return self._inbox.events()

    def reconnect_slowly(self, *, slowly: bool) -> None:
        """Wait two to four minutes between attempts from now on, or no longer so."""
        self._slowly = slowly

    @property
    def _is_over(self) -> bool:
        late = asyncio.get_running_loop().time() >= self._deadline
        return self._leaving.is_set() and (late or self._outbox.is_empty)

    async def _stay_connected(self) -> None:
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(NotConnectedError), wait=self._pause_s, sleep=self._pause
        )
        async for attempt in attempts:
            with attempt:
                await self._keep_one(attempt.retry_state)

    def _pause_s(self, state: tenacity.RetryCallState) -> float:
        if self._slowly:
            return tenacity.wait_random(*SLOW_PAUSE_S)(state)
        growing = tenacity.wait_random_exponential(
            multiplier=self._settings.pause_s, max=self._settings.longest_pause_s
        )
        return growing(state)

    async def _pause(self, pause_s: float) -> None:
        left_s = max(self._deadline - asyncio.get_running_loop().time(), 0.0)
        if self._leaving.is_set():
            await asyncio.sleep(min(pause_s, left_s))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._leaving.wait()

    async def _keep_one(self, state: tenacity.RetryCallState) -> None:
        # Raises NotConnectedError when the connection is lost or could not be made; returns when we leave.
        if self._is_over:
            return
        began = asyncio.get_running_loop().time()
        try:
            await self._connection()
        except* LOST as errors:
            reason = _reason(errors)
        else:
            return
        finally:
            self._link = None
        if asyncio.get_running_loop().time() - began > self._settings.keepalive_s:
            state.attempt_number = 1
        log.info("mesh disconnected", extra={"endpoint": self._settings.endpoint, "reason": reason})
        error = NotConnectedError(endpoint=self._settings.endpoint, reason=reason)
        await self._inbox.put(Disconnected(reason=str(error), at=self._clock()))
        raise error

    async def _connection(self) -> None:
        number = self._numbers + 1
        link = _Link(self._settings, self._receive)
        will = None if self._will is None else self._will(number)
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(link.open(self._client_id, will))
            finally:
                self._numbers += link.may_be_known
            async with asyncio.TaskGroup() as tasks:
                working = [tasks.create_task(link.watch(), name="mesh.watch")]
                await self._announce(link, number)
                working += [
                    tasks.create_task(self._send(link), name="mesh.send")
                    for _ in range(self._settings.window)
                ]
                await self._leave_in_order()
                for task in working:
                    task.cancel()

    async def _announce(self, link: "_Link", number: int) -> None:
        subscribed: set[str] = set()
        while missing := self._filters.keys() - subscribed:
            await link.subscribe(missing)
            subscribed |= missing
        self._link = link
        await self._inbox.put(Connected(connection=number, at=self._clock()))
        link.release()

    async def _send(self, link: "_Link") -> None:
        while True:
            queued = await self._outbox.take()
            try:
                await link.publish(queued.publication)
            except BaseException:
                self._outbox.put_back(queued)
                raise
            self._outbox.done(queued)

    async def _leave_in_order(self) -> None:
        await self._leaving.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._deadline):
                await self._outbox.drained()

    def _receive(self, link: "_Link", message: aiomqtt.Message) -> None:
        received = Received(
            topic=str(message.topic),
            payload=message.payload,
            signature=_signature(message),
            retained=message.retain,
            at=self._clock(),
        )
        if message.qos:
            self._inbox.admit(received, functools.partial(link.acknowledge, message))
        elif not self._inbox.offer(received):
            log.debug("message dropped", extra={"topic": received.topic})


class _Link:
    """One connection of aiomqtt, and what it lacks: acknowledging late, leaving nothing open."""

    def __init__(self, settings: MqttSettings, receive: Callable[["_Link", aiomqtt.Message], None]) -> None:
        self.may_be_known = False
        self._settings = settings
        self._receive = receive
        self._client: aiomqtt.Client
        self._early: deque[aiomqtt.Message] | None = deque()
        self._unacknowledged = 0
        self._failed: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()

    @contextlib.asynccontextmanager
    async def open(self, client_id: str, will: Publication | None) -> AsyncIterator[None]:
        """Connect, and disconnect in order; MqttError or OSError tell why there is no connection."""
        settings = self._settings
        self._client = client = aiomqtt.Client(
            settings.host,
            settings.port,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            keepalive=settings.keepalive_s,
            timeout=settings.answer_s,
            tls_context=await asyncio.to_thread(_tls, settings),
            will=None if will is None else _will(will, settings.will_delay_s),
            properties=_connect_properties(settings),
            queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", functools.partial(_Tap, self._deliver)),
            logger=log.getChild("wire"),
        )
        client.pending_calls_threshold = settings.window + 1
        paho = client._client  # noqa: SLF001 - aiomqtt 2.5 has no other way to acknowledge by hand
        paho.manual_ack_set(on=True)
        try:
            async with client:
                self.may_be_known = True
                yield
        finally:
            # aiomqtt leaves the socket open, and registered, when the broker never answered the CONNECT.
            self.may_be_known = self.may_be_known or paho.socket() is not None
            paho.disconnect()

    async def watch(self) -> None:
        """Never return; MqttError when the connection is lost or `fail` was called."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fails(), name="mesh.fails")
            async for _ in self._client.messages:
                raise aiomqtt.MqttError("a message came past the tap")

    async def publish(self, publication: Publication) -> None:
        """Hand `publication` over; at QoS 1 return once the broker has it, or said so."""
        await self._client.publish(
            publication.topic,
            publication.payload,
            qos=publication.qos,
            retain=publication.retain,
            properties=_properties(publication, PacketTypes.PUBLISH),
        )

    async def subscribe(self, filters: Collection[str]) -> None:
        """Subscribe to `filters`; MqttError names one that the broker refuses."""
        names = sorted(filters)
        codes = await self._client.subscribe([(name, SubscribeOptions(qos=1)) for name in names])
        for name, code in zip(names, codes, strict=True):
            if isinstance(code, ReasonCode) and code.is_failure:
                raise aiomqtt.MqttError(f"subscription to {name} refused: {code}")

    async def subscribe_or_fail(self, filters: Collection[str]) -> None:
        """Subscribe to `filters`; if that fails so does the connection, and the next one tries again."""
        try:
            await self.subscribe(filters)
        except aiomqtt.MqttError as error:
            if not self._failed.done():
                self._failed.set_exception(error)

    def release(self) -> None:
        """Let through what came before the connection was announced, and all that follows."""
        early, self._early = self._early, None
        for message in early or ():
            self._receive(self, message)

    def acknowledge(self, message: aiomqtt.Message) -> None:
        """Tell the broker that `message` was handled; nothing happens if the connection is gone."""
        self._unacknowledged -= 1
        self._client._client.ack(message.mid, message.qos)  # noqa: SLF001 - see open

    def _deliver(self, message: aiomqtt.Message) -> None:
        self._unacknowledged += message.qos
        limit = self._settings.receive_maximum
        if self._unacknowledged > limit or (self._early is not None and len(self._early) > 2 * limit):
            raise aiomqtt.MqttError("the broker sends more than we can take")
        if self._early is None:
            self._receive(self, message)
        else:
            self._early.append(message)

    async def _fails(self) -> None:
        await self._failed


class _Tap(asyncio.Queue[aiomqtt.Message]):
    """Takes the place of aiomqtt's queue, to hand each message on at once instead of by a task for each."""

    def __init__(self, deliver: Callable[[aiomqtt.Message], None], maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._deliver = deliver

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """Hand `item` on."""
        self._deliver(item)


def _tls(settings: MqttSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca)  # checks the chain and the host's name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate, settings.key)
    return context


def _connect_properties(settings: MqttSettings) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
    properties.SessionExpiryInterval = settings.session_expiry_s
    properties.ReceiveMaximum = settings.receive_maximum
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


def _reason(errors: ExceptionGroup[Exception]) -> str:
    # aiomqtt says "Disconnected during message iteration"; what happened is behind it.
    error: BaseException = errors
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return str(error.__cause__ or error) or type(error).__name__
