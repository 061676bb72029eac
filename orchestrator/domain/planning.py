"""A hundred dry runs are read as a few groups: who would change alike, and under which one hash. Pure.

Each run's own hash was made on its host, over changes without that host's own paths and name; so runs with
the same hash change alike. The plan's hash covers every instance with its own, sorted.
"""

import hashlib
from collections.abc import Mapping, Sequence

from broker.ids import RunId
from orchestrator.domain.model import Papers, Run, Ticket
from orchestrator.domain.views import PlanFailure, PlanGroup, PlanView, RunState


def plan_view(ticket: Ticket, runs: Sequence[Run], papers: Mapping[RunId, Papers]) -> PlanView:
    """Return what the dry runs of a ticket have found so far."""
    ordered = sorted(runs, key=lambda run: run.instance)
    good = [run for run in ordered if run.state is RunState.SUCCEEDED]
    pending = [run for run in ordered if not run.state.is_final or (run in good and run.papers_due)]
    read = [run for run in good if run not in pending]
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
            if run.state.is_final and run not in good
        ),
        pending=tuple(run.instance for run in pending),
        runs=tuple(run.id for run in ordered),
    )


def _changes(run: Run) -> bool:
    return run.result is not None and run.result.changed > 0


def _groups(runs: Sequence[Run], papers: Mapping[RunId, Papers]) -> tuple[PlanGroup, ...]:
    alike: dict[str, list[Run]] = {}
    for run in runs:
        key = run.result.diff_hash if run.result is not None and run.result.diff_hash else run.id
        alike.setdefault(key, []).append(run)
    groups = [
        PlanGroup(
            instances=tuple(run.instance for run in members),
            changes=papers[members[0].id].changes if members[0].id in papers else (),
        )
        for members in alike.values()
    ]
    return tuple(sorted(groups, key=lambda group: (-len(group.instances), group.instances)))


def _hash(runs: Sequence[Run]) -> str:
    lines = [f"{run.instance} {run.result.diff_hash if run.result else None}" for run in runs]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
