"""Rollouts through the whole service: from the request to wings that drain, converge and come back."""

from dataclasses import replace
from pathlib import Path

import pytest

from broker.ids import Digest
from broker.messages import Drain, Health, Uncordon
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout.strategy import Strategy
from orchestrator.domain.views import Selector
from orchestrator.operations import ConvergeRequest, UpgradeRequest
from orchestrator.ports import Batch
from tests.unit.orchestrator.domain.playbook import DIGEST, NOW
from tests.unit.orchestrator.service.stage import BUNDLE, Stage, until

pytestmark = pytest.mark.asyncio

NEXT = Digest("sha256:" + "b" * 64)
EVERYONE = Selector(everything=True)


async def test_a_rollout_takes_a_fleet_there_one_by_one(tmp_path: Path) -> None:
    """Each worker is dry-run, drained, converged, looked at and uncordoned, and never two at once."""
    stage = Stage(3)
    await stage.begin()
    await stage.journal.commit(Batch(bundles=[replace(BUNDLE, digest=NEXT)]))
    async with stage.orchestrator(tmp_path) as service, stage.alive():
        await until(service, "instance_online", count=3)
        await service.runs.converge(ConvergeRequest(selector=EVERYONE, digest=DIGEST))
        await until(service, "succeeded", count=3)
        begun = await service.rollouts.upgrade(
            UpgradeRequest(selector=EVERYONE, digest=NEXT, strategy=Strategy(), requested_by="ann")
        )
        await until(service, "rollout_succeeded")
        assert begun.id is not None
        ended = await service.rollouts.rollout(begun.id)
        assert ended.state is RolloutState.SUCCEEDED
        assert [step.state for step in ended.steps] == [StepState.DONE] * 3
        for wing in stage.wings:
            assert [type(order) for order in wing.orders] == [Drain, Health, Uncordon]
            assert wing.converged == [DIGEST, NEXT]
        assert ended.created_at > NOW
