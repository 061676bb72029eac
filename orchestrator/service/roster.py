"""Who is enrolled changes while the cluster lives: who comes is expected, who goes is let go of."""

from dataclasses import replace
from datetime import datetime

import structlog

from broker.ids import InstanceId, Role
from orchestrator.domain.events import InstanceRevoked, MachineReplaced
from orchestrator.domain.instance import Instance
from orchestrator.domain.model import Enrolment
from orchestrator.service.state import ClusterState, Work

log = structlog.get_logger(__name__)


def put_in_force(state: ClusterState, roster: tuple[Enrolment, ...], work: Work, at: datetime) -> set[Role]:
    """Put a roster in force; returns the roles that have new members.

    Who has joined with a token stays, whatever the roster says; where both name an instance, the roster's
    word is the later one.
    """
    listed = {enrolment.id for enrolment in roster}
    for gone in sorted(set(state.instances) - listed):
        if not state.instances[gone].enrolment.joined:
            let_go(state, gone, work, at)
    roles: set[Role] = set()
    for enrolment in roster:
        before = state.instances.get(enrolment.id)
        if before is not None and before.enrolment.joined:
            log.warning("in the roster, and had joined: the roster is in force", instance=enrolment.id)
        if take_in(state, enrolment, work, at):
            roles.add(enrolment.role)
    state.nodes.enrolled(work, at)
    return roles


def let_go(state: ClusterState, gone: InstanceId, work: Work, at: datetime) -> None:
    """Take an instance off the fleet: nothing of it is believed or waited for any more."""
    state.apply(gone, InstanceRevoked(at=at), work)
    state.disruption.forget(state.instances[gone], work.batch)
    state.upgrades.gone(gone, at)
    state.former[gone] = state.instances.pop(gone)
    work.batch.revoked.add(gone)
    work.batch.instances[gone] = state.former[gone]


def take_in(state: ClusterState, enrolment: Enrolment, work: Work, at: datetime) -> bool:
    """Have an instance in the fleet as it is enrolled now; tells whether it is new there.

    One with another key is another machine, of which nothing is known.
    """
    before = state.instances.get(enrolment.id)
    known = before or state.former.pop(enrolment.id, None)
    work.batch.revoked.discard(enrolment.id)
    if before is not None and before.enrolment.role != enrolment.role:
        state.disruption.forget(before, work.batch)
    if known is not None and known.enrolment.key != enrolment.key:
        state.instances[enrolment.id] = known
        state.apply(enrolment.id, MachineReplaced(at=at, enrolment=enrolment), work)
    else:
        state.instances[enrolment.id] = _enrolled(known, enrolment)
    after = state.instances[enrolment.id]
    state.disruption.look(after)
    if before is None:
        state.emit(work, "instance_enrolled", at, instance=enrolment.id, role=enrolment.role)
    if before != after:
        work.batch.instances[enrolment.id] = after
    return before is None


def _enrolled(known: Instance | None, enrolment: Enrolment) -> Instance:
    if known is None:
        return Instance(enrolment=enrolment)
    before = known.enrolment
    kept = replace(enrolment, enrolled_at=before.enrolled_at, former=before.former)
    return replace(known, enrolment=kept)
