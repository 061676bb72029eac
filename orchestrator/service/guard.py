"""What a burst is about to write and send is held against the laws once more, before any of it is real.

Each rollout's own moves are checked where they are made (`upgrades`); this looks at what only the whole burst
shows: epochs, second ends, and commands that a crash could lose. What breaks a law is not sent, and every
rollout stops and says so.
"""

from typing import Final

import structlog

from broker.ids import OrderId, RunId
from broker.messages import Ack, Command, Ping, Replay, Report
from orchestrator.domain import invariants
from orchestrator.domain.model import Order, Run
from orchestrator.domain.rollout.events import BreachFound
from orchestrator.domain.views import RunState
from orchestrator.ports import Clock
from orchestrator.service.state import ClusterState, Work

log = structlog.get_logger(__name__)

MOST_ENDED: Final = 10_000


class Guard:
    """Remembers how the newest runs and orders ended, and lets nothing through that breaks a law."""

    def __init__(self, state: ClusterState, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._ended: dict[RunId | OrderId, RunState] = {}

    def check(self, work: Work) -> None:
        """Hold back what would break a law; its rollouts stop, and say so."""
        work.commands = [each for each in work.commands if self._is_due(each, work)]
        law = self._broken(work)
        if law is not None:
            log.error("invariant broken", law=law)
            self._stop(law, work)

    def _broken(self, work: Work) -> str | None:
        state = self._state
        pieces: list[Run | Order] = [*work.batch.runs.values(), *work.batch.orders.values()]
        law = invariants.burst_broken(
            work.commands, epoch=state.leadership.epoch, instances=state.instances
        ) or invariants.contradicted(self._ended, pieces)
        self._ended |= {each.id: each.state for each in pieces if each.state.is_final}
        while len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        return law

    def _is_due(self, command: Command, work: Work) -> bool:
        """Tell whether a command is still to be sent at the end of its burst.

        It is not if it was answered in the same one, or if the epoch was raised: then it is sent again anew.
        """
        return command.epoch >= self._state.leadership.epoch and command.id not in work.batch.dropped

    def _stop(self, law: str, work: Work) -> None:
        """Stop every rollout, and send nothing that is answered in this burst: it is sent again later."""
        self._state.count("invariant_broken")
        controls = Ping | Ack | Replay | Report
        work.commands = [each for each in work.commands if isinstance(each.body, controls)]
        for rollout in list(self._state.upgrades.open):
            self._state.upgrades.tell(rollout, BreachFound(at=self._clock.now(), law=law))
        self._state.settle(work, self._clock.now())
