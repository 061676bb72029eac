"""The composition root of a resident wing: everything real is made and put together here."""

import asyncio
import fcntl
import logging
import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from broker.mqtt import MqttMesh, MqttSettings
from broker.uuid7 import id_source
from wing import VERSION
from wing.agent import Agent, Surroundings
from wing.config import ConfigError, Keys, WingConfig, load, load_keys
from wing.host import describe
from wing.inbox import Ear
from wing.journal import JOURNAL, SqliteJournal
from wing.machine import Machine
from wing.renewal import own_files, watch_files
from wing.state import Identity
from wing.systemd import Systemd
from wing.voice import Voice
from wing.work import HostWork

log = logging.getLogger("wing")


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


def run_and_renew(file: Path) -> int:
    """Be the wing that `file` configures until told to stop; start again in place if its own code changed."""
    config = load(file)
    keys = load_keys(file, config)
    config.state_dir.mkdir(parents=True, exist_ok=True)
    with _alone(file, config.state_dir):
        renewing = asyncio.run(_run(config, keys))
    if renewing:
        log.info("starting the new code")
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this very program again, in this very process
    return 0


async def _run(config: WingConfig, keys: Keys) -> bool:
    with closing(SqliteJournal.open(config.state_dir / JOURNAL, sign=keys.own.sign)) as journal:
        agent = _agent(config, keys, journal)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, agent.stop)
        await agent.run()
    return agent.renewing


def _agent(config: WingConfig, keys: Keys, journal: SqliteJournal) -> Agent:
    identity = Identity(cluster=config.cluster, role=config.role, instance=config.instance)
    new_id = id_source(utc_now, os.urandom)
    since = utc_now()
    remembered = journal.open_boot()
    log.info("boot", extra={"boot": remembered.boot, "epoch": remembered.epoch})
    machine = Machine.restored(identity, remembered, at=since, new_id=new_id)
    voice = Voice(identity=identity, key=keys.own, clock=utc_now, new_id=new_id, version=VERSION)
    around = Surroundings(
        journal=journal,
        mesh=MqttMesh(_settings(config), client_id=config.instance, will=voice.will(remembered.boot)),
        work=HostWork.configured(config),
        voice=voice,
        ear=Ear(
            orchestrators=keys.orchestrators,
            own=keys.own.public,
            presence_topic=voice.presence_topic,
            boot=remembered.boot,
            since=since,
        ),
        host=describe(config.puppet.executable, config.state_dir / "puppet-version"),
        supervisor=Systemd(),
        clock=utc_now,
        jitter=random.random,
        changed=watch_files(lambda: own_files(Path(sys.argv[0]), Path(__file__).parent)),
        heartbeat_s=config.heartbeat_s,
    )
    return Agent(machine, around)


def _settings(config: WingConfig) -> MqttSettings:
    place = config.broker
    return MqttSettings(
        host=place.host, port=place.port, ca=place.ca, certificate=place.certificate, key=place.key
    )


@contextmanager
def _alone(file: Path, state_dir: Path) -> Iterator[None]:
    """Hold the lock of `state_dir`: two wings on one journal would tell two stories in one name."""
    with (state_dir / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            reason = f"{state_dir} is in use by another wing; stop it, or give this one its own"
            raise ConfigError(file=file, key="state_dir", reason=reason) from error
        yield
