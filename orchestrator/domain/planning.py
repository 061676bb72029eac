"""A hundred dry runs are read as a few groups: each change once, with all who share it, under one hash. Pure.

A dry run's changes come without their host's own paths and name (`puppet_bridge.diff`), so the same change
is equal wherever it would be made. The plan's hash covers every instance with its own run's hash, sorted.
"""

import hashlib
from collections.abc import Mapping, Sequence

from broker.ids import InstanceId, RunId
from orchestrator.domain.model import Papers, Run, Ticket
from orchestrator.domain.views import ChangeView, PlanFailure, PlanGroup, PlanView, RunState


def plan_view(ticket: Ticket, runs: Sequence[Run], papers: Mapping[RunId, Papers]) -> PlanView:
    """Return what the dry runs of a ticket have found so far."""
    ordered = sorted(runs, key=lambda run: run.instance)
    pending = [run for run in ordered if not run.state.is_final or (_is_good(run) and run.papers_due)]
    read = [run for run in ordered if _is_good(run) and not run.papers_due]
    complete = not pending
    return PlanView(
        id=ticket.id,
        bundle=ticket.digest,
        complete=complete,
        diff_hash=_hash(read) if complete and len(read) == len(ordered) else None,
        groups=_groups([run for run in read if _changes(run)], papers),
        unchanged=tuple(run.instance for run in read if not _changes(run)),
        failed=tuple(
            PlanFailure(instance=run.instance, reason=run.reason)
            for run in ordered
            if run.state.is_final and not _is_good(run)
        ),
        pending=tuple(run.instance for run in pending),
        runs=tuple(run.id for run in ordered),
    )


def _is_good(run: Run) -> bool:
    return run.state is RunState.SUCCEEDED


def _changes(run: Run) -> bool:
    return run.result is not None and run.result.changed > 0


def _groups(runs: Sequence[Run], papers: Mapping[RunId, Papers]) -> tuple[PlanGroup, ...]:
    sharing: dict[ChangeView, dict[InstanceId, None]] = {}
    for run in runs:
        for change in papers[run.id].changes if run.id in papers else ():
            sharing.setdefault(change, {})[run.instance] = None
    alike: dict[tuple[InstanceId, ...], list[ChangeView]] = {}
    for change, instances in sharing.items():
        alike.setdefault(tuple(instances), []).append(change)
    groups = [PlanGroup(instances=who, changes=tuple(changes)) for who, changes in alike.items()]
    return tuple(sorted(groups, key=lambda group: (-len(group.instances), group.instances)))


def _hash(runs: Sequence[Run]) -> str:
    lines = [f"{run.instance} {run.result.diff_hash if run.result else None}" for run in runs]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
