"""What is done without anyone asking: an instance that never converged is, one that differs is caught up."""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from broker.ids import Digest, InstanceId, RunId
from orchestrator.domain.effects import ConvergeAutomatically
from orchestrator.domain.model import Ticket
from orchestrator.domain.rollout.events import RolloutStarted
from orchestrator.service.beginning import RECONCILIATION, catching_up

if TYPE_CHECKING:
    from orchestrator.service.state import ClusterState, Work

RUN_TIMEOUT_S: Final = 1800


def converge_at_once(
    state: "ClusterState", who: InstanceId, wish: ConvergeAutomatically, work: "Work", at: datetime
) -> None:
    """Set a run going on an instance that serves nobody yet, and that nobody is at work on."""
    bundle = state.bundles.get(wish.digest)
    if bundle is None or state.disruption.owner_of(who):
        return
    ticket = Ticket(
        id=state.new_id(),
        digest=bundle.digest,
        noop=False,
        parallel=None,
        requested_by=RECONCILIATION,
        created_at=at,
    )
    work.batch.tickets.append(ticket)
    run = state.make_run(
        state.instances[who],
        bundle,
        id=RunId(state.new_id()),
        ticket=ticket.id,
        requested_by=ticket.requested_by,
        at=at,
        noop=False,
        timeout_s=RUN_TIMEOUT_S,
        confirm=True,
        automatic=True,
        caused_by=wish.caused_by,
    )
    state.request(run, ticket, work, at)


def begin_catch_up(
    state: "ClusterState", who: InstanceId, digest: Digest, work: "Work", at: datetime
) -> None:
    """Begin a rollout of one instance, unless another has it or somebody else is at work on it."""
    bundle = state.bundles.get(digest)
    if bundle is None or who in state.upgrades.of_instance or state.disruption.owner_of(who):
        return
    state.upgrades.add(catching_up(state, state.instances[who], bundle, at), RolloutStarted(at=at), work)
