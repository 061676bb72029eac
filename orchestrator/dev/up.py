"""Brings a mesh up on one machine and keeps it up until it is told to end.

Everything that ends it (a signal, a program that can't start) is raised inside one task group, so there is
one way out: wings first, so that they say goodbye, then the orchestrator, then the broker.
"""

import asyncio
import os
import random
import shlex
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from broker.errors import BrokerStartError
from broker.mosquitto import PORTS, PrivateMosquitto
from orchestrator.client import Client
from orchestrator.dev.children import Child, Pids, Program, growing_pauses, say
from orchestrator.dev.errors import DevError
from orchestrator.dev.extra import Extra
from orchestrator.dev.identities import HOST, Identities, Ports
from orchestrator.dev.members import Member
from orchestrator.dev.places import Places, places
from orchestrator.domain.views import PresenceState
from orchestrator.exchange import ClientError, UnreachableError
from puppet_bridge.atomic import write_whole

LOOK_S: Final = 0.2
REMIND_S: Final = 15.0
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BROKER: Final = "broker"


class _StopAskedError(Exception):
    """Someone wants the mesh to end."""


def up(fleet: Sequence[Member], directory: Path | None, extra: Extra | None = None) -> None:
    """Run a mesh of `fleet` in `directory` (None: one that is taken away) until a signal; raises DevError."""
    with places(directory) as where:
        try:
            asyncio.run(_up(fleet, where, extra))
        finally:
            for gone in (where.env, where.pids, where.socket):
                gone.unlink(missing_ok=True)


async def _up(fleet: Sequence[Member], where: Places, extra: Extra | None) -> None:
    stopping, settled = asyncio.Event(), asyncio.Event()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    where.logs.mkdir(exist_ok=True)
    where.env.unlink(missing_ok=True)
    identities, pids = Identities(where, extra), Pids(where.pids)
    say(f"bringing up {len(fleet)} instances in {where.home}")
    try:
        async with PrivateMosquitto(where.broker, files=identities.broker()) as broker:
            _point(where.logs / f"{BROKER}.log", broker.log)
            programs = _programs(fleet, where, identities, Ports(broker=broker.port, bundles=_free_port()))
            children = [Child(program, pids=pids, settled=settled) for program in programs]
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_until(stopping), name="dev.signals")
                    tasks.create_task(_keep(broker, pids), name="dev.broker")
                    for child in children:
                        tasks.create_task(child.keep(), name=f"dev.{child.program.name}")
                    tasks.create_task(_announce(fleet, where, settled), name="dev.ready")
            finally:
                await _stop(children)
    except* _StopAskedError:
        say("the mesh has ended")
    except* (DevError, BrokerStartError) as errors:
        raise _first(errors) from None


def _programs(
    fleet: Sequence[Member], where: Places, identities: Identities, ports: Ports
) -> Sequence[Program]:
    def program(name: str, module: str, config: Path) -> Program:
        log = where.logs / f"{name}.log"
        return Program(name=name, module=module, words=("--config", str(config)), log=log)

    identities.roster(fleet)
    daemon = program("orchestrator", "orchestrator.daemon", identities.orchestrator(ports))
    return [daemon, *(program(member.id, "wing", identities.wing(member, ports)) for member in fleet)]


async def _until(stopping: asyncio.Event) -> None:
    await stopping.wait()
    raise _StopAskedError


async def _keep(broker: PrivateMosquitto, pids: Pids) -> None:
    pauses = growing_pauses()
    while True:
        pids.put(BROKER, broker.pid)
        await _death(broker.pid)
        pids.put(BROKER, None)
        pause_s = next(pauses)
        say(f"the broker died; starting it again in {pause_s:g} s")
        await asyncio.sleep(pause_s)
        try:
            await broker.start()
        except BrokerStartError as error:
            say(str(error))


async def _death(pid: int | None) -> None:
    """Return when a process has ended; at once if there is none."""
    if pid is None:
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def _announce(fleet: Sequence[Member], where: Places, settled: asyncio.Event) -> None:
    await _all_online(fleet, where)
    settled.set()
    write_whole(where.env, f"export TARMAK_URL={shlex.quote(where.url)}\n".encode())
    say(f"every instance is online; in another terminal: . {shlex.quote(str(where.env))}")
    say("ready", to=sys.stdout)


async def _all_online(fleet: Sequence[Member], where: Places) -> None:
    client, wanted = Client(where.url), {member.id for member in fleet}
    remind_at = time.monotonic() + REMIND_S
    while missing := wanted - await asyncio.to_thread(_online, client):
        if time.monotonic() > remind_at:
            say(f"still waiting for {', '.join(sorted(missing))}; see {where.logs}")
            remind_at += REMIND_S
        await asyncio.sleep(LOOK_S)


def _online(client: Client) -> set[str]:
    try:
        return {view.id for view in client.instances() if view.presence is PresenceState.ONLINE}
    except UnreachableError:
        return set()
    except ClientError as error:
        raise DevError(what="the orchestrator does not answer as it should", why=str(error)) from error


async def _stop(children: Sequence[Child]) -> None:
    orchestrator, *wings = children
    async with asyncio.TaskGroup() as tasks:
        for wing in wings:
            tasks.create_task(wing.stop(), name=f"dev.stop.{wing.program.name}")
    await orchestrator.stop()


def _free_port() -> int:
    while True:
        port = random.choice(PORTS)  # noqa: S311 - a port is no secret
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) != 0:
                return port


def _point(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _first(errors: BaseExceptionGroup[DevError | BrokerStartError]) -> DevError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, DevError):
        return error
    return DevError(
        what="the broker does not start", why=str(error), action="is Mosquitto installed? ./dev setup does it"
    )
