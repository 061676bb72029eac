"""What a wing tells in the course of an order is known of it, and of its instance's cordon."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from broker.ids import OrderId, Role
from broker.messages import (
    Accepted,
    Ack,
    Checked,
    CordonChanged,
    Drain,
    DrainBlocked,
    Drainer,
    DrainFinished,
    DrainStarted,
    FactBody,
    Failed,
    Interrupted,
    PodEvicted,
    Rejected,
    RejectReason,
    Started,
    Succeeded,
    Uncordon,
)
from orchestrator.domain.events import CancelRequested, OrderRequested
from orchestrator.domain.model import Order
from orchestrator.domain.views import RunState
from tests.unit.orchestrator.domain.playbook import NEXT_BOOT, NOW, A, Playbook, Wing, commands, number, sent

ID = OrderId(number(0xE1))


def order(**more: Any) -> Order:
    made = Order(
        id=ID,
        instance=A,
        role=Role("worker"),
        owner="r-1",
        body=Drain(order=ID, owner="r-1"),
        requested_by="r-1",
        created_at=NOW,
        not_after=NOW + timedelta(hours=1),
    )
    return replace(made, **more)


def uncordon(name: OrderId, *, owner: str = "r-1", **more: Any) -> Order:
    return order(id=name, owner=owner, body=Uncordon(order=name, owner=owner), **more)


class Draining(Playbook):
    """A wing that was sent a drain."""

    def __init__(self) -> None:
        super().__init__()
        self.wing = Wing()
        self.handle(self.wing.birth(self.at))
        (self.command,) = sent(self.handle(OrderRequested(at=self.at, order=order())), Drain)

    def tells(self, body: FactBody) -> None:
        self.hear(self.wing.say(body))

    @property
    def order(self) -> Order:
        return self.instance.orders[ID]


def blocked(book: Draining, pod: str, **more: Any) -> DrainBlocked:
    told = DrainBlocked(command=book.command, order=ID, pod=pod, since=NOW, reason="a budget holds it")
    return replace(told, **more)


def test_a_drain_is_followed_from_its_start_to_its_end() -> None:
    """Pods to go, gone and held stand in the order, which leaves the instance with its final answer."""
    book = Draining()
    book.tells(Accepted(command=book.command))
    book.tells(Started(command=book.command))
    assert book.order.state is RunState.RUNNING
    book.tells(blocked(book, "node-1"))
    book.tells(
        DrainStarted(command=book.command, order=ID, drainer=Drainer.KUBERNETES, node="worker-1", total=2)
    )
    assert (book.order.total, book.order.blocked) == (2, ())
    book.tells(blocked(book, "shop/cart-0", budget="shop/cart", healthy=2, needed=2))
    assert book.order.reason == "shop/cart-0 not evicted: budget shop/cart has 2 healthy, needs 2"
    book.tells(blocked(book, "shop/cart-0", budget="shop/cart"))
    assert book.order.reason == "shop/cart-0 not evicted: budget shop/cart: a budget holds it"
    book.tells(blocked(book, "shop/web", reason="no answer"))
    assert book.order.reason.endswith("; shop/web not evicted: no answer")
    book.tells(PodEvicted(command=book.command, order=ID, pod="shop/cart-0", took_ms=5))
    assert (book.order.evicted, book.order.reason) == (1, "shop/web not evicted: no answer")
    left = ("shop/web: no answer",)
    book.tells(DrainFinished(command=book.command, order=ID, took_ms=9, evicted=1, left=left))
    assert (book.order.left, book.order.blocked) == (left, ())
    book.tells(Failed(command=book.command, reason="not every pod can go"))
    assert book.instance.orders == {}
    assert book.instance.deliveries == {}


def test_our_own_cordon_is_known_until_it_is_lifted() -> None:
    """Whose it is and since when; somebody else's is not ours to know."""
    book = Draining()
    changed = CordonChanged(command=book.command, order=ID, node="worker-1", cordoned=True, owned=False)
    book.tells(changed)
    assert book.instance.cordon is None
    book.tells(replace(changed, owned=True))
    assert book.instance.cordon is not None
    assert book.instance.cordon.owner == "r-1"
    book.tells(replace(changed, cordoned=False))
    assert book.instance.cordon is None


def test_a_drain_that_was_cut_off_may_have_left_its_cordon() -> None:
    """It is taken as set until its wing says otherwise, be that late: the drain itself has ended by then."""
    book = Draining()
    told = CordonChanged(command=book.command, order=ID, node="n", cordoned=False, owned=False)
    late = book.wing.say(told)
    reborn = Wing(boot=NEXT_BOOT)
    book.after(5).handle(reborn.birth(book.at))
    book.hear(reborn.say(Interrupted(command=book.command, reason="the wing went away")))
    assert book.instance.cordon is not None
    assert book.instance.cordon.owner == "r-1"
    book.hear(late)
    assert book.instance.cordon is None


def test_an_uncordon_that_succeeded_is_proof_enough() -> None:
    """What it changed may have been told before the journal was restored, and is not told again."""
    book = Draining()
    changed = CordonChanged(command=book.command, order=ID, node="worker-1", cordoned=True, owned=True)
    book.tells(changed)
    book.tells(Succeeded(command=book.command))
    asked = OrderRequested(at=book.at, order=uncordon(OrderId(number(0xE2))))
    (lifting,) = sent(book.handle(asked), Uncordon)
    book.tells(Failed(command=lifting, reason="the API server can't be reached"))
    assert book.instance.cordon is not None
    (lifting,) = sent(book.handle(replace(asked, order=uncordon(OrderId(number(0xE3))))), Uncordon)
    book.tells(Succeeded(command=lifting))
    assert (book.instance.cordon, book.instance.lifted) == (None, "r-1")


def test_a_check_that_fails_is_why_an_order_waits() -> None:
    """What was seen is told for as long as it is so."""
    book = Draining()
    seen = Checked(command=book.command, order=ID, check="node", passed=False, saw="NotReady", passes=0)
    book.tells(seen)
    assert book.order.reason == "node: NotReady"
    book.tells(replace(seen, passed=True))
    assert book.order.reason == ""


def test_a_cancelled_order_is_ended_by_its_wing_or_before_it_was_sent() -> None:
    """An order that was not sent ends at once; another is asked to."""
    book = Draining()
    (cancel,) = commands(book.handle(CancelRequested(at=book.at, work=ID, by="ann")))
    assert cancel.body.run == ID
    unsent = Playbook()
    unsent.handle(OrderRequested(at=unsent.at, order=order()))
    unsent.handle(CancelRequested(at=unsent.at, work=ID, by="ann"))
    assert unsent.instance.orders == {}
    assert commands(unsent.handle(CancelRequested(at=unsent.at, work=ID, by="ann"))) == []


def test_an_order_of_another_boot_is_sent_again_if_it_was_not_accepted() -> None:
    """It had not begun; one that was accepted is interrupted, for nobody knows how far it came."""
    book = Draining()
    book.wing = Wing(boot=NEXT_BOOT)
    book.handle(book.wing.birth(book.at))
    no = Rejected(command=book.command, reason=RejectReason.OTHER_BOOT, detail="", epoch=1)  # type: ignore[arg-type] # an epoch
    assert sent(book.hear(book.wing.say(no)), Drain) != [book.command]
    assert ID in book.instance.orders

    book = Draining()
    book.tells(Accepted(command=book.command))
    book.wing = Wing(boot=NEXT_BOOT)
    book.handle(book.wing.birth(book.at))
    book.hear(book.wing.say(replace(no, command=book.command)))
    assert book.instance.orders == {}


def test_a_success_ends_an_order_once() -> None:
    """What repeats it changes nothing."""
    book = Draining()
    book.tells(Succeeded(command=book.command))
    book.tells(Succeeded(command=book.command))
    assert book.instance.orders == {}


def test_an_uncordon_is_never_sent_afresh_before_its_drain() -> None:
    """The wing's new boot refuses both, in any order; they go out as they were asked for."""
    book = Draining()
    lifting = uncordon(OrderId(number(0xE2)), created_at=NOW + timedelta(seconds=1))
    (command,) = sent(book.handle(OrderRequested(at=book.at, order=lifting)), Uncordon)
    reborn = Wing(boot=NEXT_BOOT)
    book.after(5).handle(reborn.birth(book.at))
    no = Rejected(command=command, reason=RejectReason.OTHER_BOOT, detail="", epoch=book.around.epoch)
    assert sent(book.hear(reborn.say(no)), Uncordon) == []
    effects = book.hear(reborn.say(replace(no, command=book.command)))
    again = [type(each.body) for each in commands(effects)]
    assert [body for body in again if body is not Ack] == [Drain, Uncordon]


def test_what_an_earlier_boot_tells_late_does_not_hide_a_cordon() -> None:
    """A cordon that may have been set since then is not lifted by what was said before."""
    book = Draining()
    lifting = uncordon(OrderId(number(0xE2)), owner="r-0")
    (command,) = sent(book.handle(OrderRequested(at=book.at, order=lifting)), Uncordon)
    lifted = CordonChanged(command=command, order=lifting.id, node="n", cordoned=False, owned=False)
    late = book.wing.say(lifted)
    started = book.wing.say(Started(command=book.command, run=None), at=book.after(1).at)
    book.hear(started)
    reborn = Wing(boot=NEXT_BOOT)
    book.after(5).handle(reborn.birth(book.at))
    cut_off = reborn.say(Interrupted(command=book.command, reason="the wing went away"), at=book.at)
    book.hear(cut_off)
    book.hear(late)
    assert book.instance.cordon is not None
    assert book.instance.cordon.owner == "r-1"
