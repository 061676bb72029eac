"""What an instance's Node was when Kubernetes last told of it is believed for a while, and then forgotten."""

from dataclasses import replace

from broker.ids import OrderId, Role
from broker.messages import CordonChanged, Uncordon
from orchestrator.domain.events import NodeHeard, NodeUnwatched, OrderRequested
from orchestrator.domain.instance import NodeSeen
from orchestrator.domain.machine import next_wake
from orchestrator.domain.model import Cordon, Order
from orchestrator.domain.nodes import NODE_MEMORY, SOMEBODY_ELSE, cordoned_by_another
from orchestrator.domain.views import RunState
from tests.unit.orchestrator.domain.playbook import NOW, A, Playbook, Wing, number, told

READY = NodeSeen(name=A, ready=True, unschedulable=False, owner=None, seen_at=NOW)
SICK = replace(READY, ready=False, reason="KubeletNotReady: no network")
CORDONED = replace(READY, unschedulable=True, owner="d-9")


def test_what_changes_is_told_in_the_tail() -> None:
    """Ready or not, cordoned or not and by whom; the first sight of a Node is no news."""
    book = Playbook()
    seen = (READY, SICK, SICK, READY, CORDONED, replace(CORDONED, owner="ann"), READY, None)
    lines = [told(book.handle(NodeHeard(at=NOW, node=node))) for node in seen]
    assert lines == [
        [],
        ["node_not_ready"],
        [],
        ["node_ready"],
        ["node_cordoned"],
        ["node_cordoned"],
        ["node_uncordoned"],
        [],
    ]
    assert book.instance.node is None


def test_a_node_is_forgotten_some_time_after_the_watch_was_lost() -> None:
    """Until then it is believed; a second loss does not make it be believed for longer."""
    book = Playbook()
    book.handle(NodeHeard(at=NOW, node=SICK))
    book.handle(NodeUnwatched(at=NOW))
    due = NOW + NODE_MEMORY
    assert next_wake(book.instance) == due
    book.after(60).handle(NodeUnwatched(at=book.at))
    assert next_wake(book.instance) == due
    book.after(NODE_MEMORY.total_seconds() - 61).wake()
    assert book.instance.node is not None
    assert told(book.after(1).wake()) == ["node_forgotten"]
    assert book.instance.node is None
    assert next_wake(book.instance) is None


def test_a_node_that_is_watched_again_is_not_forgotten() -> None:
    """What was told anew is as good as before."""
    book = Playbook()
    book.handle(NodeHeard(at=NOW, node=READY))
    book.handle(NodeUnwatched(at=NOW))
    book.handle(NodeHeard(at=NOW, node=READY))
    book.after(3600).wake()
    assert book.instance.node == READY


def test_nothing_is_forgotten_that_was_never_known() -> None:
    """The loss of a watch means nothing to an instance without a Node."""
    book = Playbook()
    book.handle(NodeUnwatched(at=NOW))
    assert next_wake(book.instance) is None


def test_whose_a_cordon_is() -> None:
    """It is another's unless it bears our name, or no name while we know of one of ours."""
    book = Playbook()
    book.handle(NodeHeard(at=NOW, node=CORDONED))
    assert cordoned_by_another(book.instance) == "d-9"
    assert cordoned_by_another(book.instance, owner="d-9") is None
    book.handle(NodeHeard(at=NOW, node=replace(CORDONED, owner=None)))
    assert cordoned_by_another(book.instance, owner="r-1") == SOMEBODY_ELSE
    assert cordoned_by_another(book.instance, owner="r-1", held=True) is None
    known = replace(book.instance, cordon=Cordon(owner="r-0", since=NOW))
    assert cordoned_by_another(known, owner="r-1") is None


def test_a_wing_that_lifted_our_cordon_is_believed_before_kubernetes_tells() -> None:
    """What the Node still bears then is a name of ours, not another's."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(book.at))
    book.instance = replace(book.instance, cordon=Cordon(owner="r-1", since=NOW))
    book.handle(NodeHeard(at=NOW, node=replace(CORDONED, owner="r-1")))
    order = Order(
        id=OrderId(number(7)),
        instance=A,
        role=Role("worker"),
        owner="r-1",
        body=Uncordon(order=OrderId(number(7)), owner="r-1"),
        requested_by="r-1",
        created_at=NOW,
        not_after=NOW + NODE_MEMORY,
        state=RunState.QUEUED,
    )
    book.handle(OrderRequested(at=NOW, order=order))
    lifted = CordonChanged(command=number(8), order=order.id, node=A, cordoned=False, owned=False, reason="")
    book.hear(wing.say(lifted))
    assert (book.instance.cordon, book.instance.lifted) == (None, "r-1")
    assert cordoned_by_another(book.instance) is None
    again = replace(lifted, cordoned=True, owned=True)
    book.hear(wing.say(again))
    assert (book.instance.cordon, book.instance.lifted) == (Cordon(owner="r-1", since=NOW), None)
