"""Waiting for what goes on in the daemon: asking until it has ended, through a restart of the orchestrator.

What is asked for is the truth; the tail only says when asking is worth it. So a lost event costs at most
a second, and thousands of events no more than a few requests a second.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar

from orchestrator.cli.output import note
from orchestrator.client import GIVE_UP_S, Client
from orchestrator.exchange import ClientError, UnreachableError

T = TypeVar("T")

LOOK_S: Final = 1.0
LEAST_S: Final = 0.05


class LateError(Exception):
    """It has not ended in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Generic[T]):
    """What to ask for, when that has ended, who is shown each answer, and what goes on meanwhile.

    `since` is from when on events may tell of it.
    """

    ask: Callable[[], T]
    ended: Callable[[T], bool]
    show: Callable[[T], None]
    since: datetime
    what: str


def wait(client: Client, asked: Wait[T], *, timeout_s: int | None) -> T:
    """Return the answer that has ended; LateError after `timeout_s` seconds."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with _woken(client, since=asked.since) as wake:
        while True:
            found = _patient(asked)
            asked.show(found)
            if asked.ended(found):
                return found
            if deadline is not None and time.monotonic() > deadline:
                raise LateError
            time.sleep(LEAST_S)
            wake.wait(LOOK_S)
            wake.clear()


def _patient(asked: Wait[T]) -> T:
    """Ask again while nobody answers, up to a minute: what goes on may do so without the orchestrator."""
    deadline = time.monotonic() + GIVE_UP_S
    told = False
    while True:
        try:
            return asked.ask()
        except UnreachableError as error:
            if time.monotonic() > deadline:
                raise
            if not told:
                note(f"the orchestrator can't be reached ({error.reason}); {asked.what}, waiting for it")
                told = True
            time.sleep(LOOK_S / 4)


@contextlib.contextmanager
def _woken(client: Client, *, since: datetime) -> Iterator[threading.Event]:
    """Yield what is set whenever something happens."""
    wake, listener = threading.Event(), Client(client.url)
    thread = threading.Thread(target=_listen, args=(listener, since, wake), name="cli.tail", daemon=True)
    thread.start()
    try:
        yield wake
    finally:
        listener.hang_up()
        thread.join()


def _listen(client: Client, since: datetime, wake: threading.Event) -> None:
    # Without the tail one looks once a second all the same.
    with contextlib.suppress(ClientError):
        for _ in client.tail((("since", since.isoformat()),)):
            wake.set()
