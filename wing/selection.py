"""Which pods a drain takes off its Node, which it leaves there, and which refuse it.

Pure. The rules and their order are those of `kubectl drain` (k8s.io/kubectl/pkg/drain/filters.go), with the
differences that docs/operations/drain.md names. A rule that leaves a pod beats one that would refuse it,
wherever the two stand: what stays loses nothing. What refuses says all its reasons at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.messages import DrainPolicy
from wing.cluster import NODE_CRITICAL, Pod

DAEMONSET: Final = ("apps", "DaemonSet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """The pod stays, for `reason`."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The pod may not be evicted, for `reason`, which ends in what would allow it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What becomes of each pod; `left` and `refused` have the reason beside it."""

    evicted: tuple[Pod, ...] = ()
    left: tuple[tuple[Pod, str], ...] = ()
    refused: tuple[tuple[Pod, str], ...] = ()


Rule = Callable[[Pod, DrainPolicy, datetime], Leave | Refuse | None]


def select(pods: Sequence[Pod], policy: DrainPolicy, at: datetime) -> Selection:
    """Return what a drain by `policy` that begins at `at` does with `pods`."""
    evicted: list[Pod] = []
    left: list[tuple[Pod, str]] = []
    refused: list[tuple[Pod, str]] = []
    for pod in sorted(pods, key=lambda each: (each.priority, each.full_name)):
        match judge(pod, policy, at):
            case Leave(reason=reason):
                left.append((pod, reason))
            case Refuse(reason=reason):
                refused.append((pod, reason))
            case None:
                evicted.append(pod)
    return Selection(evicted=tuple(evicted), left=tuple(left), refused=tuple(refused))


def judge(pod: Pod, policy: DrainPolicy, at: datetime) -> Leave | Refuse | None:
    """Return why `pod` stays or refuses, None if it is to go."""
    said = [verdict for rule in RULES if (verdict := rule(pod, policy, at)) is not None]
    leaves = next((verdict for verdict in said if isinstance(verdict, Leave)), None)
    if leaves is not None or not said:
        return leaves
    return Refuse(reason="; ".join(verdict.reason for verdict in said))


def _terminating(pod: Pod, policy: DrainPolicy, at: datetime) -> Leave | None:
    if pod.ends_at is None or not policy.skip_wait_s:
        return None
    for_s = int((at - pod.ends_at).total_seconds())
    if for_s <= policy.skip_wait_s:
        return None
    return Leave(reason=f"it should have ended {for_s} s ago, which is longer than {policy.skip_wait_s} s")


def _daemon(pod: Pod, policy: DrainPolicy, _at: datetime) -> Leave | Refuse | None:
    controller = pod.controller
    if controller is None or (controller.group, controller.kind) != DAEMONSET or pod.finished:
        return None
    if policy.ignore_daemonsets:
        return Leave(reason=f"it is DaemonSet {controller.name}'s")
    return Refuse(reason=f"it is DaemonSet {controller.name}'s (ignore_daemonsets would leave it)")


def _mirror(pod: Pod, _policy: DrainPolicy, _at: datetime) -> Leave | None:
    return Leave(reason="it mirrors a static pod of the node's") if pod.mirror else None


def _local(pod: Pod, policy: DrainPolicy, _at: datetime) -> Refuse | None:
    if not pod.local or pod.finished or policy.delete_emptydir_data:
        return None
    volumes = ", ".join(pod.local)
    return Refuse(reason=f"its emptyDir {volumes} would be lost (delete_emptydir_data allows it)")


def _uncontrolled(pod: Pod, policy: DrainPolicy, _at: datetime) -> Refuse | None:
    if pod.controller is not None or pod.finished or policy.force:
        return None
    return Refuse(reason="no controller would make it again (force allows it)")


def _critical(pod: Pod, policy: DrainPolicy, _at: datetime) -> Leave | None:
    if pod.priority_class != NODE_CRITICAL or policy.critical:
        return None
    return Leave(reason=f"its priority class is {NODE_CRITICAL}")


RULES: Final[tuple[Rule, ...]] = (_terminating, _daemon, _mirror, _local, _uncontrolled, _critical)
