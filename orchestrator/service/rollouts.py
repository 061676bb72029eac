"""Upgrades of a living fleet, as operators ask for them: the `Rollouts` face."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Final

from broker.ids import InstanceId, Role, RolloutId
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Bundle
from orchestrator.domain.planning import plan_view
from orchestrator.domain.rollout.events import RolloutStarted
from orchestrator.domain.rollout.model import Rollout
from orchestrator.domain.rollout.show import confirmations, rollout_view
from orchestrator.domain.rollout_views import RolloutView, WhyView
from orchestrator.domain.views import RunState
from orchestrator.nearest import nearest
from orchestrator.operations import ActRequest, RefusedError, UpgradeRequest
from orchestrator.ports import Preflight, RolloutArchive, RunArchive, RunQuery
from orchestrator.service.acting import asked
from orchestrator.service.beginning import PREVIEW, begun
from orchestrator.service.core import Core
from orchestrator.service.explaining import explained
from orchestrator.service.preflight import warned
from orchestrator.service.selecting import covers_role, select
from orchestrator.service.state import ClusterState, Work

PAST_RUNS: Final = 500
PLANS: Final = 50


class RolloutsService:
    """Begins rollouts in the core, and shows those that are open and those that were."""

    def __init__(
        self, core: Core, archive: RolloutArchive, runs: RunArchive, preflight: Preflight | None = None
    ) -> None:
        self._core = core
        self._archive = archive
        self._runs = runs
        self._preflight = preflight

    async def preview(self, request: UpgradeRequest) -> RolloutView:
        """Return what `upgrade` would do, and change nothing; refuses what `upgrade` would refuse."""
        approved = await self._approved(request)
        state, at = self._core.state, self._core.clock.now()
        rollout = _Plan(request=request, state=state, at=at, approved=approved).rollout(PREVIEW)
        took_s = await self._took_s(rollout)
        warnings = await warned(self._preflight, rollout, state)
        return rollout_view(rollout, state.upgrades.scene(), at, took_s=took_s, warnings=warnings)

    async def upgrade(self, request: UpgradeRequest) -> RolloutView:
        """Begin a rollout; refused if it is not confirmed, or an instance is in another rollout."""
        approved = await self._approved(request)

        def act(state: ClusterState, work: Work) -> RolloutId:
            at = self._core.clock.now()
            plan = _Plan(request=request, state=state, at=at, approved=approved)
            plan.rollout(PREVIEW)
            plan.refuse_unconfirmed()
            rollout = plan.rollout(state.upgrades.next_id())
            state.upgrades.add(rollout, RolloutStarted(at=at), work)
            state.settle(work, at)
            return rollout.id

        return await self.rollout(await self._core.call(act))

    async def rollouts(self, *, limit: int = 100, before: RolloutId | None = None) -> Sequence[RolloutView]:
        """Return rollouts, newest first, without their steps."""
        scene, at = self._core.state.upgrades.scene(), self._core.clock.now()
        found = await self._archive.rollouts(limit=limit, before=before)
        current = [self._core.state.upgrades.open.get(item.id, item) for item in found]
        return [rollout_view(item, scene, at, with_steps=False) for item in current]

    async def rollout(self, rollout: RolloutId) -> RolloutView:
        """Return one rollout, or raise a RefusedError of kind `unknown-rollout`."""
        found = await self._found(rollout)
        took_s = None if found.state.is_final else await self._took_s(found)
        return rollout_view(found, self._core.state.upgrades.scene(), self._core.clock.now(), took_s=took_s)

    async def act(self, request: ActRequest) -> RolloutView:
        """Do something to a rollout; refused where its state does not allow that."""
        found = await self._found(request.rollout)

        def act(state: ClusterState, work: Work) -> None:
            at = self._core.clock.now()
            current = state.upgrades.open.get(request.rollout, found)
            state.upgrades.tell(request.rollout, asked(request, current, at))
            state.settle(work, at)

        await self._core.call(act)
        return await self.rollout(request.rollout)

    async def why(self, subject: str | None) -> Sequence[WhyView]:
        """Return why an instance or a rollout waits or failed (None: whatever does), if anything does."""
        state, at = self._core.state, self._core.clock.now()
        known = subject is None or subject in state.instances or subject in state.upgrades.open
        if known:
            return explained(state, subject, at)
        rollout = await self._found(RolloutId(subject or ""))
        return explained(state, subject, at, closed=rollout)

    async def _found(self, rollout: RolloutId) -> Rollout:
        found = self._core.state.upgrades.open.get(rollout) or await self._archive.rollout(rollout)
        if found is None:
            raise RefusedError(
                kind="unknown-rollout",
                status=404,
                title=f"no rollout {rollout}",
                detail=nearest(rollout, [*self._core.state.upgrades.open, *self._core.state.instances]),
                action="see `tarmak rollout list`",
            )
        return found

    async def _took_s(self, rollout: Rollout) -> Mapping[Role, float]:
        """Return how long an instance of each role takes, by the runs that have succeeded so far."""
        query = RunQuery(instances=tuple(rollout.steps), states=(RunState.SUCCEEDED,), limit=PAST_RUNS)
        took: dict[Role, list[float]] = defaultdict(list)
        for run in await self._runs.runs(query):
            if not run.noop and run.started_at is not None and run.finished_at is not None:
                took[run.role].append((run.finished_at - run.started_at).total_seconds())
        return {role: median(each) for role, each in took.items()}

    async def _approved(self, request: UpgradeRequest) -> Mapping[InstanceId, str] | None:
        """Return what was approved of each instance, by the plan whose hash the request names."""
        if request.approved is None:
            return None
        for ticket in await self._archive.plans(request.digest, limit=PLANS):
            runs = await self._runs.runs(RunQuery(ticket=ticket.id, limit=100_000))
            if plan_view(ticket, runs, {}).diff_hash == request.approved:
                return {run.instance: run.result.diff_hash or "" for run in runs if run.result is not None}
        raise RefusedError(
            kind="unknown-plan",
            status=422,
            title=f"no plan of {request.digest} has the hash {request.approved}",
            detail="a plan is known while its runs are kept, and its hash is of those very instances",
            action="plan again, read it, and approve that hash: tarmak plan --bundle DIGEST SELECTOR",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A request for an upgrade, on its way to a rollout."""

    request: UpgradeRequest
    state: ClusterState
    at: datetime
    approved: Mapping[InstanceId, str] | None

    def rollout(self, rollout_id: RolloutId) -> Rollout:
        """Return the rollout; refuses what can't be one."""
        bundle = self._bundle()
        self._refuse_approved()
        targets = select(self.request.selector, self.state.instances)
        for instance in targets:
            self._refuse(instance, bundle)
        return begun(
            self.state,
            targets,
            bundle,
            self.request.strategy,
            rollout_id=rollout_id,
            by=self.request.requested_by,
            at=self.at,
            approved=self.approved,
            whole_roles=self._whole_roles(targets),
        )

    def refuse_unconfirmed(self) -> None:
        """Refuse an outage that nobody has agreed to."""
        outages = tuple(confirmations(self.rollout(PREVIEW), self.state.upgrades.scene()))
        if outages and not self.request.confirmed:
            raise RefusedError(
                kind="not-confirmed",
                status=409,
                title="somebody has to agree to this first",
                detail="; ".join(outages),
                action="agree with --yes, or leave those instances out",
            )

    def _refuse_approved(self) -> None:
        if self.approved is not None and self.request.strategy.replace:
            raise RefusedError(
                kind="approved-and-replaced",
                status=422,
                title="an approved plan is of the machines that are there",
                detail="on a new machine everything is a change",
                action="leave the approval away, or don't replace",
            )

    def _bundle(self) -> Bundle:
        bundle = self.state.bundles.get(self.request.digest)
        if bundle is None:
            raise RefusedError(
                kind="unknown-bundle",
                status=422,
                title=f"no bundle {self.request.digest}",
                detail=nearest(self.request.digest, self.state.bundles),
                action="push it first: tarmak bundle push SRC",
            )
        return bundle

    def _refuse(self, instance: Instance, bundle: Bundle) -> None:
        who, role = instance.enrolment.id, instance.enrolment.role
        if bundle.roles and role not in bundle.roles:
            raise RefusedError(
                kind="bundle-not-for-role",
                status=422,
                title=f"bundle {bundle.digest} is not for role {role}",
                detail=f"its roles are {', '.join(bundle.roles)}, and {who} is a {role}",
                action="select only those roles",
            )
        other = self.state.upgrades.of_instance.get(who)
        if other is not None:
            raise RefusedError(
                kind="in-a-rollout",
                status=409,
                title=f"{who} is in rollout {other}",
                detail=f"{other} is {self.state.upgrades.open[other].state.value}, and has not ended",
                action=f"wait for it, or end it: tarmak rollout abort {other}",
            )
        if self.approved is not None and who not in self.approved:
            raise RefusedError(
                kind="not-in-the-plan",
                status=422,
                title=f"{who} is not in the approved plan",
                detail="only what was planned was approved",
                action="select the instances that were planned, or plan again",
            )

    def _whole_roles(self, targets: Sequence[Instance]) -> tuple[Role, ...]:
        if not covers_role(self.request.selector):
            return ()
        return tuple(dict.fromkeys(item.enrolment.role for item in targets))
