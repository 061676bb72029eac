"""Waiting for runs: until all have ended, showing how they go, through an orchestrator's restart.

The runs themselves are the truth and are asked for; the tail only says when asking is worth it. So a lost
event costs at most a second, and thousands of events no more than a few requests a second.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from orchestrator.cli.amounts import brief
from orchestrator.cli.output import note
from orchestrator.cli.show import Show
from orchestrator.cli.stop import Code, StopError
from orchestrator.client import GIVE_UP_S, Client
from orchestrator.domain.views import ConvergeTicket, PlanView, RunView
from orchestrator.exchange import ClientError, UnreachableError

LOOK_S: Final = 1.0
LEAST_S: Final = 0.05
ALL: Final = "10000"


def awaited(
    client: Client, tickets: Sequence[ConvergeTicket], *, timeout_s: int | None, show: Show
) -> list[RunView]:
    """Return the tickets' runs when all have ended; StopError after `timeout_s`, or when interrupted."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    runs: list[RunView] = [run for ticket in tickets for run in ticket.runs]
    try:
        with _woken(client, since=min(run.created_at for run in runs)) as wake:
            while True:
                runs = _patient(lambda: _runs(client, tickets))
                show.update(runs)
                if all(run.state.is_final for run in runs):
                    return runs
                if deadline is not None and time.monotonic() > deadline:
                    raise _late(runs, timeout_s or 0)
                time.sleep(LEAST_S)
                wake.wait(LOOK_S)
                wake.clear()
    except KeyboardInterrupt:
        raise _interrupted(runs) from None


def planned(client: Client, ticket: ConvergeTicket) -> PlanView:
    """Return what the ticket's dry runs found; their reports may come in a moment after they have ended."""
    deadline = time.monotonic() + GIVE_UP_S
    while True:
        found = client.plan(ticket.id)
        if found.complete or time.monotonic() > deadline:
            return found
        time.sleep(LEAST_S)


def _runs(client: Client, tickets: Sequence[ConvergeTicket]) -> list[RunView]:
    found = [run for each in tickets for run in client.runs((("ticket", each.id), ("limit", ALL)))]
    return sorted(found, key=lambda run: run.instance)


def _patient(ask: Callable[[], list[RunView]]) -> list[RunView]:
    """Ask again while nobody answers, up to a minute: the runs go on without the orchestrator."""
    deadline = time.monotonic() + GIVE_UP_S
    told = False
    while True:
        try:
            return ask()
        except UnreachableError as error:
            if time.monotonic() > deadline:
                raise
            if not told:
                note(f"the orchestrator can't be reached ({error.reason}); the runs go on, waiting for it")
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
    # Without the tail the runs are looked at once a second all the same.
    with contextlib.suppress(ClientError):
        for _ in client.tail((("since", since.isoformat()),)):
            wake.set()


def _late(runs: Sequence[RunView], timeout_s: int) -> StopError:
    going = [run.instance for run in runs if not run.state.is_final]
    return StopError(
        Code.FAILED,
        f"{len(going)} of {len(runs)} runs have not ended within {brief(timeout_s)}",
        why=f"still going: {', '.join(going)}",
        action="they go on; see `tarmak run list`, or end one with `tarmak run cancel`",
    )


def _interrupted(runs: Sequence[RunView]) -> StopError:
    going = [run.instance for run in runs if not run.state.is_final]
    return StopError(
        Code.INTERRUPTED,
        f"interrupted; {len(going)} of {len(runs)} runs go on without you",
        action="see `tarmak run list`, or end one with `tarmak run cancel`",
    )
