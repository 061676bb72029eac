"""Orders: drains and uncordons change the host and run alone, looking at health never waits."""

from datetime import timedelta

import pytest

from broker.codec import encode
from broker.ids import InstanceId
from broker.messages import (
    Accepted,
    Cancelled,
    Checked,
    CommandBody,
    CordonChanged,
    Drain,
    DrainBlocked,
    DrainFinished,
    Fact,
    Failed,
    Interrupted,
    OrderFact,
    PodEvicted,
    RejectReason,
    Started,
    Succeeded,
)
from tests.unit.wing.test_commands import refusal
from tests.unit.wing.wings import (
    EVERY_WORKER,
    NOW,
    OTHER_BOOT,
    US,
    Wing,
    acts,
    aimed,
    bodies,
    cancel_order,
    command,
    converge,
    drain,
    drain_started,
    facts,
    fresh,
    health,
    new_id,
    order_id,
    run_id,
    uncordon,
)
from wing.effects import RecordObserved, RunConverge, RunOrder, StopWork
from wing.entries import Underway, work_of
from wing.events import (
    Done,
    End,
    OrderTold,
    Process,
    ProcessStarted,
    Stopped,
    StopRequested,
    Unable,
    WorkEnded,
)
from wing.orders import MOST_NAMES, bounded
from wing.state import Remembered

PROCESS = Process(pid=5, group=5, start=9, host_boot="a")


def end(wing: Wing, command_id: str, how: End) -> list[object]:
    """Tell the wing that the work of a command ended; return the facts that this makes."""
    for entry in wing.machine.state.underway:
        if entry.id == command_id:
            return list(bodies(wing.tell(WorkEnded(at=wing.at, command=entry.id, end=how))))
    raise AssertionError(f"{command_id} is not under way")


@pytest.mark.parametrize("body", [drain(), uncordon(), health()])
def test_an_order_is_accepted_started_and_carried_out(body: Drain) -> None:
    """`accepted`, `started` without a run, the work, and `succeeded` when it was done."""
    wing, order = Wing(), command(body)
    effects = wing.receive(order)
    assert bodies(effects) == [Accepted(command=order.id), Started(command=order.id)]
    assert acts(effects, RunOrder) == [RunOrder(command=order.id, order=body)]
    assert end(wing, order.id, Done()) == [Succeeded(command=order.id)]


@pytest.mark.parametrize("body", [drain(), uncordon()])
def test_what_empties_a_host_names_its_instance_and_boot(body: Drain) -> None:
    """A drain for a whole role, for another instance or for another boot is refused."""
    wing = Wing()
    assert refusal(wing, command(body, target=EVERY_WORKER)).reason is RejectReason.WRONG_TARGET
    other = aimed(US, instance=InstanceId("worker-2"))
    assert refusal(wing, command(body, target=other)).reason is RejectReason.WRONG_TARGET
    for boot in (OTHER_BOOT, None):
        assert refusal(wing, command(body, target=aimed(US, boot=boot))).reason is RejectReason.OTHER_BOOT


def test_health_may_be_asked_of_whoever_is_there() -> None:
    """Looking changes nothing, so it needs no boot: the new wing after an upgrade answers as well."""
    wing = Wing()
    accepted, *_ = bodies(wing.receive(command(health(), target=aimed(US, boot=None))))
    assert isinstance(accepted, Accepted)


def test_what_happens_in_an_order_is_told_as_it_happens() -> None:
    """Each fact names the order's command as its cause, and stands between `started` and the answer."""
    wing, body = Wing(), drain()
    order = command(body)
    wing.receive(order)
    said = drain_started(order.id, body, pods=("shop/cart-0",))
    (fact,) = facts(wing.tell(OrderTold(at=NOW, command=order.id, fact=said)))
    assert (fact.body, fact.caused_by) == (said, order.id)


def test_what_an_order_says_after_its_answer_is_no_news() -> None:
    """A late word of a drain that was answered changes nothing."""
    wing, body = Wing(), drain()
    order = command(body)
    wing.receive(order)
    end(wing, order.id, Done())
    assert wing.tell(OrderTold(at=NOW, command=order.id, fact=drain_started(order.id, body))) == ()


@pytest.mark.parametrize("first", [converge(), drain(9), uncordon(9)])
@pytest.mark.parametrize("second", [drain(), uncordon()])
def test_changes_wait_for_each_other(first: CommandBody, second: CommandBody) -> None:
    """A drain waits for whatever changes the host, and starts after it."""
    wing = Wing()
    running, waiting = command(first), command(second)
    wing.receive(running)
    assert bodies(wing.receive(waiting)) == [Accepted(command=waiting.id)]
    assert end(wing, running.id, Unable(reason="no"))[1:] == [Started(command=waiting.id)]


def test_health_waits_for_nothing() -> None:
    """It is looked at beside a drain, which it doesn't disturb."""
    wing = Wing()
    wing.receive(command(drain()))
    assert len(acts(wing.receive(command(health(2))), RunOrder)) == 1


def test_orders_and_converges_never_replace_each_other() -> None:
    """Of what waits behind a run, only the older converge is superseded; the order of the rest stays."""
    wing = Wing()
    running = command(converge(1))
    wing.receive(running)
    waiting = [
        command(body, at=NOW + timedelta(seconds=place))
        for place, body in enumerate((drain(1), converge(2), uncordon(2), converge(3), drain(3)))
    ]
    told = [body for one in waiting for body in bodies(wing.receive(one))]
    assert [body.command for body in told if isinstance(body, Cancelled)] == [waiting[1].id]
    left = [entry.id for entry in wing.machine.state.waiting]
    assert left == [waiting[0].id, *(one.id for one in waiting[2:])]
    assert end(wing, running.id, Unable(reason="no"))[1:] == [Started(command=waiting[0].id)]


def test_a_running_drain_is_cancelled_by_its_order() -> None:
    """`cancel` carries the order's id; the drain is answered when its work has ended."""
    wing, order, stop = Wing(), command(drain()), command(cancel_order())
    wing.receive(order)
    effects = wing.receive(stop)
    assert StopWork(command=order.id) in effects
    assert bodies(effects)[-1] == Succeeded(command=stop.id)
    assert end(wing, order.id, Stopped()) == [
        Cancelled(command=order.id, reason=f"cancelled by command {stop.id}")
    ]


def test_a_drain_that_was_cancelled_before_it_came_never_starts() -> None:
    """An order's id is remembered like a run's."""
    wing, stop = Wing(), command(cancel_order())
    wing.receive(stop)
    late = command(drain())
    effects = wing.receive(late)
    assert bodies(effects)[-1] == Cancelled(
        command=late.id, reason=f"cancelled before it came, by command {stop.id}"
    )
    assert acts(effects, RunOrder) == []


def test_a_cancel_for_an_order_that_is_over_fails() -> None:
    """The answered order is still known by its id."""
    wing, order = Wing(), command(drain())
    wing.receive(order)
    end(wing, order.id, Done())
    assert isinstance(bodies(wing.receive(command(cancel_order())))[-1], Failed)
    (entry,) = [entry for entry in wing.machine.state.answered if entry.id == order.id]
    assert work_of(entry) == order_id(1)


def test_a_waiting_drain_is_fenced() -> None:
    """A drain of a leader that is none any more is cancelled, not started."""
    wing, running, old = Wing(), command(converge()), command(drain())
    wing.receive(running)
    wing.receive(old)
    wing.receive(command(health(), epoch=2))
    assert end(wing, running.id, Unable(reason="no"))[1:] == []
    assert [entry for entry in wing.machine.state.entries.values() if entry.id == old.id] != []
    assert wing.machine.state.waiting == ()


@pytest.mark.parametrize("body", [drain(), uncordon(), health()])
def test_an_order_that_was_cut_off_is_interrupted(body: Drain) -> None:
    """The next boot says so once what was left of it has ended, and nothing is observed of the instance."""
    order = command(body)
    left = Underway(command=order, process=PROCESS)
    from wing.events import WingStarted  # noqa: PLC0415

    machine, effects = fresh(Remembered(boot=US.boot or OTHER_BOOT, entries=(left,))).handle(
        WingStarted(at=NOW, ended=("python (5)",))
    )
    (answer,) = bodies(effects)
    assert isinstance(answer, Interrupted)
    assert "python (5)" in answer.reason
    assert acts(effects, RecordObserved) == []
    assert machine.state.underway == ()


def test_a_drains_process_is_recorded_like_puppets() -> None:
    """Whoever kills the wing leaves a child, and the next boot has to find it."""
    wing, order = Wing(), command(drain())
    wing.receive(order)
    wing.tell(ProcessStarted(at=NOW, command=order.id, process=PROCESS))
    assert [entry.process for entry in wing.machine.state.underway] == [PROCESS]


def test_a_wing_that_is_stopped_interrupts_its_drain() -> None:
    """Nobody asked for the drain's end, so it is not `cancelled`."""
    wing, order = Wing(), command(drain())
    wing.receive(order)
    assert StopWork(command=order.id) in wing.tell(StopRequested(at=NOW))
    assert end(wing, order.id, Stopped()) == [Interrupted(command=order.id, reason="the wing was stopped")]


def test_a_drain_that_failed_says_why_and_the_next_change_starts() -> None:
    """`failed` has the reason, and what waits goes on."""
    wing, order, next_one = Wing(), command(drain()), command(converge(2))
    wing.receive(order)
    wing.receive(next_one)
    effects = wing.tell(WorkEnded(at=NOW, command=order.id, end=Unable(reason="pod a/b: no controller")))
    assert bodies(effects) == [
        Failed(command=order.id, reason="pod a/b: no controller"),
        Started(command=next_one.id, run=run_id(2)),
    ]
    assert len(acts(effects, RunConverge)) == 1


LONG = "\U0001f4a9" * 20_000
HOLDER = {"command": new_id(), "order": order_id(1)}
ENORMOUS: list[OrderFact] = [
    CordonChanged(node=LONG, cordoned=True, owned=True, reason=LONG, **HOLDER),  # type: ignore[arg-type]
    drain_started(new_id(), drain(), pods=(LONG,) * 5_000),
    PodEvicted(pod=LONG, took_ms=1, **HOLDER),  # type: ignore[arg-type]
    DrainBlocked(pod=LONG, since=NOW, reason=LONG, budget=LONG, **HOLDER),  # type: ignore[arg-type]
    DrainFinished(took_ms=1, evicted=1, left=(LONG,) * 5_000, output=LONG, **HOLDER),  # type: ignore[arg-type]
    Checked(check=LONG, passed=True, saw=LONG, passes=1, **HOLDER),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("fact", ENORMOUS, ids=lambda fact: type(fact).__name__)
def test_whatever_a_cluster_holds_can_be_told(fact: OrderFact) -> None:
    """A fact is cut to what a message carries, so that no pod's name can end the wing."""
    body = bounded(fact)
    encode(Fact(id=new_id(), at=NOW, boot=OTHER_BOOT, seq=1, prev=bytes(32), body=body))


def test_a_list_that_was_cut_says_how_much_is_missing() -> None:
    """The first names stay, and the number of the others."""
    cut = bounded(drain_started(new_id(), drain(), pods=tuple(f"a/{number}" for number in range(250))))
    assert getattr(cut, "pods")[-2:] == (f"a/{MOST_NAMES - 1}", "and 100 more")  # noqa: B009 - of the one kind
