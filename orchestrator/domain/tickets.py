"""A request may set a thousand runs going, and shall disturb only so many instances at once."""

from collections.abc import Collection, Iterable, Sequence

from broker.ids import InstanceId, RunId
from orchestrator.domain.model import Run


def releasable(
    open_runs: Iterable[Run], parallel: int | None, absent: Collection[InstanceId] = ()
) -> Sequence[RunId]:
    """Return which waiting runs of a ticket may go now, so that at most `parallel` are under way.

    Runs go in the order of their ids. Those for `absent` instances wait for them without a place among the
    `parallel`, or dead instances would keep the others waiting for good.
    """
    runs = sorted(open_runs, key=lambda run: run.id)
    waiting = [run.id for run in runs if not run.released]
    if parallel is None:
        return waiting
    under_way = sum(1 for run in runs if run.released)
    present = [run.id for run in runs if not run.released and run.instance not in absent]
    return present[: max(0, parallel - under_way)]
