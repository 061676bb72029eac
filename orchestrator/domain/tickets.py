"""A request may set a thousand runs going, and shall disturb only so many instances at once."""

from collections.abc import Collection, Iterable, Sequence

from broker.ids import InstanceId
from orchestrator.domain.model import Run


def releasable(
    open_runs: Iterable[Run], parallel: int | None, absent: Collection[InstanceId] = ()
) -> tuple[Sequence[Run], int]:
    """Return the waiting runs of a ticket, and how many of them may go now: `parallel` are under way at most.

    Runs go in the order of their ids. Those for `absent` instances wait for them without a place among the
    `parallel`, or dead instances would keep the others waiting for good; so does one that a gate holds up.
    """
    runs = sorted(open_runs, key=lambda run: run.id)
    waiting = [run for run in runs if not run.released]
    if parallel is None:
        return waiting, len(waiting)
    under_way = sum(1 for run in runs if run.released)
    return [run for run in waiting if run.instance not in absent], max(0, parallel - under_way)
