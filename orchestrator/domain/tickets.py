"""A request may set a thousand runs going, and shall disturb only so many instances at once."""

from collections.abc import Iterable, Sequence

from broker.ids import RunId
from orchestrator.domain.model import Run


def releasable(open_runs: Iterable[Run], parallel: int | None) -> Sequence[RunId]:
    """Return which waiting runs of a ticket may go now, so that at most `parallel` are under way.

    Runs go in the order of their ids. One for an instance that is away counts as under way only once it was
    sent, or a dead instance would keep the others waiting for good.
    """
    runs = sorted(open_runs, key=lambda run: run.id)
    waiting = [run.id for run in runs if not run.released]
    if parallel is None:
        return waiting
    under_way = sum(1 for run in runs if run.released and run.command is not None)
    return waiting[: max(0, parallel - under_way)]
