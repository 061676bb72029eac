"""Records as operators see them: pure, so that what is shown can be tested without a service."""

from datetime import datetime

import msgspec

from broker.ids import ClusterName, Digest, RolloutId
from broker.messages import Verdict
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Bundle, Event, Run
from orchestrator.domain.views import (
    BundleView,
    ChangeView,
    EventView,
    InstanceOutcome,
    InstanceView,
    PresenceState,
    RunState,
    RunView,
)

_OUTCOMES = {
    Verdict.CONVERGED: InstanceOutcome.CONVERGED,
    Verdict.APPLIED: InstanceOutcome.APPLIED,
    Verdict.FAILED: InstanceOutcome.FAILED,
}


def wanted(instance: Instance, role_desired: Digest | None) -> Digest | None:
    """Return what an instance shall have: its own wish, else its role's."""
    return instance.desired or role_desired


def outcome(instance: Instance) -> InstanceOutcome:
    """Return what the instance last proved, or that it is being changed."""
    if any(run.state is RunState.RUNNING and not run.noop for run in instance.runs.values()):
        return InstanceOutcome.RUNNING
    return InstanceOutcome.UNKNOWN if instance.observed is None else _OUTCOMES[instance.observed.verdict]


def instance_view(
    instance: Instance,
    *,
    cluster: ClusterName,
    role_desired: Digest | None,
    at: datetime,
    rollout: RolloutId | None = None,
) -> InstanceView:
    """Return an instance as operators see it; `rollout` is the open one that it is in, if any."""
    enrolment, observed = instance.enrolment, instance.observed
    desired = wanted(instance, role_desired)
    current = instance.sighting.current
    running = next((run.id for run in instance.runs.values() if run.state is RunState.RUNNING), None)
    return InstanceView(
        id=enrolment.id,
        role=enrolment.role,
        pool=enrolment.pool,
        labels=enrolment.labels,
        cluster=cluster,
        presence=PresenceState(instance.sighting.state(at).value),
        boot=instance.boot or instance.shown.boot,
        desired=desired,
        observed=None if observed is None else observed.digest,
        outcome=outcome(instance),
        drift=differs(instance, desired),
        reason=reason(instance, desired, at, rollout),
        since=instance.shown.since,
        last_seen=None if current is None else current.alive_at,
        version=instance.version,
        facts={} if instance.host is None else msgspec.to_builtins(instance.host),
        counters={} if instance.standing is None else instance.standing.counters,
        run=running,
    )


def differs(instance: Instance, desired: Digest | None) -> bool:
    """Tell whether an instance has proven something else than it shall have."""
    observed = instance.observed
    if desired is None:
        return False
    if observed is None:
        return instance.ever_ran and not instance.runs
    return observed.digest != desired or observed.verdict is Verdict.FAILED


def reason(instance: Instance, desired: Digest | None, at: datetime, rollout: RolloutId | None = None) -> str:
    """Return why an instance is not simply converged, and what to do."""
    conflict = instance.sighting.conflict(at)
    if conflict is not None:
        return f"two hosts hold this identity (boots {', '.join(conflict.boots)}): stop one of them"
    waiting = next((run for run in instance.runs.values() if run.reason), None)
    if waiting is not None:
        return f"run {waiting.id}: {waiting.reason}"
    if instance.runs:
        return ""
    return _unlike(instance, desired, rollout) or instance.trouble


def _unlike(instance: Instance, desired: Digest | None, rollout: RolloutId | None) -> str:
    """Return why an instance is not what it shall be, and what to do; what is in a rollout is left to it."""
    name, observed = instance.enrolment.id, instance.observed
    then = f"in {rollout}: tarmak why {name}" if rollout else ""
    if observed is not None and observed.verdict is Verdict.FAILED:
        return f"{observed.reason}; {then or f'fix it, then: tarmak converge --instance {name}'}"
    if differs(instance, desired):
        return then or f"differs from what is desired; to converge it: tarmak converge --instance {name}"
    return ""


def run_view(
    run: Run,
    *,
    changes: tuple[ChangeView, ...] = (),
    left_out: int = 0,
    progress: tuple[int, int] | None = None,
    log_complete: bool = False,
) -> RunView:
    """Return a run as operators see it."""
    result = run.result
    return RunView(
        id=run.id,
        instance=run.instance,
        role=run.role,
        digest=run.digest,
        noop=run.noop,
        state=run.state,
        outcome=None if result is None else result.outcome.value,
        verdict=None if result is None or result.verdict is None else result.verdict.value,
        changed=0 if result is None else result.changed,
        failed=0 if result is None else result.failed,
        skipped=0 if result is None else result.skipped,
        total=0 if result is None else result.total,
        exit_codes=() if result is None else result.exit_codes,
        reason=run.reason,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        requested_by=run.requested_by,
        caused_by=run.caused_by,
        diff_hash=None if result is None else result.diff_hash,
        changes=changes,
        changes_left_out=left_out,
        progress=progress if run.state is RunState.RUNNING else None,
        log_complete=log_complete,
        rollout=run.rollout,
    )


def bundle_view(bundle: Bundle) -> BundleView:
    """Return a bundle as operators see it."""
    return BundleView(
        digest=bundle.digest,
        size=bundle.size,
        packed=bundle.packed,
        name=bundle.name,
        version=bundle.version,
        roles=bundle.roles,
        pushed_at=bundle.pushed_at,
        pushed_by=bundle.pushed_by,
    )


def event_view(cursor: int, event: Event) -> EventView:
    """Return an event as a line of the tail."""
    return EventView(
        cursor=cursor,
        id=event.id,
        kind=event.kind,
        at=event.at,
        instance=event.instance,
        role=event.role,
        boot=event.boot,
        seq=event.seq,
        caused_by=event.caused_by,
        body=event.body,
    )
