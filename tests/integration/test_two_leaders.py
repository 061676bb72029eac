"""A leader that is stopped in the middle of a rollout, followed, and continued: still there is one outcome.

When it goes on it believes that it leads, hears what its wings answered, and has a request to answer.
"""

import asyncio
import logging
import os
import signal
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.client import Connected, Publication
from broker.codec import encode
from broker.ids import Epoch, MessageId, OrderId, RolloutId
from broker.messages import Command, RejectReason, Target, Uncordon
from broker.mqtt import MqttMesh, MqttSettings
from broker.topics import Topics
from broker.uuid7 import id_source
from orchestrator.domain.lease import ASK_S, LEASE_S
from orchestrator.exchange import ClientError
from orchestrator.operations import RolloutAction
from tests.integration.killing import INSTANCES, Account, Play, begin, playing
from tests.integration.pair import CLUSTER, DEADLINE_S, ROLE, Daemon
from tests.postgres import Postgres, postgres
from tests.quick_puppet import QuickPuppet

log = logging.getLogger(__name__)

TAKEOVER_S = 10.0
STUCK_S = 1.0
"""What a transaction that the old leader left open may add, see `orchestrator/domain/lease.py`."""

new_id: Callable[[], MessageId] = id_source(lambda: datetime.now(UTC), os.urandom)


@pytest.fixture
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
async def play(server: Postgres, tmp_path: Path) -> AsyncIterator[Play]:
    puppet = QuickPuppet.write(tmp_path / "puppet").executable
    async with playing(tmp_path, server.fresh(), puppet=puppet, standby=True) as running:
        yield running


async def test_one_outcome_though_two_believe_that_they_lead(play: Play) -> None:
    """The first writes nothing more, what it was asked is refused, and wings refuse its epoch."""
    undisturbed = await play.roll_out()
    stopped, follower = play.site.daemons
    account, half = Account(), undisturbed.points()[len(undisturbed.points()) // 2]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(begin, stopped, play.asked()), name="tests.upgrade")
        await play.read(account, until=half)
    stopped.send(signal.SIGSTOP)
    asked = asyncio.get_running_loop().run_in_executor(None, pause, stopped)
    assert (await follower.until("leading"))["epoch"] == 2

    play.leader = follower
    await play.read(account, until=half + 1)
    log.info("takeover took %s", account.moves[-1] - account.moves[-2])  # shown by --log-cli-level=info
    stopped.send(signal.SIGCONT)
    assert (await stopped.until("leadership lost"))["epoch"] == 1
    assert (await stopped.until("standing by"))["holder"] == follower.name
    assert isinstance(await asked, ClientError)

    await play.read(account)
    assert account.outcome() == undisturbed.outcome()
    assert follower.client.rollout(RolloutId("r-2")).reason == ""
    assert await refusal(play, stopped) == RejectReason.STALE_EPOCH.value


def test_a_leader_is_followed_in_time() -> None:
    """However the times of lease and looks fall together, less than 10 s go by."""
    assert LEASE_S + STUCK_S + 1.1 * ASK_S < TAKEOVER_S


def pause(leader: Daemon) -> object:
    """Ask for a pause, and return the answer or the error."""
    try:
        return leader.client.act(RolloutId("r-2"), RolloutAction.PAUSE)
    except ClientError as error:
        return error


async def refusal(play: Play, old: Daemon) -> str:
    """Send a command in an old leader's name and epoch, and return why the wing refuses it."""
    now, instance = datetime.now(UTC), INSTANCES[0]
    command = Command(
        id=new_id(),
        at=now,
        target=Target(cluster=CLUSTER, role=ROLE, instance=instance),
        epoch=Epoch(1),
        not_after=now + timedelta(minutes=10),
        body=Uncordon(order=OrderId(new_id()), owner="r-2"),
    )
    payload = encode(command)
    signature = play.site.keys[old.name].sign(payload)
    topic = Topics(CLUSTER).command(ROLE, instance)
    async with voice(old) as mesh:
        await mesh.publish(Publication(topic=topic, payload=payload, signature=signature))
        async for event in play.events():
            if event.kind.startswith("rejected") and event.body["command"] == command.id:
                return str(event.body["reason"])
    raise AssertionError("the tail has ended")


@asynccontextmanager
async def voice(daemon: Daemon) -> AsyncIterator[MqttMesh]:
    """Be on the mesh in a daemon's name, while it stands by and is not."""
    config = tomllib.loads((daemon.folder / "o.toml").read_text())["broker"]
    settings = MqttSettings(
        host=config["host"],
        port=config["port"],
        ca=Path(config["ca"]),
        certificate=Path(config["certificate"]),
        key=Path(config["key"]),
    )
    async with MqttMesh(settings, client_id=daemon.name) as mesh, asyncio.timeout(DEADLINE_S):
        async for event in mesh.events():
            if isinstance(event, Connected):
                break
        yield mesh
