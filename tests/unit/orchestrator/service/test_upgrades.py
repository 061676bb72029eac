"""Rollouts, catch-ups, drains and converges through the whole service, and the slots that they share."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from broker.ids import Digest, InstanceId, Role, RolloutId
from broker.messages import Converge, Drain, DrainPolicy, Health, Uncordon
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout.strategy import Strategy
from orchestrator.domain.views import RunState, Selector
from orchestrator.operations import (
    ActRequest,
    ConvergeRequest,
    RefusedError,
    RolloutAction,
    RunFilter,
    UpgradeRequest,
)
from orchestrator.records import Batch
from orchestrator.service.assembly import Service
from tests.unit.orchestrator.domain.playbook import DIGEST
from tests.unit.orchestrator.service.stage import BUNDLE, ROLE, Stage, tail, until

pytestmark = pytest.mark.looptime

NEXT = Digest("sha256:" + "b" * 64)
EVERYONE = Selector(everything=True)
QUICK = Strategy(canary=0)
FIRST = InstanceId("worker-1")


class Fleet:
    """A stage whose wings have converged on `DIGEST`, and whose journal knows `NEXT`."""

    def __init__(self, wings: int, tmp: Path) -> None:
        self.stage = Stage(wings)
        self._tmp = tmp
        self._life = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self.stage.begin()
        await self.stage.journal.commit(Batch(bundles=[replace(BUNDLE, digest=NEXT)]))
        await self._life.enter_async_context(self.stage.alive())
        self.service = await self._life.enter_async_context(self.stage.orchestrator(self._tmp))
        await until(self.service, "instance_online", count=len(self.stage.wings))
        await self.service.runs.converge(ConvergeRequest(selector=EVERYONE, digest=DIGEST))
        await until(self.service, "succeeded", count=len(self.stage.wings))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._life.aclose()

    @property
    def slots(self) -> dict[str, str]:
        """Who is away for whom."""
        held = self.service.core.state.disruption.slots
        return {name: slot.owner for name, slot in held.items()}


def upgrade(**more: object) -> UpgradeRequest:
    asked = UpgradeRequest(selector=EVERYONE, digest=NEXT, strategy=QUICK, requested_by="ann")
    return replace(asked, **more)  # type: ignore[arg-type] # fields of the request


async def told(service: Service, kind: str) -> list[tuple[str | None, str]]:
    return [(each.instance, str(each.body.get("state"))) for each in await tail(service) if each.kind == kind]


async def test_a_rollout_takes_a_fleet_there_one_by_one(tmp_path: Path) -> None:
    """Each is drained, converged, looked at and uncordoned; the canary is looked at again after its soak."""
    async with Fleet(3, tmp_path) as fleet:
        begun = await fleet.service.rollouts.upgrade(upgrade(strategy=Strategy()))
        await until(fleet.service, "rollout_succeeded")
        assert begun.id is not None
        ended = await fleet.service.rollouts.rollout(begun.id)
        assert ended.state is RolloutState.SUCCEEDED
        assert [(step.state, step.touched) for step in ended.steps] == [(StepState.DONE, True)] * 3
        (listed,) = await fleet.service.rollouts.rollouts()
        assert (listed.id, listed.state, listed.steps) == (begun.id, RolloutState.SUCCEEDED, ())
        canary, *others = fleet.stage.wings
        assert [type(order) for order in canary.orders] == [Drain, Health, Uncordon, Health]
        for wing in others:
            assert [type(order) for order in wing.orders] == [Drain, Health, Uncordon]
        assert all(wing.converged == [DIGEST, NEXT] for wing in fleet.stage.wings)
        assert fleet.slots == {}
        assert fleet.service.core.state.role_desired[ROLE] == NEXT


async def test_a_preview_changes_nothing_and_shows_what_would_be(tmp_path: Path) -> None:
    """Waves, what the gates need and how long it takes stand in the plan, and no rollout is there."""
    async with Fleet(3, tmp_path) as fleet:
        plan = await fleet.service.rollouts.preview(upgrade(strategy=Strategy()))
        assert plan.id is None
        assert [(wave.instances, wave.canary) for wave in plan.waves] == [
            (("worker-1",), True),
            (("worker-2",), False),
            (("worker-3",), False),
        ]
        assert plan.expected_s == 60 + 3 * 5.0
        assert plan.needs == (
            "worker: at most 1 of 3 away at once, drained first, then healthy 3 times in a row: Node Ready",
        )
        assert await fleet.service.rollouts.rollouts() == []


async def test_a_rollout_outlives_its_orchestrator(tmp_path: Path) -> None:
    """Killed in the middle, the next orchestrator goes on, and nothing is done twice."""
    stage = Stage(2)
    await stage.begin()
    await stage.journal.commit(Batch(bundles=[replace(BUNDLE, digest=NEXT)]))
    async with stage.alive():
        async with stage.orchestrator(tmp_path) as service:
            await until(service, "instance_online", count=2)
            await service.runs.converge(ConvergeRequest(selector=EVERYONE, digest=DIGEST))
            await until(service, "succeeded", count=2)
            await service.rollouts.upgrade(upgrade())
            await until(service, "step_moved", count=3)
        async with stage.orchestrator(tmp_path) as service:
            await until(service, "rollout_succeeded")
            assert all(wing.converged == [DIGEST, NEXT] for wing in stage.wings)
            for wing in stage.wings:
                assert [type(order) for order in wing.orders] == [Drain, Health, Uncordon]


async def test_ten_that_return_at_once_are_brought_back_one_by_one(tmp_path: Path) -> None:
    """Whoever differs from what is desired of it is caught up by a rollout of its own, in turn."""
    async with Fleet(10, tmp_path) as fleet:
        state = fleet.service.core.state

        def act(_state: object, work: object) -> None:
            for name in list(state.instances):
                state.desire_of(name, NEXT, by="ann", work=work, at=fleet.stage.clock.now())  # type: ignore[arg-type] # the core's own

        await fleet.service.core.call(act)
        for wing in fleet.stage.wings:
            await wing.birth()
        await until(fleet.service, "rollout_succeeded", count=10)
        away: set[str | None] = set()
        for instance, step in await told(fleet.service, "step_moved"):
            away = away | {instance} if step in {"draining", "converging"} else away
            away = away - {instance} if step == "soaking" else away
            assert len(away) <= 1
        assert all(wing.converged == [DIGEST, NEXT] for wing in fleet.stage.wings)


async def test_a_bundle_that_failed_is_not_tried_again_by_itself(tmp_path: Path) -> None:
    """At most one automatic run of a bundle: what did not succeed waits for an operator."""
    async with Fleet(1, tmp_path) as fleet:
        wing = fleet.stage.wings[0]
        wing.answers = False
        await fleet.service.runs.converge(ConvergeRequest(selector=EVERYONE, digest=NEXT))
        (run,) = await fleet.service.runs.runs(RunFilter(states=(RunState.QUEUED,)))
        await fleet.service.runs.cancel(run.id, requested_by="ann")
        wing.answers = True
        await wing.birth()
        await asyncio.sleep(600)
        assert await fleet.service.rollouts.rollouts() == []


async def test_a_bare_drain_holds_its_slot_until_it_is_uncordoned(tmp_path: Path) -> None:
    """A rollout waits for it by name; the uncordon lets it go on."""
    async with Fleet(2, tmp_path) as fleet:
        drains = fleet.service.drains
        view = await drains.drain(FIRST, DrainPolicy(), confirmed=False, requested_by="ann")
        await until(fleet.service, "succeeded", count=3)
        assert (await drains.drain_state(view.id)).state is RunState.SUCCEEDED
        assert fleet.slots == {"worker-1": "d-1"}
        (why,) = await fleet.service.rollouts.why("worker-1")
        assert (why.sentence, why.command) == (
            "worker-1 is away for d-1, and one at a time disrupts it",
            "tarmak uncordon worker-1",
        )
        await fleet.service.rollouts.upgrade(upgrade())
        await asyncio.sleep(60)
        (why,) = await fleet.service.rollouts.why("worker-1")
        assert why.sentence == (
            "worker-1 waiting in r-1: worker-1 is away for d-1, and one at a time disrupts it"
        )
        with pytest.raises(RefusedError, match="in rollout r-1"):
            await drains.uncordon(FIRST, requested_by="ann")
        await fleet.service.rollouts.act(act(RolloutAction.ABORT))
        await until(fleet.service, "rollout_aborted")
        lifted = await drains.uncordon(FIRST, requested_by="ann")
        await asyncio.sleep(60)
        assert (await drains.drain_state(lifted.id)).state is RunState.SUCCEEDED
        assert fleet.slots == {}


async def test_one_more_drain_of_a_role_has_to_be_agreed_to(tmp_path: Path) -> None:
    """A second one away at once is refused until a person has said yes."""
    async with Fleet(3, tmp_path) as fleet:
        drains = fleet.service.drains
        await drains.drain(FIRST, DrainPolicy(), confirmed=False, requested_by="ann")
        second = InstanceId("worker-2")
        with pytest.raises(RefusedError, match="one more of role worker away"):
            await drains.drain(second, DrainPolicy(), confirmed=False, requested_by="ann")
        await drains.drain(second, DrainPolicy(), confirmed=True, requested_by="ann")
        assert fleet.slots == {"worker-1": "d-1", "worker-2": "d-2"}
        with pytest.raises(RefusedError, match="away for d-1"):
            await drains.drain(FIRST, DrainPolicy(), confirmed=True, requested_by="ann")


async def test_what_is_in_a_rollout_is_left_to_it(tmp_path: Path) -> None:
    """Neither a converge nor another rollout gets at an instance that a rollout has not done with."""
    async with Fleet(2, tmp_path) as fleet:
        await fleet.service.rollouts.upgrade(upgrade())
        with pytest.raises(RefusedError, match="in rollout r-1"):
            await fleet.service.runs.converge(ConvergeRequest(selector=EVERYONE, digest=DIGEST))
        with pytest.raises(RefusedError, match="in rollout r-1"):
            await fleet.service.rollouts.upgrade(upgrade())


async def test_an_operators_pause_resume_and_abort_are_refused_where_they_mean_nothing(
    tmp_path: Path,
) -> None:
    """Each refusal says why, and what to do instead."""
    async with Fleet(1, tmp_path) as fleet:
        await fleet.service.rollouts.upgrade(upgrade())
        for action, said in (
            (RolloutAction.RESUME, "it is not paused"),
            (RolloutAction.RETRY, "none of these has failed"),
            (RolloutAction.SKIP, "no instance is named"),
        ):
            with pytest.raises(RefusedError) as refused:
                await fleet.service.rollouts.act(act(action))
            assert refused.value.detail == said
        await until(fleet.service, "rollout_succeeded")
        with pytest.raises(RefusedError) as refused:
            await fleet.service.rollouts.act(act(RolloutAction.PAUSE))
        assert refused.value.detail == "it has ended: it is succeeded"
        with pytest.raises(RefusedError, match="no rollout r-9"):
            await fleet.service.rollouts.rollout(RolloutId("r-9"))


async def test_etcd_members_converge_one_by_one_even_when_all_are_asked_for(tmp_path: Path) -> None:
    """A converge of guarded roles goes through the same count, once they had converged before."""
    stage = Stage(3)
    for wing in stage.wings:
        wing.role = Role("etcd")
    await stage.begin()
    await stage.journal.commit(Batch(bundles=[replace(BUNDLE, digest=NEXT)]))
    async with stage.alive(), stage.orchestrator(tmp_path) as service:
        await until(service, "instance_online", count=3)
        await service.runs.converge(ConvergeRequest(selector=EVERYONE, digest=DIGEST))
        await until(service, "succeeded", count=3)
        for wing in stage.wings:
            wing.answers = False
        await service.runs.converge(ConvergeRequest(selector=EVERYONE, digest=NEXT))
        assert sent(service) == ["worker-1"]
        held = [run.reason for run in await service.runs.runs(RunFilter(states=(RunState.QUEUED,)))]
        assert sum("at most 1 may be" in reason for reason in held) == 2
        for wing in stage.wings:
            wing.answers = True
        await until(service, "succeeded", count=6)
        assert all(wing.converged == [DIGEST, NEXT] for wing in stage.wings)


def sent(service: Service) -> Sequence[str]:
    """Return to whom a converge is under way."""
    return [
        item.instance
        for instance in service.core.state.instances.values()
        for item in instance.deliveries.values()
        if isinstance(item.body, Converge)
    ]


def act(action: RolloutAction, rollout: str = "r-1") -> ActRequest:
    return ActRequest(rollout=RolloutId(rollout), action=action, requested_by="ann")
