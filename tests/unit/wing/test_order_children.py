"""What the children that carry out orders do, called within the test."""

import asyncio

from broker.messages import (
    Checked,
    CommandCheck,
    Drain,
    Drainer,
    DrainPolicy,
    EtcdCheck,
    Health,
    HealthChecks,
    HttpCheck,
    NodeCheck,
    OrderFact,
    Uncordon,
    VaultCheck,
)
from tests.unit.wing.wings import new_id, order_id
from wing import drain_child, health_child, site_command
from wing.errand import Errand, Place
from wing.events import Done, Stopped, Unable

NOWHERE = "http://127.0.0.1:1"


async def test_every_check_of_what_is_not_there_says_so() -> None:
    """What can't be looked at is not well, and each check tells for itself."""
    checks = HealthChecks(
        node=NodeCheck(),
        etcd=EtcdCheck(endpoint=NOWHERE),
        vault=VaultCheck(endpoint=NOWHERE),
        commands=(CommandCheck(command=("/no/such/command",)),),
        http=(HttpCheck(url=f"{NOWHERE}/ready"),),
    )
    order = Health(order=order_id(1), checks=checks, passes=1, interval_s=1, timeout_s=1)
    told: list[OrderFact] = []
    errand = Errand(command=new_id(), place=Place(node="n", kubeconfig="/no/such/file"), health=order)
    end = await health_child.carry_out(errand, told.append, asyncio.Event())
    assert isinstance(end, Unable)
    names = [fact.check for fact in told[:5] if isinstance(fact, Checked)]
    assert names == ["node", "etcd", "vault", "command /no/such/command", f"http {NOWHERE}/ready"]
    assert all(f"{name}: " in end.reason for name in names)


async def test_a_look_that_hangs_is_cut_off() -> None:
    """Each check has its own time."""

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await forever.wait()
        writer.close()

    forever = asyncio.Event()
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        checks = HealthChecks(http=(HttpCheck(url=f"http://127.0.0.1:{port}/", timeout_s=1),))
        order = Health(order=order_id(1), checks=checks, passes=1, interval_s=1, timeout_s=1)
        errand = Errand(command=new_id(), place=Place(node="n"), health=order)
        end = await health_child.carry_out(errand, lambda _: None, asyncio.Event())
        forever.set()
    assert isinstance(end, Unable)
    assert "no answer within 1 s" in end.reason


async def test_a_command_that_nobody_wants_any_more_is_stopped() -> None:
    """Cancelling ends it, for a drain as for its undoing."""
    cancel = asyncio.Event()
    cancel.set()
    place = Place(node="n", command=("sleep", "1000"), uncordon_command=("sleep", "1000"))
    policy = DrainPolicy(drainer=Drainer.COMMAND)
    for errand in (
        Errand(command=new_id(), place=place, drain=Drain(order=order_id(1), owner="r-7", policy=policy)),
        Errand(command=new_id(), place=place, uncordon=Uncordon(order=order_id(2), owner="r-7")),
    ):
        assert await drain_child.carry_out(errand, lambda _: None, cancel) == Stopped()


async def test_an_errand_for_somebody_else_is_refused() -> None:
    """A child does what it is for, and nothing else."""
    errand = Errand(command=new_id(), place=Place(node="n"))
    for child in (drain_child, health_child):
        assert isinstance(await child.carry_out(errand, lambda _: None, asyncio.Event()), Unable)


async def test_what_a_command_leaves_in_the_background_holds_nobody_up() -> None:
    """Its own end is the end, whoever still has its output open."""
    words = ("sh", "-c", "sleep 1000 & echo $!")
    ran = await site_command.run(words, timeout_s=60, cancel=asyncio.Event())
    assert ran.ok
    left = ran.output
    assert (await site_command.run(("kill", left), timeout_s=60, cancel=asyncio.Event())).ok


async def test_only_the_last_of_a_long_output_is_kept() -> None:
    """A message can carry it."""
    words = ("sh", "-c", "yes | head -c 100000; echo; echo the end")
    ran = await site_command.run(words, timeout_s=60, cancel=asyncio.Event())
    assert len(ran.output) <= site_command.LAST_WORDS
    assert ran.saw() == "ended with 0: the end"


async def test_a_drain_by_nothing_that_is_there() -> None:
    """`Done` only for what was done."""
    place = Place(node="n", command=("true",))
    policy = DrainPolicy(drainer=Drainer.COMMAND)
    errand = Errand(command=new_id(), place=place, drain=Drain(order=order_id(1), owner="r-7", policy=policy))
    assert await drain_child.carry_out(errand, lambda _: None, asyncio.Event()) == Done()
