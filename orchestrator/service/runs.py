"""Converging on request, and what became of it: the `Runs` face."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.ids import Digest, RunId
from broker.messages import Live, Progress
from orchestrator.domain.events import CancelRequested
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Bundle, Run, Ticket
from orchestrator.domain.planning import plan_view
from orchestrator.domain.show import run_view, wanted
from orchestrator.domain.views import ConvergeTicket, PlanView, RunView
from orchestrator.nearest import nearest
from orchestrator.operations import ConvergeRequest, RefusedError, RunFilter
from orchestrator.ports import PaperReader, RunArchive, RunQuery
from orchestrator.service.core import Core
from orchestrator.service.edge import Believed
from orchestrator.service.held import refuse_upgrading
from orchestrator.service.selecting import covers_role, select
from orchestrator.service.state import ClusterState, Work

MOST_PROGRESS: Final = 20_000


class RunsService:
    """Sets runs going in the core, and reads what they left from the archive."""

    def __init__(self, core: Core, archive: RunArchive, reader: PaperReader) -> None:
        self._core = core
        self._archive = archive
        self._reader = reader
        self._progress: dict[RunId, tuple[int, int]] = {}
        core.on_live(self._heard)
        core.on_written(self._written)

    async def converge(self, request: ConvergeRequest) -> ConvergeTicket:
        """Set runs going on the selected instances; nothing selected or nothing to converge on is refused."""
        now = self._core.clock.now
        return await self._core.call(
            lambda state, work: _Order(request=request, state=state, work=work, at=now()).carry_out()
        )

    async def runs(self, query: RunFilter) -> Sequence[RunView]:
        """Return runs, newest first, without their changes."""
        instances = None
        if query.selector is not None:
            found = select(query.selector, self._core.state.instances)
            instances = tuple(item.enrolment.id for item in found)
        asked = RunQuery(
            instances=instances,
            states=query.states,
            ticket=query.ticket,
            limit=query.limit,
            before=query.before,
        )
        return [run_view(run, progress=self._progress.get(run.id)) for run in await self._archive.runs(asked)]

    async def run(self, run: RunId) -> RunView:
        """Return one run with its changes, or raise a RefusedError of kind `unknown-run`."""
        found = await self._found(run)
        papers = await self._archive.papers(run)
        if papers is None:
            return run_view(found, progress=self._progress.get(run))
        return run_view(
            found,
            changes=papers.changes,
            left_out=papers.left_out,
            log_complete=papers.log is not None,
        )

    async def run_log(self, run: RunId) -> Sequence[Mapping[str, object]]:
        """Return the complete log, a line each, or raise a RefusedError while it is not complete."""
        found = await self._found(run)
        papers = await self._archive.papers(run)
        if papers is None or papers.log is None:
            why = papers.reason if papers else f"the run is {found.state.value}"
            raise RefusedError(
                kind="log-not-complete",
                status=409,
                title=f"run {run} has no complete log",
                detail=why,
                action=f"see what is known of the run: tarmak run show {run}",
            )
        return await self._reader.log_lines(papers.log)

    async def cancel(self, run: RunId, *, requested_by: str) -> RunView:
        """Ask the run's wing to end it; a final run is refused."""
        found = await self._found(run)

        def act(state: ClusterState, work: Work) -> None:
            instance = state.instances.get(found.instance)
            if instance is None or run not in instance.runs:
                raise RefusedError(
                    kind="run-is-final",
                    status=409,
                    title=f"run {run} has ended",
                    detail=f"it is {found.state.value}" if found.state.is_final else "it has just ended",
                    action=f"see `tarmak run show {run}`",
                )
            asked = CancelRequested(at=self._core.clock.now(), work=run, by=requested_by)
            state.apply(found.instance, asked, work)

        await self._core.call(act)
        return await self.run(run)

    async def plan(self, ticket: str) -> PlanView:
        """Return what the noop runs of `ticket` have found so far."""
        known = await self._archive.ticket(ticket)
        if known is None or not known.noop:
            raise RefusedError(
                kind="unknown-plan",
                status=404,
                title=f"no plan {ticket}",
                detail="a plan is known by the ticket of its dry runs, for as long as runs are kept",
                action="make one: tarmak plan --bundle DIGEST SELECTOR",
            )
        runs = await self._archive.runs(RunQuery(ticket=ticket, limit=100_000))
        papers = {run.id: await self._archive.papers(run.id) for run in runs if run.state.is_final}
        return plan_view(known, runs, {key: value for key, value in papers.items() if value is not None})

    async def _found(self, run: RunId) -> Run:
        found = await self._archive.run(run)
        if found is None:
            raise RefusedError(
                kind="unknown-run",
                status=404,
                title=f"no run {run}",
                detail="no run of that id is kept",
                action="see `tarmak run list`",
            )
        return found

    def _heard(self, found: Believed) -> None:
        message = found.message
        if isinstance(message, Live) and isinstance(message.body, Progress):
            if len(self._progress) >= MOST_PROGRESS:
                self._progress.clear()
            self._progress[message.body.run] = (message.body.done, message.body.total)

    def _written(self, work: Work) -> None:
        for run in work.batch.runs.values():
            if run.state.is_final:
                self._progress.pop(run.id, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A request to converge, on its way through the core."""

    request: ConvergeRequest
    state: ClusterState
    work: Work
    at: datetime

    def carry_out(self) -> ConvergeTicket:
        """Set the runs going, and what is desired with them; refuses before anything is changed."""
        request, state = self.request, self.state
        found = select(request.selector, state.instances)
        if not request.noop:
            for item in found:
                refuse_upgrading(item.enrolment.id, state)
        bundles = {item.enrolment.id: _bundle(item, request, state) for item in found}
        ticket = self._ticket(bundles[found[0].enrolment.id])
        self.work.batch.tickets.append(ticket)
        if not request.noop:
            for item in found:
                self._desire(item, bundles[item.enrolment.id])
        runs = [self._run(item, bundles[item.enrolment.id], ticket) for item in found]
        for run in runs:
            state.request(run, ticket, self.work, self.at)
        state.settle(self.work, self.at)
        shown = tuple(run_view(state.instances[run.instance].runs.get(run.id, run)) for run in runs)
        return ConvergeTicket(id=ticket.id, digest=ticket.digest, noop=ticket.noop, runs=shown)

    def _ticket(self, first: Bundle) -> Ticket:
        return Ticket(
            id=self.state.new_id(),
            digest=self.request.digest or first.digest,
            noop=self.request.noop,
            parallel=self.request.parallel,
            requested_by=self.request.requested_by,
            created_at=self.at,
        )

    def _desire(self, instance: Instance, bundle: Bundle) -> None:
        state, by = self.state, self.request.requested_by
        who, role = instance.enrolment.id, instance.enrolment.role
        state.desire_of(who, bundle.digest, by=by, work=self.work, at=self.at)
        decided = self.request.digest is not None or role not in state.role_desired
        if decided and covers_role(self.request.selector):
            state.desire(self.work, role, bundle.digest, by=by, at=self.at)

    def _run(self, instance: Instance, bundle: Bundle, ticket: Ticket) -> Run:
        return self.state.make_run(
            instance,
            bundle,
            id=RunId(self.state.new_id()),
            ticket=ticket.id,
            requested_by=ticket.requested_by,
            at=self.at,
            noop=self.request.noop,
            timeout_s=self.request.timeout_s,
            confirm=self.request.confirm,
            automatic=False,
            caused_by=None,
        )


def _bundle(instance: Instance, request: ConvergeRequest, state: ClusterState) -> Bundle:
    role = instance.enrolment.role
    digest = request.digest or wanted(instance, state.role_desired.get(role)) or _newest(state)
    bundle = state.bundles.get(digest) if digest is not None else None
    if bundle is None:
        raise RefusedError(
            kind="unknown-bundle" if digest else "nothing-desired",
            status=422,
            title=f"no bundle {digest}" if digest else "there is no bundle yet",
            detail=nearest(digest, state.bundles) if digest else "none was ever pushed",
            action="push it first: tarmak bundle push SRC",
        )
    if bundle.roles and role not in bundle.roles:
        raise RefusedError(
            kind="bundle-not-for-role",
            status=422,
            title=f"bundle {bundle.digest} is not for role {role}",
            detail=f"its roles are {', '.join(bundle.roles)}, and {instance.enrolment.id} is a {role}",
            action=f"select only those roles, or add {role} to the bundle's tarmak.yaml and push it again",
        )
    return bundle


def _newest(state: ClusterState) -> Digest | None:
    newest = max(state.bundles.values(), key=lambda bundle: bundle.pushed_at, default=None)
    return None if newest is None else newest.digest
