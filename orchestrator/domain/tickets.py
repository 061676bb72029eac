"""A request may set a thousand runs going, and shall disturb only so many instances at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from broker.ids import InstanceId, RunId
from orchestrator.domain.model import Run


@dataclass(slots=True)
class OpenRuns:
    """The runs of one request that have no final answer.

    They are looked at whenever one of them moves, so those that wait for their turn are kept apart from those
    that are under way.
    """

    _under_way: set[RunId] = field(default_factory=set)
    _waiting: dict[RunId, Run] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._under_way or self._waiting)

    def put(self, run: Run) -> None:
        """Take in what a run is now."""
        self._under_way.discard(run.id)
        self._waiting.pop(run.id, None)
        if run.state.is_final:
            return
        if run.released:
            self._under_way.add(run.id)
        else:
            self._waiting[run.id] = run

    def room(self, parallel: int | None) -> int:
        """Return how many that wait may go now, so that at most `parallel` (None: all) are under way."""
        if parallel is None:
            return len(self._waiting)
        return max(0, parallel - len(self._under_way))

    def waiting(self, is_absent: Callable[[InstanceId], bool] | None = None) -> Iterator[Run]:
        """Yield what waits and may go, in the order of their ids.

        Where only so many may go at once, those for absent instances are left out: they wait without a place
        among these, or dead instances would keep the others waiting for good.
        """
        runs = [self._waiting[key] for key in sorted(self._waiting)]
        return (run for run in runs if is_absent is None or not is_absent(run.instance))
