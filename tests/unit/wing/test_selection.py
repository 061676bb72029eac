"""Which pods go, stay and refuse: the rows of docs/operations/drain.md, one by one."""

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.messages import DrainPolicy
from tests.unit.wing.pods import JOB, pod
from tests.unit.wing.wings import NOW
from wing.cluster import Controller, Pod
from wing.selection import Leave, Refuse, judge, select

DAEMON = Controller(group="apps", kind="DaemonSet", name="agent")
NAMESAKE = Controller(group="example.test", kind="DaemonSet", name="agent")
PLAIN = DrainPolicy()
LATE = pod(ends_at=NOW - timedelta(seconds=61))
LOCAL = pod(local=("scratch", "cache"))
BARE = pod(controller=None)
MIRROR = pod(controller=None, mirror=True)
CRITICAL = pod(priority_class="system-node-critical")


@pytest.mark.parametrize(
    ("given", "policy", "verdict"),
    [
        (pod(), PLAIN, None),
        # 1. terminating for longer than it is waited for
        (LATE, PLAIN, None),
        (LATE, DrainPolicy(skip_wait_s=60), Leave),
        (LATE, DrainPolicy(skip_wait_s=61), None),
        # 2. a DaemonSet's
        (pod(controller=DAEMON), PLAIN, Leave),
        (pod(controller=DAEMON), DrainPolicy(ignore_daemonsets=False), Refuse),
        (pod(controller=DAEMON, finished=True), DrainPolicy(ignore_daemonsets=False), None),
        (pod(controller=NAMESAKE), PLAIN, None),
        # 3. a static pod's mirror
        (MIRROR, PLAIN, Leave),
        (replace(MIRROR, local=("scratch",)), PLAIN, Leave),
        # 4. an emptyDir
        (LOCAL, PLAIN, Refuse),
        (LOCAL, DrainPolicy(delete_emptydir_data=True), None),
        (replace(LOCAL, finished=True), PLAIN, None),
        # 5. no controller
        (BARE, PLAIN, Refuse),
        (BARE, DrainPolicy(force=True), None),
        (replace(BARE, finished=True), PLAIN, None),
        # 6. what the node itself needs
        (CRITICAL, PLAIN, Leave),
        (CRITICAL, DrainPolicy(critical=True), None),
        (replace(CRITICAL, controller=None, local=("scratch",)), PLAIN, Leave),
        (pod(priority_class="system-cluster-critical"), PLAIN, None),
    ],
)
def test_each_rule(given: Pod, policy: DrainPolicy, verdict: type | None) -> None:
    """A rule leaves, refuses or lets go; one that leaves beats one that would refuse."""
    judged = judge(given, policy, NOW)
    assert judged is None if verdict is None else isinstance(judged, verdict)


def test_a_refusal_says_all_its_reasons_and_what_would_allow_each() -> None:
    """Whoever has to decide reads it once."""
    judged = judge(replace(LOCAL, controller=None), PLAIN, NOW)
    assert judged == Refuse(
        reason="its emptyDir scratch, cache would be lost (delete_emptydir_data allows it);"
        " no controller would make it again (force allows it)"
    )


def test_pods_are_sorted_into_what_goes_stays_and_refuses() -> None:
    """What goes comes by rising priority."""
    pods = [pod("b", priority=5), pod("a", priority=5), pod("c"), BARE, MIRROR]
    selection = select(pods, PLAIN, NOW)
    assert [each.name for each in selection.evicted] == ["c", "a", "b"]
    assert [each for each, _ in selection.left] == [MIRROR]
    assert [each for each, _ in selection.refused] == [BARE]


def test_a_job_is_a_controller_as_good_as_any() -> None:
    """Whoever controls a pod, it is not bare."""
    assert judge(pod(controller=JOB), PLAIN, NOW) is None
