"""Emptying single instances and letting them fill again, outside any rollout: the `Drains` face."""

from datetime import datetime
from typing import Final

from broker.ids import InstanceId, OrderId
from broker.messages import Drain, DrainPolicy, OrderBody, Uncordon
from orchestrator.domain.events import OrderRequested
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Order
from orchestrator.domain.rollout import gates
from orchestrator.domain.rollout.model import number_of
from orchestrator.domain.rollout.why import sentence
from orchestrator.domain.rollout_views import DrainView
from orchestrator.operations import RefusedError
from orchestrator.ports import RolloutArchive
from orchestrator.service.core import Core
from orchestrator.service.held import refuse_upgrading, refused
from orchestrator.service.selecting import unknown_instance
from orchestrator.service.state import ClusterState, Work
from orchestrator.service.upgrades import action_of, make_order

DRAIN_PREFIX: Final = "d-"


class DrainsService:
    """Takes slots for drains in the core, and reads what became of them."""

    def __init__(self, core: Core, archive: RolloutArchive) -> None:
        self._core = core
        self._archive = archive

    async def drain(
        self, instance: InstanceId, policy: DrainPolicy, *, confirmed: bool, requested_by: str
    ) -> DrainView:
        """Drain an instance and leave it cordoned, through the same gates as a rollout's."""

        def act(state: ClusterState, work: Work) -> OrderId:
            known = _known(state, instance)
            refuse_upgrading(instance, state)
            _pass_gates(state, known, confirmed=confirmed)
            owner = state.next_drain()
            at = self._core.clock.now()
            state.disruption.take(known, owner, work.batch, at)
            left = None if known.cordon is None else known.cordon.owner
            order = OrderId(state.new_id())
            body = Drain(order=order, owner=owner, policy=policy, takes_over=left)
            return _request(state, work, known, body, owner=owner, by=requested_by, at=at)

        return await self.drain_state(await self._core.call(act))

    async def uncordon(self, instance: InstanceId, *, requested_by: str) -> DrainView:
        """Lift a cordon of ours."""

        def act(state: ClusterState, work: Work) -> OrderId:
            known = _known(state, instance)
            refuse_upgrading(instance, state)
            owner = _cordoner(state, known)
            body = Uncordon(order=OrderId(state.new_id()), owner=owner)
            at = self._core.clock.now()
            return _request(state, work, known, body, owner=owner, by=requested_by, at=at)

        return await self.drain_state(await self._core.call(act))

    async def drain_state(self, drain: str) -> DrainView:
        """Return how a drain or an uncordon goes, or raise a RefusedError of kind `unknown-drain`."""
        orders = (order for item in self._core.state.instances.values() for order in item.orders.values())
        found = next((order for order in orders if order.id == drain), None)
        found = found or await self._archive.order(OrderId(drain))
        if found is None:
            raise RefusedError(
                kind="unknown-drain",
                status=404,
                title=f"no drain {drain}",
                detail="no drain or uncordon of that id is kept",
                action="see `tarmak events --kind order_requested`",
            )
        return _view(found)


def _known(state: ClusterState, instance: InstanceId) -> Instance:
    known = state.instances.get(instance)
    if known is None:
        raise unknown_instance(instance, state.instances)
    return known


def _pass_gates(state: ClusterState, instance: Instance, *, confirmed: bool) -> None:
    """Refuse what no drain may do; what a person may agree to needs that they did."""
    who, role, scene = instance.enrolment.id, instance.enrolment.role, state.upgrades.scene()
    held = gates.reach(scene, who) or gates.taken(scene, who, "")
    if held is not None:
        raise refused(held)
    quorum = gates.room(scene, who, role, most=len(state.instances) + 1)
    if quorum is not None:
        raise refused(quorum)
    crowded = gates.room(scene, who, role, most=1)
    if crowded is not None and not confirmed:
        raise RefusedError(
            kind="not-confirmed",
            status=409,
            title=f"{who} would be one more of role {role} away",
            detail=sentence(crowded),
            action="bring the others back first, or agree to it with --yes",
        )


def _cordoner(state: ClusterState, instance: Instance) -> str:
    """Return in whose name the instance is cordoned."""
    who = instance.enrolment.id
    if instance.cordon is not None:
        return instance.cordon.owner
    owner = state.disruption.owner_of(who)
    if owner is not None and number_of(owner, DRAIN_PREFIX):
        return owner
    raise RefusedError(
        kind="not-cordoned",
        status=409,
        title=f"{who} is not cordoned by Tarmak",
        detail="a cordon of somebody else's is not ours to lift",
        action=f"look at the Node: kubectl describe node {who}",
    )


def _request(
    state: ClusterState,
    work: Work,
    instance: Instance,
    body: OrderBody,
    *,
    owner: str,
    by: str,
    at: datetime,
) -> OrderId:
    order = make_order(instance, body, owner=owner, by=by, at=at)
    state.apply(order.instance, OrderRequested(at=at, order=order), work)
    state.settle(work, at)
    return order.id


def _view(order: Order) -> DrainView:
    return DrainView(
        id=order.id,
        instance=order.instance,
        action=action_of(order),
        state=order.state,
        reason=order.reason,
        total=order.total,
        evicted=order.evicted,
        blocked=order.blocked,
        left=order.left,
        created_at=order.created_at,
        finished_at=order.finished_at,
        requested_by=order.requested_by,
    )
