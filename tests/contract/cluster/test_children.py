"""The children that carry orders out, as a wing starts them, on a real API server."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from broker.messages import (
    Checked,
    CordonChanged,
    Drain,
    DrainFinished,
    DrainPolicy,
    Health,
    HealthChecks,
    NodeCheck,
    OrderBody,
    OrderFact,
    PodEvicted,
    Uncordon,
)
from tests.contract.cluster.real import RealSite, real_site
from tests.contract.cluster.sites import COMMAND, ORDER, OWNER, PATIENCE_S, Watched
from tests.kube import objects
from tests.kube.place import place
from tests.kube.servers import ControlPlane
from wing.effects import RunOrder
from wing.errand import OrderEnd, Place
from wing.errands import Errands
from wing.events import Done, Process, Unable


@dataclass
class Watcher:
    """Hears of a child's process and facts."""

    watched: Watched = field(default_factory=Watched)
    process: Process | None = None

    async def process_started(self, process: Process) -> None:
        self.process = process

    def told(self, fact: OrderFact) -> None:
        self.watched.tell(fact)


@pytest.fixture
async def real(plane: ControlPlane) -> AsyncIterator[RealSite]:
    """A site on the control plane."""
    async with place(plane) as own, real_site(own) as site:
        yield site


async def sent(site: RealSite, order: OrderBody, watcher: Watcher) -> OrderEnd:
    """Have an order carried out by a child, as a wing on the site's node would."""
    kubeconfig = str(site.own.plane.node_kubeconfig(site.node))
    errands = Errands(place=Place(node=site.node, kubeconfig=kubeconfig), host_boot="b")
    async with asyncio.timeout(PATIENCE_S):
        return await errands.carry_out(RunOrder(command=COMMAND, order=order), watcher, asyncio.Event())


async def test_a_drain_whose_child_was_killed_goes_on_and_is_undone(real: RealSite) -> None:
    """Killed in the middle and begun again, it evicts what is left; then the cordon is lifted by an order."""
    await real.pod("free", labels={"app": "other"})
    await real.pod("web")
    await real.budget("keep")
    order = Drain(order=ORDER, owner=OWNER, policy=DrainPolicy(timeout_s=60))
    killed = Watcher()
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(sent(real, order, killed))
        await killed.watched.until(lambda fact: isinstance(fact, PodEvicted))
        assert killed.process is not None
        os.kill(killed.process.pid, signal.SIGKILL)
    end = draining.result()
    assert isinstance(end, Unable)
    assert "the child ended with -9" in end.reason
    await real.drop_budget("keep")
    again = Watcher()
    assert await sent(real, order, again) == Done()
    (finished,) = again.watched.of(DrainFinished)
    assert isinstance(finished, DrainFinished)
    assert finished.evicted == 1
    assert await real.pods_on(real.node) == set()
    lifting = Watcher()
    assert await sent(real, Uncordon(order=ORDER, owner=OWNER), lifting) == Done()
    (lifted,) = lifting.watched.of(CordonChanged)
    assert isinstance(lifted, CordonChanged)
    assert not lifted.cordoned
    assert not (await real.api.node()).cordoned


async def test_a_node_is_well_once_its_kubelet_has_renewed_its_lease(real: RealSite) -> None:
    """Ready alone is old news: a Lease from before the change does not count."""
    real.kubelet.alive = False
    since = datetime.now(UTC)
    health = Health(order=ORDER, checks=HealthChecks(node=NodeCheck()), passes=1, interval_s=1, since=since)
    watcher = Watcher()
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(sent(real, health, watcher))
        told = await watcher.watched.until(lambda fact: isinstance(fact, Checked))
        assert isinstance(told, Checked)
        assert (told.passed, "its Lease was renewed" in told.saw) == (False, True)
        real.kubelet.alive = True
    assert looking.result() == Done()


async def test_a_node_that_is_not_ready_fails_by_name(real: RealSite) -> None:
    """The answer says what the check saw."""
    await objects.set_node_ready(real.own.admin, real.node, ready=False)
    health = Health(order=ORDER, checks=HealthChecks(node=NodeCheck()), passes=1, interval_s=1, timeout_s=1)
    end = await sent(real, health, Watcher())
    assert isinstance(end, Unable)
    assert "node: not Ready" in end.reason


async def test_signs_of_a_node(real: RealSite) -> None:
    """A kubelet's credential may read its own Node and Lease."""
    signs = await real.api.signs()
    assert signs.ready
    assert signs.renewed_at is not None
    assert signs.renewed_at > datetime.now(UTC) - timedelta(minutes=5)
