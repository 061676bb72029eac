"""What needs a person, each in one sentence: what, where, and what to do. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from broker.ids import Digest, InstanceId, Role
from broker.messages import Verdict
from orchestrator.domain.instance import MOST_CORRECTION_S, Instance
from orchestrator.domain.model import Leadership
from orchestrator.domain.rollout.model import Rollout, RolloutState
from orchestrator.domain.rollout.why import command, of_rollout, sentence
from orchestrator.domain.show import differs, wanted
from orchestrator.domain.views import PresenceState

_UNBELIEVED: Final = {
    "bad_signature_evt": "facts whose signature is not good were not believed",
    "bad_signature_presence": "words on presence whose signature is not good were not believed",
    "malformed": "messages could not be read",
    "chain_broken": "facts do not follow from the one before in their chain",
    "invariant_broken": "moves of rollouts that would have broken what must always hold were not made",
    "foreign_topic": "messages came where they do not belong",
    "not_enrolled": "messages came from instances that are not enrolled",
}
_LOOK: Final = {
    "invariant_broken": "that is a mistake of Tarmak's: report it with `tarmak rollout show ID -o json`",
    "malformed": "compare the versions of Tarmak on both sides",
    "not_enrolled": "enrol the instance in the roster, or stop its wing",
}


def problems(
    *,
    instances: Iterable[Instance],
    role_desired: Mapping[Role, Digest],
    leadership: Leadership,
    connected: bool,
    disconnect_reason: str,
    endpoint: str,
    counters: Mapping[str, int],
    told_by: Mapping[str, set[InstanceId]],
    rollouts: Iterable[Rollout] = (),
    at: datetime,
    nodes_lost: str = "",
) -> tuple[str, ...]:
    """Return every problem, the cluster's own first."""
    found: list[str] = []
    if not connected:
        found.append(
            f"broker {endpoint}: not connected ({disconnect_reason}); see that it runs and is reachable"
        )
    if nodes_lost:
        found.append(
            f"Kubernetes: its Nodes can't be watched ({nodes_lost}), so it is not known which are Ready or"
            " cordoned; see that the API server and [kubernetes] kubeconfig are good"
        )
    if leadership.restored is not None:
        found.append(
            f"the journal seems restored from a backup: {leadership.restored}; nothing is converged"
            " by itself until: tarmak status --acknowledge"
        )
    rolling = tuple(rollouts)
    found.extend(_stopped(rolling, at))
    led = {name for rollout in rolling for name in rollout.steps}
    for name, what in _UNBELIEVED.items():
        if counters.get(name):
            found.append(_counted(name, what, counters[name], told_by.get(name, set())))
    for instance in sorted(instances, key=lambda item: item.enrolment.id):
        found.extend(_of_instance(instance, at))
        if instance.enrolment.id not in led:  # what is in a rollout is left to it, and named by it
            found.extend(_proof(instance, role_desired.get(instance.enrolment.role)))
    return tuple(found)


def _stopped(rollouts: Iterable[Rollout], at: datetime) -> Iterator[str]:
    """Yield the rollouts that wait for a person."""
    for rollout in rollouts:
        reason = of_rollout(rollout, at)
        if rollout.state is RolloutState.PAUSED and reason is not None:
            said = sentence(reason, rollout=rollout.id)
            todo = command(reason, rollout=rollout.id) or f"tarmak rollout show {rollout.id}"
            yield f"rollout {rollout.id} is paused: {said}; {todo}"


def _counted(name: str, what: str, count: int, who: set[InstanceId]) -> str:
    names = f" (in the name of {', '.join(sorted(who))})" if who else ""
    look = _LOOK.get(name, "someone may be altering traffic: look at the broker and at who can write to it")
    return f"{count} {what}{names}; {look}"


def _of_instance(instance: Instance, at: datetime) -> Iterator[str]:
    name = instance.enrolment.id
    conflict = instance.sighting.conflict(at)
    if conflict is not None:
        boots = " and ".join(conflict.boots)
        yield f"{name}: two hosts hold this identity (boots {boots}); stop one: neither is sent anything"
    elif instance.shown.since is not None:
        yield from _absence(instance, at)
    node = instance.node
    if node is not None and not node.ready and not instance.work():
        yield f"{name}: its Node {node.name} is not Ready ({node.reason}); kubectl describe node {node.name}"
    offset = instance.offset
    if offset is not None and abs(offset.seconds) - offset.error > MOST_CORRECTION_S:
        off = f"{offset.seconds:+.1f} s"
        yield f"{name}: its clock is {off} off ours, dates are moved by 5 s only; set it right (NTP)"
    if instance.trouble:
        yield f"{name}: {instance.trouble}"


def _absence(instance: Instance, at: datetime) -> Iterator[str]:
    if PresenceState(instance.sighting.state(at).value) is PresenceState.LOST:
        since = f"{instance.shown.since:%Y-%m-%d %H:%M:%S} UTC"
        name = instance.enrolment.id
        yield f"{name}: lost since {since}; see whether its host runs, then: systemctl status wing"


def _proof(instance: Instance, role_desired: Digest | None) -> Iterator[str]:
    name, observed = instance.enrolment.id, instance.observed
    desired = wanted(instance, role_desired)
    if instance.runs:
        return
    if observed is not None and observed.verdict is Verdict.FAILED:
        yield f"{name}: {observed.reason}; fix it, then: tarmak converge --instance {name}"
    elif differs(instance, desired):
        yield f"{name}: differs from what is desired ({desired}); tarmak converge --instance {name}"
