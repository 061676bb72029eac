"""What only a real broker does: certificates, the ACL, and a process of its own."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from broker.client import Connected, Disconnected, Publication
from broker.errors import BrokerStartError
from broker.ids import ClusterName, InstanceId, Role
from broker.mosquitto import MosquittoFiles, PrivateMosquitto
from broker.mqtt import MqttMesh
from broker.topics import Topics
from tests.certificates import Certificates
from tests.contract.mesh.sites import QUICK, MosquittoSite, Reader

TOPICS = Topics(ClusterName("main"))
WORKER = Role("worker")
ONE = InstanceId("worker-1")
TWO = InstanceId("worker-2")
STRANGER = "stranger"


async def test_a_wing_cannot_speak_for_another(mosquitto: MosquittoSite) -> None:
    """What a wing writes under another's id, or to anyone's commands, reaches nobody."""
    async with mosquitto.mesh("orchestrator_1") as orchestrator, mosquitto.mesh(ONE) as wing:
        await wing.subscribe(*TOPICS.wing_filters(WORKER, ONE))
        await orchestrator.subscribe(*TOPICS.orchestrator_filters())
        reader, own = Reader(orchestrator), Reader(wing)
        await reader.connected()
        await own.connected()
        for topic in (
            TOPICS.facts(WORKER, TWO),
            TOPICS.presence(WORKER, TWO),
            TOPICS.log(WORKER, TWO),
            TOPICS.command(WORKER, ONE),
            TOPICS.command_role(WORKER),
        ):
            await wing.publish(Publication(topic=topic, payload=b"forged"))
        await wing.publish(Publication(topic=TOPICS.facts(WORKER, ONE), payload=b"fact"))
        assert (await reader.message()).payload == b"fact"
        await orchestrator.publish(Publication(topic=TOPICS.command(WORKER, ONE), payload=b"command"))
        assert (await own.message()).payload == b"command"


async def test_a_wing_does_not_hear_the_commands_of_another(mosquitto: MosquittoSite) -> None:
    """Even who subscribes to everything is sent only what is for it."""
    async with mosquitto.mesh("orchestrator_1") as orchestrator, mosquitto.mesh(ONE) as wing:
        await wing.subscribe("tarmak/1/main/cmd/worker/+")
        reader = Reader(wing)
        await reader.connected()
        await orchestrator.publish(Publication(topic=TOPICS.command(WORKER, TWO), payload=b"to two"))
        await orchestrator.publish(Publication(topic=TOPICS.command(WORKER, ONE), payload=b"to one"))
        assert (await reader.message()).payload == b"to one"


async def test_a_stranger_is_not_let_in(mosquitto: MosquittoSite, tmp_path: Path) -> None:
    """A client whose certificate another authority has signed never connects, and is told why."""
    foreign = Certificates(tmp_path / "foreign").client(STRANGER)
    settings = mosquitto.certificates.settings(STRANGER, port=mosquitto.broker.port)
    settings = replace(settings, certificate=foreign.certificate, key=foreign.key, keeping=QUICK)
    async with MqttMesh(settings, client_id=STRANGER) as mesh:
        event = await Reader(mesh).event()
    assert isinstance(event, Disconnected)
    assert settings.endpoint in event.reason
    assert "unknown ca" in event.reason


async def test_an_impostor_is_not_spoken_to(mosquitto: MosquittoSite, tmp_path: Path) -> None:
    """A broker whose certificate another authority has signed is refused by its clients."""
    foreign = Certificates(tmp_path / "foreign")
    settings = mosquitto.certificates.settings(ONE, port=mosquitto.broker.port)
    async with MqttMesh(replace(settings, ca=foreign.ca, keeping=QUICK), client_id=ONE) as mesh:
        event = await Reader(mesh).event()
    assert isinstance(event, Disconnected)
    assert "certificate verify failed" in event.reason


async def test_the_name_of_the_broker_is_checked(mosquitto: MosquittoSite) -> None:
    """A broker that is reached under a name which its certificate doesn't have is refused."""
    settings = mosquitto.certificates.settings(ONE, port=mosquitto.broker.port)
    async with MqttMesh(replace(settings, host="127.0.0.2", keeping=QUICK), client_id=ONE) as elsewhere:
        event = await Reader(elsewhere).event()
    assert isinstance(event, Disconnected)


async def test_a_renewed_certificate_is_used_at_the_next_connection(
    mosquitto: MosquittoSite, tmp_path: Path
) -> None:
    """Files are read for each connection: a certificate that is put in place later makes it work."""
    settings = mosquitto.certificates.settings(ONE, port=mosquitto.broker.port)
    later = tmp_path / "later.pem"
    async with MqttMesh(replace(settings, certificate=later, keeping=QUICK), client_id=ONE) as mesh:
        reader = Reader(mesh)
        assert isinstance(await reader.event(), Disconnected)
        later.write_bytes(settings.certificate.read_bytes())
        connected = await reader.connected()
    assert connected.connection == 1


async def test_the_common_name_is_the_identity(mosquitto: MosquittoSite) -> None:
    """A wing that claims another client id than its certificate's takes no one's place."""
    settings = replace(mosquitto.certificates.settings(ONE, port=mosquitto.broker.port), keeping=QUICK)
    async with mosquitto.mesh(TWO) as victim, MqttMesh(settings, client_id=TWO) as impostor:
        await victim.subscribe(TOPICS.command_role(WORKER))
        reader = Reader(victim)
        assert isinstance(await reader.event(), Connected)
        await Reader(impostor).connected()
        async with mosquitto.mesh("orchestrator_1") as orchestrator:
            await orchestrator.publish(Publication(topic=TOPICS.command_role(WORKER), payload=b"ping"))
            following = await reader.event()
    assert not isinstance(following, Disconnected)


async def test_a_broker_that_does_not_start_says_why(tmp_path: Path, certificates: Certificates) -> None:
    """The error carries Mosquitto's own words."""
    files = MosquittoFiles(
        ca=tmp_path / "nowhere.pem",
        certificate=certificates.server.certificate,
        key=certificates.server.key,
        acl="",
    )
    with pytest.raises(BrokerStartError) as caught:
        async with PrivateMosquitto(tmp_path / "broker", files=files):
            pass
    assert "Unable to load CA certificates" in caught.value.output


async def test_a_taken_port_is_said(mosquitto: MosquittoSite, tmp_path: Path) -> None:
    """A broker that was told its port doesn't take another one."""
    files = mosquitto.broker.files
    with pytest.raises(BrokerStartError) as caught:
        async with PrivateMosquitto(tmp_path / "second", files=files, port=mosquitto.broker.port):
            pass
    assert "Address already in use" in caught.value.output


PARENT = """
import asyncio, sys
from pathlib import Path
from broker.mosquitto import MosquittoFiles, PrivateMosquitto

async def main():
    ca, certificate, key, folder = (Path(word) for word in sys.argv[1:])
    files = MosquittoFiles(ca=ca, certificate=certificate, key=key, acl="")
    async with PrivateMosquitto(folder, files=files) as broker:
        print(broker.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_private_broker_dies_with_its_parent(tmp_path: Path, certificates: Certificates) -> None:
    """Even a parent that is killed leaves no broker behind."""
    server = certificates.server
    words = [certificates.ca, server.certificate, server.key, tmp_path / "broker"]
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, *map(str, words), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    broker = os.pidfd_open(int(await parent.stdout.readline()))
    try:
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        gone = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(broker, gone.set_result, None)
        await gone
        asyncio.get_running_loop().remove_reader(broker)
    finally:
        os.close(broker)
