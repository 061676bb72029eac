"""Waiting for runs until all have ended, showing how they go."""

import time
from collections.abc import Sequence
from typing import Final

from orchestrator.cli.amounts import brief
from orchestrator.cli.show import Show
from orchestrator.cli.stop import Code, StopError
from orchestrator.cli.waiting import LEAST_S, LateError, Wait, wait
from orchestrator.client import GIVE_UP_S, Client
from orchestrator.domain.views import ConvergeTicket, PlanView, RunView

ALL: Final = "10000"


def awaited(
    client: Client, tickets: Sequence[ConvergeTicket], *, timeout_s: int | None, show: Show
) -> list[RunView]:
    """Return the tickets' runs when all have ended; StopError after `timeout_s`, or when interrupted."""
    runs: list[RunView] = [run for ticket in tickets for run in ticket.runs]

    def seen(found: list[RunView]) -> None:
        runs[:] = found
        show.update(found)

    asked = Wait(
        ask=lambda: _runs(client, tickets),
        ended=lambda found: all(run.state.is_final for run in found),
        show=seen,
        since=min(run.created_at for run in runs),
        what="the runs go on",
    )
    try:
        return wait(client, asked, timeout_s=timeout_s)
    except LateError:
        raise _late(runs, timeout_s or 0) from None
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
