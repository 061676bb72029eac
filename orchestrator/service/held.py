"""What holds an operator's converge or drain up: the account that rollouts take their slots from too."""

from typing import TYPE_CHECKING

from broker.ids import InstanceId
from broker.messages import Drain, Uncordon
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Order, Ticket
from orchestrator.domain.rollout import gates
from orchestrator.domain.rollout.model import Why, number_of
from orchestrator.domain.rollout.scene import Scene
from orchestrator.domain.rollout.strategy import GUARDED
from orchestrator.domain.rollout.why import sentence
from orchestrator.domain.views import RunState
from orchestrator.operations import RefusedError

if TYPE_CHECKING:
    from orchestrator.service.state import ClusterState, Work


def converge_held(instance: Instance, ticket: Ticket, scene: Scene) -> str | None:
    """Return in words why a converge may not begin on an instance now, None if it may.

    Of etcd, vault and master one instance at a time is converged, once it had converged before: until then it
    serves nobody.
    """
    who, role = instance.enrolment.id, instance.enrolment.role
    held = gates.taken(scene, who, ticket.id)
    if held is None and role in GUARDED and instance.observed is not None:
        held = gates.cordoned(scene, who, ticket.id) or gates.room(scene, who, role, most=1)
    return None if held is None else sentence(held)


def refuse_upgrading(who: InstanceId, state: "ClusterState") -> None:
    """Refuse what would disturb an instance that a rollout has not done with."""
    rollout_id = state.upgrades.of_instance.get(who)
    if rollout_id is None:
        return
    step = state.upgrades.open[rollout_id].steps[who]
    if step.state.is_over and state.disruption.owner_of(who) != rollout_id:
        return
    raise RefusedError(
        kind="in-a-rollout",
        status=409,
        title=f"{who} is in rollout {rollout_id}",
        detail=f"its step there is {step.state.value}, and what is in a rollout is left to it",
        action=f"leave it out with `tarmak rollout skip {rollout_id} {who}`, or wait",
    )


def refused(held: Why) -> RefusedError:
    """Return the refusal of what a gate holds up."""
    return RefusedError(
        kind="held-up",
        status=409,
        title="not now",
        detail=sentence(held),
        action="see `tarmak why`, and ask again when that is over",
    )


def release_drain(state: "ClusterState", order: Order, work: "Work") -> None:
    """Give a bare drain's slot back once its cordon is lifted, or was never there to stay."""
    if not number_of(order.owner, "d-"):
        return
    instance = state.instances[order.instance]
    lifted = isinstance(order.body, Uncordon) and order.state is RunState.SUCCEEDED
    undone = isinstance(order.body, Drain) and order.state is not RunState.SUCCEEDED and not instance.cordon
    if lifted or undone:
        state.disruption.free(instance, order.owner, work.batch)
