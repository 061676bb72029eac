"""The mesh within one process, in virtual time, as unkind as a test wants it to be.

A rollout that survives a lost will or a broker that forgot everything can't be tried on real hosts a
thousand times a minute. This broker does for a client what Mosquitto does (sessions, queues, retained
messages, wills, takeovers, expiry), with time taken from the running event loop, so that under a virtual
one hours take no time; and what goes wrong comes from `Faults`, the same from the same seed.
"""

import asyncio
import functools
from collections.abc import Collection
from typing import Final

from broker.client import Publication
from broker.errors import NotConnectedError
from broker.memory.faults import Fate, Faults
from broker.memory.sessions import Delivery, ServedLink, Session, Subscriptions, matches

ENDPOINT: Final = "memory"


class MemoryBroker:
    """A broker to be made where an event loop runs; `MemoryMesh` is its client."""

    def __init__(
        self,
        *,
        faults: Faults = Faults(),  # noqa: B008 - frozen
        will_delay_s: float = 5.0,
        session_expiry_s: float = 86400.0,
        max_queued: int = 100_000,
    ) -> None:
        self.faults = faults
        self._fate = Fate(faults)
        self._will_delay_s = will_delay_s
        self._session_expiry_s = session_expiry_s
        self._max_queued = max_queued
        self._loop = asyncio.get_running_loop()
        self._is_up = True
        self._cut_off: set[str] = set()
        self._lives = 0
        self._sessions: dict[str, Session] = {}
        self._subscriptions = Subscriptions()
        self._retained: dict[str, Delivery] = {}

    # What a test does to it ----------------------------------------------------------------------

    def stop(self) -> None:
        """Go down, as if killed: no will of a client that is lost by this is ever published."""
        self._is_up = False
        for session in self._sessions.values():
            if session.will_timer is not None:
                session.will_timer.cancel()
            if session.link is not None:
                session.link.lose("the broker went down")
                self._disconnected(session, orderly=True)

    def start(self, *, forget: bool = False) -> None:
        """Be there again; with `forget` nothing is left of sessions, queues and retained messages."""
        if forget:
            self.stop()
            self._forget()
        self._is_up = True

    def restart(self, *, forget: bool = False) -> None:
        """Go down and be there again, between two attempts of any client."""
        self.stop()
        self.start(forget=forget)

    def cut(self, client_id: str, *, for_good: bool = False) -> None:
        """Lose a client's connection without a goodbye; its will follows unless it is back in time.

        With `for_good` it can't be back before `mend`.
        """
        if for_good:
            self._cut_off.add(client_id)
        session = self._sessions.get(client_id)
        if session is not None and session.link is not None:
            session.link.lose("the connection was lost")
            self._disconnected(session, orderly=False)

    def mend(self, client_id: str) -> None:
        """Let a client that was cut off reach the broker again."""
        self._cut_off.discard(client_id)

    # What its clients do -------------------------------------------------------------------------

    def connect(self, link: ServedLink, will: Publication | None) -> None:
        """Begin `link` in its client's session, which goes on if there is one, and is taken from another."""
        if not self._is_up or link.client_id in self._cut_off:
            raise NotConnectedError(endpoint=ENDPOINT, reason="the broker can't be reached")
        session = self._sessions.setdefault(link.client_id, Session(client_id=link.client_id))
        if session.link is not None:
            session.link.lose("session taken over")
            session.end()
        session.cancel_timers()
        session.link = link
        session.will = will

    def disconnect(self, link: ServedLink) -> None:
        """End `link` in order: its will is forgotten."""
        session = self._sessions.get(link.client_id)
        if session is not None and session.link is link:
            self._disconnected(session, orderly=True)

    def subscribe(self, link: ServedLink, filters: Collection[str]) -> None:
        """Add `filters` to the session of `link`, and send it what is retained there."""
        session = self._sessions[link.client_id]
        for name in filters:
            self._subscriptions.add(name, session)
            for topic, kept in list(self._retained.items()):
                if matches(name, topic):
                    self._deliver(session, kept)

    def publish(self, publication: Publication) -> None:
        """Take `publication` and hand it to whoever has subscribed to its topic."""
        if self._fate.is_lost():
            return
        expires_at = None if publication.expiry_s is None else self._loop.time() + publication.expiry_s
        if publication.retain:
            self._retain(Delivery(publication=publication, retained=True, expires_at=expires_at))
        live = Delivery(publication=publication, retained=False, expires_at=expires_at)
        for session in self._subscriptions.heard_by(publication.topic):
            self._deliver(session, live)

    def acknowledge(self, link: ServedLink, number: int) -> None:
        """Forget a message that `link` has handled; nothing happens if it is not connected any more."""
        session = self._sessions.get(link.client_id)
        if session is not None and session.link is link:
            session.unacknowledged.pop(number, None)
            self.pump(session)

    def released(self, link: ServedLink) -> None:
        """Send `link` what waits for it."""
        self.pump(self._sessions[link.client_id])

    def pump(self, session: Session) -> None:
        """Send what is queued as far as the client takes it."""
        link = session.link
        if link is None or not link.is_released:
            return
        while session.queue and len(session.unacknowledged) < link.receive_maximum:
            delivery = session.queue.popleft()
            if not delivery.is_expired(self._loop.time()):
                number = link.next_number()
                session.unacknowledged[number] = delivery
                link.receive(delivery, functools.partial(self.acknowledge, link, number))

    # What it does with that ----------------------------------------------------------------------

    def _retain(self, kept: Delivery) -> None:
        if kept.publication.payload:
            self._retained[kept.publication.topic] = kept
        else:
            self._retained.pop(kept.publication.topic, None)

    def _deliver(self, session: Session, delivery: Delivery) -> None:
        for late_s in self._fate.deliveries():
            if late_s:
                self._loop.call_later(late_s, self._arrive, session, delivery, self._lives)
            else:
                self._arrive(session, delivery, self._lives)

    def _arrive(self, session: Session, delivery: Delivery, life: int) -> None:
        if life != self._lives or delivery.is_expired(self._loop.time()):
            return
        if delivery.publication.qos or delivery.retained:
            if len(session.queue) < self._max_queued:
                session.queue.append(delivery)
                self.pump(session)
        elif session.link is not None and session.link.is_released:
            session.link.receive(delivery, None)

    def _disconnected(self, session: Session, *, orderly: bool) -> None:
        will, session.will = session.will, None
        session.end()
        session.expiry_timer = self._loop.call_later(self._session_expiry_s, self._expire, session)
        if orderly or will is None:
            return
        delay_s, preventable = self._fate.will(self._will_delay_s)
        if delay_s is not None:
            timer = self._loop.call_later(delay_s, self._publish_will, will, self._lives)
            session.will_timer = timer if preventable else None

    def _publish_will(self, will: Publication, life: int) -> None:
        if self._is_up and life == self._lives:
            self.publish(will)

    def _expire(self, session: Session) -> None:
        del self._sessions[session.client_id]
        self._subscriptions.remove(session)

    def _forget(self) -> None:
        self._lives += 1
        for session in self._sessions.values():
            session.cancel_timers()
        self._subscriptions = Subscriptions()
        self._sessions.clear()
        self._retained.clear()
