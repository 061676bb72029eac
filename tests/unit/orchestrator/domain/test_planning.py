"""What a plan shows of many dry runs."""

from dataclasses import replace

from broker.ids import InstanceId
from orchestrator.domain.model import Papers, Run, Ticket
from orchestrator.domain.planning import plan_view
from orchestrator.domain.views import ChangeView, PlanView, RunState
from tests.unit.orchestrator.domain.playbook import DIGEST, NOW, result, run

A, B, C = (InstanceId(name) for name in ("etcd-1", "worker-1", "worker-2"))
TICKET = Ticket(id="t", digest=DIGEST, noop=True, parallel=None, requested_by="ann", created_at=NOW)


def change(resource: str) -> ChangeView:
    return ChangeView(
        resource=resource, property="content", before="a", after="b", diff=None, file=None, line=None
    )


def dry(index: int, instance: InstanceId, *changes: ChangeView) -> tuple[Run, Papers]:
    base = run(index, noop=True)
    ended = replace(
        base,
        instance=instance,
        state=RunState.SUCCEEDED,
        result=replace(result(base), changed=len(changes), diff_hash=f"hash of {len(changes)}"),
        papers_due=False,
    )
    return ended, Papers(run=base.id, changes=changes)


def plan(*found: tuple[Run, Papers]) -> PlanView:
    return plan_view(TICKET, [each for each, _ in found], {each.id: papers for each, papers in found})


def test_a_change_is_shown_once_with_all_who_share_it() -> None:
    """What all three share stands in one group; what only the workers have in another; nothing twice."""
    motd, kubelet = change("File[${root}/etc/motd]"), change("File[${root}/etc/kubelet]")
    view = plan(dry(1, A, motd), dry(2, B, motd, kubelet), dry(3, C, motd, kubelet))
    assert [(group.instances, group.changes) for group in view.groups] == [
        ((A, B, C), (motd,)),
        ((B, C), (kubelet,)),
    ]


def test_the_hash_is_the_same_whatever_the_order() -> None:
    """Runs in another order are the same plan; one more change on one instance is another."""
    motd = change("File[/etc/motd]")
    one, two = dry(1, A, motd), dry(2, B, motd)
    assert plan(one, two).diff_hash == plan(two, one).diff_hash
    assert plan(one, two).diff_hash != plan(one, dry(2, B, motd, change("File[/x]"))).diff_hash


def test_who_would_not_change_and_who_failed_is_named() -> None:
    """Unchanged, failed and pending are lists of their own, and an incomplete plan has no hash."""
    same = dry(1, A)
    failed, papers = dry(2, B)
    failed = replace(failed, state=RunState.FAILED, reason="compile error")
    open_run, none = dry(3, C)
    open_run = replace(open_run, state=RunState.RUNNING, result=None)
    view = plan(same, (failed, papers), (open_run, none))
    assert (view.unchanged, view.pending, view.complete) == ((A,), (C,), False)
    assert [(each.instance, each.reason) for each in view.failed] == [(B, "compile error")]
    assert view.diff_hash is None
