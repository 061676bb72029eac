"""Another machine in an instance's place, through the whole service: in a rollout or without one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from broker.ids import Boot, Digest
from broker.messages import Drain, Health, Uncordon
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout.strategy import Strategy
from orchestrator.domain.rollout_views import StepView
from orchestrator.domain.views import PresenceState, Selector
from orchestrator.operations import ConvergeRequest, RefusedError, UpgradeRequest
from orchestrator.records import Batch
from orchestrator.service.assembly import Service
from tests.unit.orchestrator.domain.playbook import DIGEST, Wing
from tests.unit.orchestrator.service.stage import BUNDLE, ScriptedWing, Stage, tail, until

pytestmark = pytest.mark.looptime

NEXT = Digest("sha256:" + "b" * 64)
EVERYONE = Selector(everything=True)
REPLACE = UpgradeRequest(
    selector=EVERYONE, digest=NEXT, strategy=Strategy(canary=0, replace=True), requested_by="ann"
)


class Site:
    """One instance that has converged, and the machine that is to take its place."""

    def __init__(self, tmp: Path) -> None:
        self.stage = Stage(1)
        (self.old,) = self.stage.wings
        self.new = ScriptedWing(self.stage.broker, self.old.id, wing=Wing(boot=Boot("1-ffffffff")))
        self._tmp = tmp
        self._tasks = asyncio.TaskGroup()

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[Service]:
        """Have it converged, and in a rollout that waits for another machine."""
        await self.stage.begin()
        await self.stage.journal.commit(Batch(bundles=[replace(BUNDLE, digest=NEXT)]))
        async with self.stage.orchestrator(self._tmp) as service:
            self.run(self.old)
            await until(service, "instance_online")
            await service.runs.converge(ConvergeRequest(selector=EVERYONE, digest=DIGEST))
            await until(service, "succeeded")
            await service.rollouts.upgrade(REPLACE)
            await until(service, "step_moved", count=3)
            yield service

    def run(self, wing: ScriptedWing) -> None:
        """Let a machine live."""
        self._tasks.create_task(wing.run(), name=wing.key.public.to_base64())

    def joins(self, service: Service | None = None) -> None:
        """Let the new machine be who the instance is."""
        self.stage.wings = [self.new]
        if service is not None:
            service.core.enrol_soon((self.new.enrolment,))

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks._tasks:  # type: ignore[attr-defined] # there is no other way to end all
            task.cancel()
        await self._tasks.__aexit__(None, None, None)


async def step(service: Service) -> StepView:
    """Return how far the instance is."""
    (found,) = (await service.rollouts.rollout((await service.rollouts.rollouts())[0].id or "")).steps
    return found


async def test_the_new_machine_is_converged_by_the_rollout_and_by_nothing_else(tmp_path: Path) -> None:
    """No automatic converge and no catch-up come before it; and what the old one says counts for nothing."""
    async with Site(tmp_path) as site, site.begun() as service:
        found = await step(service)
        assert (found.state, found.replaced) == (StepState.REPLACING, False)
        assert [type(order) for order in site.old.orders] == [Drain]
        with pytest.raises(RefusedError, match="in rollout r-1"):
            await service.runs.converge(ConvergeRequest(selector=EVERYONE, digest=DIGEST))
        site.joins(service)
        await until(service, "machine_replaced")
        await site.old.birth()  # it still runs, and says so
        await asyncio.sleep(30)
        found = await step(service)
        assert (found.state, found.replaced) == (StepState.REPLACING, True)
        assert service.core.state.instances[site.old.id].shown.state is PresenceState.UNKNOWN
        site.run(site.new)
        await until(service, "rollout_succeeded")
        assert site.new.converged == [NEXT]
        assert [type(order) for order in site.new.orders] == [Health, Uncordon]
        asked = [event for event in await tail(service) if event.kind == "run_requested"]
        assert [event.body["automatic"] for event in asked] == [False, False]
        assert site.old.converged == [DIGEST]


async def test_it_goes_on_though_the_orchestrator_was_killed_and_the_machine_joined_meanwhile(
    tmp_path: Path,
) -> None:
    """What it waits for is in the journal: the key of the machine that was."""
    async with Site(tmp_path) as site:
        async with site.begun():
            pass
        async with site.stage.orchestrator(tmp_path) as service:
            assert (await step(service)).state is StepState.REPLACING
        site.joins()
        async with site.stage.orchestrator(tmp_path) as service:
            site.run(site.new)
            await until(service, "rollout_succeeded")
        async with site.stage.orchestrator(tmp_path) as service:
            (view,) = await service.rollouts.rollouts()
            assert view.state is RolloutState.SUCCEEDED
        assert site.new.converged == [NEXT]


async def test_nobody_who_was_away_for_long_fails_it(tmp_path: Path) -> None:
    """An orchestrator that was gone beyond the deadline gives the machine its whole time again."""
    async with Site(tmp_path) as site:
        async with site.begun():
            pass
        await asyncio.sleep(5_000)
        async with site.stage.orchestrator(tmp_path) as service:
            await asyncio.sleep(800)
            assert (await step(service)).state is StepState.REPLACING
            await until(service, "rollout_paused")
            found = await step(service)
            assert (found.state, found.replaced) == (StepState.FAILED, False)
            assert "no new one has joined for 900 s" in found.reason
            assert found.command == "tarmak upgrade --replace --resume r-1"


async def test_a_machine_that_joins_unasked_becomes_what_it_shall_be(tmp_path: Path) -> None:
    """Outside a rollout it is converged at once, as one that has never been."""
    async with Site(tmp_path) as site:
        await site.stage.begin()
        async with site.stage.orchestrator(tmp_path) as service:
            site.run(site.old)
            await until(service, "instance_online")
            await service.runs.converge(ConvergeRequest(selector=EVERYONE, digest=DIGEST))
            await until(service, "succeeded")
            site.joins(service)
            site.run(site.new)
            await until(service, "succeeded", count=2)
            assert site.new.converged == [DIGEST]
            asked = [event for event in await tail(service) if event.kind == "run_requested"]
            assert [event.body["automatic"] for event in asked] == [False, True]


async def test_changes_that_were_approved_are_not_those_of_a_new_machine(tmp_path: Path) -> None:
    """There everything is a change."""
    async with Site(tmp_path) as site:
        await site.stage.begin()
        async with site.stage.orchestrator(tmp_path) as service:
            site.run(site.old)
            await until(service, "instance_online")
            request = ConvergeRequest(selector=EVERYONE, digest=DIGEST, noop=True)
            ticket = await service.runs.converge(request)
            await until(service, "succeeded")
            plan = await service.runs.plan(ticket.id)
            asked = replace(REPLACE, digest=DIGEST, approved=plan.diff_hash)
            with pytest.raises(RefusedError, match="of the machines that are there"):
                await service.rollouts.preview(asked)
