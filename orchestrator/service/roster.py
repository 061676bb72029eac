"""Who is enrolled changes while the cluster lives: who comes is expected, who goes is let go of."""

from dataclasses import replace
from datetime import datetime

from broker.ids import Role
from orchestrator.domain.events import InstanceRevoked
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Enrolment
from orchestrator.service.state import ClusterState, Work


def put_in_force(state: ClusterState, roster: tuple[Enrolment, ...], work: Work, at: datetime) -> set[Role]:
    """Put a roster in force; returns the roles that have new members."""
    roles: set[Role] = set()
    for gone in sorted(set(state.instances) - {enrolment.id for enrolment in roster}):
        state.apply(gone, InstanceRevoked(at=at), work)
        state.disruption.forget(state.instances[gone], work.batch)
        state.upgrades.gone(gone, at)
        state.former[gone] = state.instances.pop(gone)
        work.batch.revoked.add(gone)
        work.batch.instances[gone] = state.former[gone]
    for enrolment in roster:
        before = state.instances.get(enrolment.id)
        after = _enrolled(before or state.former.pop(enrolment.id, None), enrolment)
        state.instances[enrolment.id] = after
        if before is not None and before.enrolment.role != enrolment.role:
            state.disruption.forget(before, work.batch)
        state.disruption.look(after)
        if before is None:
            roles.add(enrolment.role)
            state.emit(work, "instance_enrolled", at, instance=enrolment.id, role=enrolment.role)
        if before != after:
            work.batch.instances[enrolment.id] = after
    state.nodes.enrolled(work, at)
    return roles


def _enrolled(known: Instance | None, enrolment: Enrolment) -> Instance:
    """Return an instance under its enrolment; one with another key is another host, which never ran."""
    if known is None:
        return Instance(enrolment=enrolment)
    if known.enrolment.key != enrolment.key:
        return replace(known, enrolment=enrolment, ever_ran=False, observed=None, tried=None)
    kept = replace(enrolment, enrolled_at=known.enrolment.enrolled_at)
    return replace(known, enrolment=kept)
