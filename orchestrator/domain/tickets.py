"""A request may set a thousand runs going, and shall disturb only so many instances at once."""

from collections.abc import Callable, Sequence
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

    def waiting(
        self, parallel: int | None, is_absent: Callable[[InstanceId], bool] = lambda _: False
    ) -> tuple[Sequence[Run], int]:
        """Return the runs that wait for their turn, and how many of them may go.

        At most `parallel` (None: all) are under way. Runs go in the order of their ids. Those for absent
        instances wait for them without a place among the `parallel`, or dead instances would keep the others
        waiting for good; so does one that a gate holds up.
        """
        every = [self._waiting[key] for key in sorted(self._waiting)]
        if parallel is None:
            return every, len(every)
        room = max(0, parallel - len(self._under_way))
        return [run for run in every if not is_absent(run.instance)], room
