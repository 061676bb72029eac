"""What holds up an order is what its wing has told and not taken back, each pod and check by itself."""

from datetime import timedelta

from broker.ids import OrderId, Role
from broker.messages import Checked, CommandCheck, Health, HealthChecks, NodeCheck
from orchestrator.domain.events import OrderRequested
from orchestrator.domain.model import Order
from tests.unit.orchestrator.domain.playbook import NOW, A, Playbook, Wing, number, sent

ORDER = OrderId(number(0xE001))
CHECKS = HealthChecks(node=NodeCheck(), commands=(CommandCheck(command=("well",)),))
LOOK = Order(
    id=ORDER,
    instance=A,
    role=Role("worker"),
    owner="r-1",
    body=Health(order=ORDER, checks=CHECKS),
    requested_by="r-1",
    created_at=NOW,
    not_after=NOW + timedelta(hours=1),
)


def test_a_check_that_passes_hides_none_that_fails() -> None:
    """Each failing check stays the reason until that very check has passed."""
    book, wing = Playbook(), Wing()
    book.handle(wing.birth(NOW))
    (command,) = sent(book.handle(OrderRequested(at=NOW, order=LOOK)), Health)
    reasons = []
    for check, passed, saw in (
        ("node", False, "not Ready"),
        ("command well", False, "exit 1"),
        ("command well", True, "exit 0"),
        ("node", False, "no Lease"),
        ("node", True, "Ready"),
    ):
        fact = Checked(command=command, order=ORDER, check=check, passed=passed, saw=saw, passes=0)
        book.hear(wing.say(fact))
        reasons.append(book.instance.orders[ORDER].reason)
    assert reasons == [
        "node: not Ready",
        "node: not Ready; command well: exit 1",
        "node: not Ready",
        "node: no Lease",
        "",
    ]
