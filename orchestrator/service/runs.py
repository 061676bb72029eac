"""Converging on request, and what became of it: the `Runs` face."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from broker.ids import Digest, InstanceId, RunId
from broker.messages import Live, Progress
from orchestrator.domain.events import CancelRequested, DesiredSet
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
        """Set runs going on the selected instances; nothing selected, or nothing to converge on, is refused."""
        return await self._core.call(
            lambda state, work: _converge(request, state, work, self._core.clock.now())
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
            why = papers.reason if papers is not None and papers.reason else f"the run is {found.state.value}"
            raise RefusedError(
                kind="log-not-complete",
                status=409,
                title=f"run {run} has no complete log",
                detail=why,
                action="see its live lines with `tarmak run logs -f`, or the run itself with `tarmak run show`",
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
            asked = CancelRequested(at=self._core.clock.now(), run=run, by=requested_by)
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


def _converge(request: ConvergeRequest, state: ClusterState, work: Work, at: datetime) -> ConvergeTicket:
    found = select(request.selector, state.instances)
    bundles = {item.enrolment.id: _bundle(item, request, state) for item in found}
    first = bundles[found[0].enrolment.id]
    ticket = Ticket(
        id=state.new_id(),
        digest=request.digest or first.digest,
        noop=request.noop,
        parallel=request.parallel,
        requested_by=request.requested_by,
        created_at=at,
    )
    work.batch.tickets.append(ticket)
    if not request.noop:
        _set_desired(request, found, bundles, state, work, at)
    runs = [_run(item, bundles[item.enrolment.id], request, ticket, state, at) for item in found]
    for run in runs:
        state.request(run, ticket, work, at)
    state.settle(work, at)
    shown = tuple(run_view(state.instances[run.instance].runs.get(run.id, run)) for run in runs)
    return ConvergeTicket(id=ticket.id, digest=ticket.digest, noop=ticket.noop, runs=shown)


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
            detail=f"its tarmak.yaml says roles {', '.join(bundle.roles)}; {instance.enrolment.id} is a {role}",
            action=f"select only those roles, or add {role} to the bundle's tarmak.yaml and push it again",
        )
    return bundle


def _newest(state: ClusterState) -> Digest | None:
    newest = max(state.bundles.values(), key=lambda bundle: bundle.pushed_at, default=None)
    return None if newest is None else newest.digest


def _set_desired(
    request: ConvergeRequest,
    found: Sequence[Instance],
    bundles: Mapping[InstanceId, Bundle],
    state: ClusterState,
    work: Work,
    at: datetime,
) -> None:
    for instance in found:
        who, role = instance.enrolment.id, instance.enrolment.role
        digest = bundles[who].digest
        if wanted(instance, None) != digest:
            state.apply(who, DesiredSet(at=at, digest=digest, by=request.requested_by), work)
        whole = covers_role(request.selector)
        if whole and (request.digest is not None or role not in state.role_desired):
            state.desire(work, role, digest, by=request.requested_by, at=at)


def _run(
    instance: Instance,
    bundle: Bundle,
    request: ConvergeRequest,
    ticket: Ticket,
    state: ClusterState,
    at: datetime,
) -> Run:
    return state.make_run(
        instance,
        bundle,
        ticket,
        at=at,
        noop=request.noop,
        timeout_s=request.timeout_s,
        confirm=request.confirm,
        automatic=False,
        caused_by=None,
    )
