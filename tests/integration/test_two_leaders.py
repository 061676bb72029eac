"""A leader that is stopped in the middle of a rollout, and goes on when another has taken that over.

Whatever it had begun to decide, only one of them may be obeyed and only one may write: one outcome, each
instance drained and converged once.
"""

import asyncio
import os
import signal
import sys
import tempfile
import tomllib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.client import Publication
from broker.codec import encode
from broker.ids import Boot, Digest, Epoch, InstanceId, MessageId, OrderId, RolloutId
from broker.messages import Command, Drain, DrainPolicy, RejectReason, Target
from broker.mqtt import MqttMesh, MqttSettings
from broker.topics import Topics
from broker.uuid7 import id_source
from orchestrator.client import Upgrade
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.views import EventView, RunState, Selector
from puppet_bridge.bundle import build
from tests.dev_mesh import write_bundle
from tests.integration.pair import CLUSTER, DEADLINE_S, ROLE, Daemon, Pair, pair
from tests.postgres import USER, Postgres, postgres
from tests.quick_puppet import QuickPuppet

INSTANCES = tuple(InstanceId(f"worker-{number}") for number in range(1, 4))
FIRST, MIDDLE, LAST = INSTANCES
EVERYTHING = Selector(everything=True)
STRATEGY = {"canary_soak": "0s", "max_unavailable": 1, "health": {"passes": 1}}

# Each row that is written says by which daemon, in the order of their transactions' writes.
AUDIT = """
CREATE TABLE audit (number bigserial, writer name);
GRANT ALL ON audit, audit_number_seq TO PUBLIC;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO audit (writer) VALUES (session_user); RETURN NULL; END';
DO $$ DECLARE it text; BEGIN
    FOR it IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'audit' LOOP
        EXECUTE format('CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION note()', it);
    END LOOP;
END $$;
"""
WRITERS = """
SELECT writer FROM (SELECT number, writer, lag(writer) OVER (ORDER BY number) AS before FROM audit) AS rows
WHERE writer IS DISTINCT FROM before ORDER BY number
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@dataclass
class Site:
    """The pair, its Puppet, and who writes to its journal."""

    both: Pair
    puppet: QuickPuppet
    server: Postgres
    database: str
    drains: Path

    def bundle(self, name: str) -> Path:
        """Build a bundle that differs from others by its name."""
        shelf = self.both.folder / f"shelf-{name}"
        shelf.mkdir()
        return build(write_bundle(self.both.folder / f"site-{name}", f"notify {{ '{name}': }}\n"), shelf).path

    def writers(self) -> list[str]:
        """Return who wrote, one after the other."""
        return self.server.sql(WRITERS, self.database).split()


@pytest.fixture
async def site(tmp_path: Path, server: Postgres) -> AsyncIterator[Site]:
    url = server.fresh()
    database = url.partition("@/")[2].partition("?")[0]
    puppet = QuickPuppet.write(tmp_path / "puppet")
    drains = tmp_path / "drains"
    drains.touch()

    def noting(what: str) -> list[str]:
        return ["/bin/sh", "-c", f'echo "{what} $TARMAK_NODE $TARMAK_OWNER" >>{drains}']

    extra = {
        "puppet": {"executable": str(puppet.executable)},
        "drain": {"command": noting("drained"), "uncordon_command": noting("uncordoned")},
    }
    with tempfile.TemporaryDirectory(prefix="tarmak-") as sockets:
        async with pair(
            tmp_path,
            Path(sockets),
            url.replace(f"{USER}@", "{name}@"),
            instances=INSTANCES,
            extra=extra,
        ) as both:
            for daemon in both.daemons:
                # They work as one and the same user, as they do in earnest, but can be told apart.
                server.sql(f"CREATE ROLE {daemon.name} LOGIN SUPERUSER")
                server.sql(f"ALTER ROLE {daemon.name} SET role = {USER}")
            yield Site(both=both, puppet=puppet, server=server, database=database, drains=drains)


def told(event: EventView) -> str:
    """Return an event as a line."""
    return f"{event.at:%T.%f} {event.kind} {event.instance or '-'} {dict(event.body)}"


async def until(daemon: Daemon, kind: str, instance: str | None = None, **said: object) -> EventView:
    """Wait for an event of the tail, which is read from its beginning."""
    client, seen = daemon.client, deque[EventView](maxlen=100)

    def follow() -> EventView | None:
        for event in client.tail():
            if isinstance(event, EventView):
                seen.append(event)
                if (event.kind, event.instance) == (kind, instance) and said.items() <= event.body.items():
                    return event
        return None

    loop = asyncio.get_running_loop()
    deadline = loop.call_later(DEADLINE_S, client.hang_up)
    found = await asyncio.to_thread(follow)
    deadline.cancel()
    if found is None:
        lines = "\n".join(map(told, seen))
        raise AssertionError(f"no {kind} of {instance or 'the mesh'} with {said} in\n{lines}")
    return found


async def push(daemon: Daemon, packed: Path) -> Digest:
    def pushed() -> Digest:
        with packed.open("rb") as content:
            return daemon.client.push(content).digest

    return await asyncio.to_thread(pushed)


async def send_left_over(site: Site, old: Daemon, boot: Boot) -> MessageId:
    """Have a wing told to drain itself by a command of the old leader's that was still on its way."""
    new_id = id_source(lambda: datetime.now(UTC), os.urandom)
    now = datetime.now(UTC)
    command = Command(
        id=new_id(),
        at=now,
        target=Target(cluster=CLUSTER, role=ROLE, instance=FIRST, boot=boot),
        epoch=Epoch(1),
        not_after=now + timedelta(minutes=10),
        body=Drain(order=OrderId(new_id()), owner="r-1", policy=DrainPolicy()),
    )
    payload = encode(command)
    signature = site.both.keys[old.name].sign(payload)
    own = tomllib.loads((old.folder / "o.toml").read_text())["broker"]
    settings = MqttSettings(
        host=own["host"],
        port=own["port"],
        ca=Path(own["ca"]),
        certificate=Path(own["certificate"]),
        key=Path(own["key"]),
    )
    async with MqttMesh(settings, client_id=old.name) as mesh:
        topic = Topics(CLUSTER).command(ROLE, FIRST)
        await mesh.publish(Publication(topic=topic, payload=payload, signature=signature))
    return command.id


async def test_one_outcome_whoever_leads(site: Site, record_property: Callable[[str, object], None]) -> None:
    """Stopped in the middle of a converge, followed, continued: it writes nothing and nobody obeys it."""
    first, second = await site.both.started()
    site.server.sql(AUDIT, site.database)
    async with AsyncExitStack() as wings:
        for instance in INSTANCES:
            await wings.enter_async_context(site.both.wing(instance))
        for instance in INSTANCES:
            await until(first, "instance_online", instance)
        digest = await push(first, site.bundle("new"))
        site.puppet.hold(MIDDLE)
        site.puppet.hold(LAST)
        asked = Upgrade(selector=EVERYTHING, digest=digest, strategy=STRATEGY, confirmed=True)
        rollout = (await asyncio.to_thread(first.client.upgrade, asked)).id or RolloutId("")
        await until(first, "step_moved", MIDDLE, state="converging")

        first.send(signal.SIGSTOP)
        stopped_at = datetime.now(UTC)
        await asyncio.to_thread(site.puppet.release, MIDDLE)
        assert (await second.until("leading"))["epoch"] == 2
        taken_over = await until(second, "step_moved", MIDDLE, state="verifying")
        await until(second, "step_moved", LAST, state="converging")

        first.send(signal.SIGCONT)
        assert (await first.until("leadership lost"))["epoch"] == 1
        assert (await first.until("standing by"))["holder"] == second.name
        online = await until(second, "instance_online", FIRST)
        assert online.boot is not None
        left_over = await send_left_over(site, first, online.boot)
        await until(second, "rejected", FIRST, command=left_over, reason=RejectReason.STALE_EPOCH.value)
        await asyncio.to_thread(site.puppet.release, LAST)
        await until(second, "rollout_succeeded")
        assert (await asyncio.to_thread(second.client.status)).problems == ()

    took_s = (taken_over.at - stopped_at).total_seconds()
    record_property("takeover_s", took_s)
    sys.stdout.write(f"taken over {took_s:.1f} s after the leader was stopped\n")
    shown = second.client.rollout(rollout)
    assert shown.state is RolloutState.SUCCEEDED
    assert {step.instance: step.state for step in shown.steps} == dict.fromkeys(INSTANCES, StepState.DONE)
    runs = [(run.instance, run.noop, run.digest, run.state) for run in second.client.runs()]
    assert sorted(runs) == [
        (name, noop, digest, RunState.SUCCEEDED) for name in INSTANCES for noop in (False, True)
    ]
    words = [f"{what} {name} {rollout}" for name in INSTANCES for what in ("drained", "uncordoned")]
    assert site.drains.read_text().splitlines() == words
    assert site.writers() == [first.name, second.name]
