"""People at their keyboards: what they ask of the orchestrator, and how they clear up at the end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from broker.ids import InstanceId, RolloutId, RunId
from orchestrator.domain.model import Enrolment
from orchestrator.domain.rollout.model import StepState
from orchestrator.domain.views import Selector
from orchestrator.operations import ActRequest, ConvergeRequest, RolloutAction, UpgradeRequest
from orchestrator.service.assembly import Service
from orchestrator.service.roster import put_in_force
from orchestrator.service.state import ClusterState, Work
from tests.simulation import actions
from tests.simulation.orchestra import BUNDLES

ANN: Final = "ann"
PLAN_WITHIN_S: Final = 60
LOOKS_EVERY_S: Final = 5
Asked = Callable[[Service], Awaitable[object]]


def converging(asked: actions.Converge, names: Sequence[InstanceId]) -> Asked:
    """Return how somebody has hosts converged."""
    request = ConvergeRequest(
        selector=_selector(asked.hosts, names),
        digest=BUNDLES[asked.digest].digest,
        noop=asked.noop,
        parallel=asked.parallel,
        timeout_s=asked.timeout_s,
        requested_by=ANN,
    )
    return lambda service: service.runs.converge(request)


def upgrading(asked: actions.Upgrade, names: Sequence[InstanceId]) -> Asked:
    """Return how somebody begins a rollout, after they have read its changes if those are to be approved."""
    selector, digest = _selector(asked.hosts, names), BUNDLES[asked.digest].digest

    async def upgrade(service: Service) -> None:
        approved = None
        if asked.approved:
            request = ConvergeRequest(selector=selector, digest=digest, noop=True, requested_by=ANN)
            approved = await _planned(service, (await service.runs.converge(request)).id)
            if approved is None:
                return
        await service.rollouts.upgrade(
            UpgradeRequest(
                selector=selector,
                digest=digest,
                strategy=asked.strategy,
                approved=approved,
                confirmed=True,
                requested_by=ANN,
            )
        )

    return upgrade


async def _planned(service: Service, ticket: str) -> str | None:
    for _ in range(0, PLAN_WITHIN_S, LOOKS_EVERY_S):
        plan = await service.runs.plan(ticket)
        if plan.complete:
            return plan.diff_hash
        await asyncio.sleep(LOOKS_EVERY_S)
    return None


def steering(asked: actions.Steer) -> Asked:
    """Return how somebody does something to an open rollout."""

    async def steer(service: Service) -> None:
        rollouts = sorted(service.core.state.upgrades.open.values(), key=lambda item: item.id)
        if not rollouts:
            return
        rollout = rollouts[int(asked.place * len(rollouts))]
        names = tuple(rollout.steps)
        chosen = () if asked.host is None else (names[int(asked.host * len(names))],)
        await _act(service, rollout.id, asked.action, chosen, asked.beyond)

    return steer


def draining(asked: actions.DrainHost, names: Sequence[InstanceId]) -> Asked:
    """Return how somebody drains a host."""
    return lambda service: service.drains.drain(
        names[asked.host], asked.policy, confirmed=asked.confirmed, requested_by=ANN
    )


def uncordoning(name: InstanceId) -> Asked:
    """Return how somebody lifts our cordon of a host."""
    return lambda service: service.drains.uncordon(name, requested_by=ANN)


def cancelling(run: RunId) -> Asked:
    """Return how somebody cancels a run."""
    return lambda service: service.runs.cancel(run, requested_by=ANN)


def cancelling_one(place: float) -> Asked:
    """Return how somebody cancels an open run, the one at `place` among them."""

    async def cancel(service: Service) -> None:
        instances = service.core.state.instances.values()
        open_runs: list[RunId] = [run for instance in instances for run in instance.runs]
        if open_runs:
            await service.runs.cancel(open_runs[int(place * len(open_runs))], requested_by=ANN)

    return cancel


def ending(rollout: RolloutId) -> Asked:
    """Return how somebody ends a rollout that waits for them."""

    async def end(service: Service) -> None:
        found = service.core.state.upgrades.open[rollout]
        failed = tuple(step.instance for step in found.steps.values() if step.state is StepState.FAILED)
        if failed and not found.aborted_by and int(rollout.removeprefix("r-")) % 2:
            await _act(service, rollout, RolloutAction.RETRY, failed[:1])
        else:
            await _act(service, rollout, RolloutAction.ABORT)

    return end


def aborting(rollout: RolloutId) -> Asked:
    """Return how somebody ends a rollout where it is."""
    return lambda service: _act(service, rollout, RolloutAction.ABORT)


def enrolling(roster: tuple[Enrolment, ...], done: asyncio.Event) -> Asked:
    """Return how a machine joins the fleet, which sets `done` once that is written."""

    async def enrol(service: Service) -> None:
        core = service.core

        def act(state: ClusterState, work: Work) -> None:
            put_in_force(state, roster, work, core.clock.now())
            core.believe()

        await core.call(act)
        done.set()

    return enrol


def acknowledging() -> Asked:
    """Return how somebody says that they have looked at a journal that was restored."""
    return lambda service: service.fleet.acknowledge(requested_by=ANN)


async def _act(
    service: Service,
    rollout: RolloutId,
    action: RolloutAction,
    instances: tuple[InstanceId, ...] = (),
    beyond: int = 0,
) -> None:
    await service.rollouts.act(
        ActRequest(
            rollout=rollout, action=action, instances=instances, beyond_failed=beyond, requested_by=ANN
        )
    )


def _selector(hosts: tuple[int, ...], names: Sequence[InstanceId]) -> Selector:
    return Selector(instances=tuple(names[host] for host in hosts), everything=not hosts)
