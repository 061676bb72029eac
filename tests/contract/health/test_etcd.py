"""A look at etcd, on a real cluster of three members that wants client certificates."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest

from broker.messages import EtcdCheck
from tests.kube.pki import HOST, ClusterPki
from tests.kube.servers import VARIABLE, Server, binary_from_environment, free_ports
from wing.health import Sighting
from wing.judgements import judged_etcd
from wing.probes import LookError, look_at_etcd

DEADLINE_S = 120
RETRY_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member, and where it listens."""

    server: Server
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Etcd:
    """A cluster of three, and an authority that it believes."""

    pki: ClusterPki
    members: tuple[Member, ...]

    def check(self, place: int = 0, *, leaving: bool = False) -> EtcdCheck:
        """Return the check of one member."""
        own = self.pki.admin()
        return EtcdCheck(
            endpoint=self.members[place].url,
            ca=str(self.pki.ca),
            certificate=str(own.certificate),
            key=str(own.key),
            leaving=leaving,
        )

    async def until(self, seen: Callable[[Sighting], bool], *, leaving: bool = False) -> Sighting:
        """Look at the first member until it is as wanted."""
        check = self.check(leaving=leaving)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with contextlib.suppress(LookError):
                    sighting = judged_etcd(await look_at_etcd(check), leaving=leaving)
                    if seen(sighting):
                        return sighting
                await asyncio.sleep(RETRY_S)

    async def ask(self, path: str, **body: object) -> None:
        """Ask the first member for something as an operator does, until it takes it.

        A cluster is not changed before its members have been in touch for five seconds.
        """
        own = self.pki.admin()
        trust = ssl.create_default_context(cafile=str(self.pki.ca))
        trust.load_cert_chain(own.certificate, own.key)
        connector = aiohttp.TCPConnector(ssl=trust)
        async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession(connector=connector) as session:
            while True:
                async with session.post(f"{self.members[0].url}{path}", json=body) as response:
                    if response.status == HTTPStatus.OK:
                        return
                await asyncio.sleep(RETRY_S)


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[Etcd]:
    """Three members that have found each other."""
    binary = binary_from_environment()
    if binary is None:
        pytest.skip(f"{VARIABLE} is not set: ./dev servers builds a real etcd")
    pki = ClusterPki(tmp_path / "pki")
    ports = free_ports(6)
    peers = ",".join(f"etcd-{place}=http://{HOST}:{ports[place + 3]}" for place in range(3))
    members = []
    for place in range(3):
        folder = tmp_path / f"etcd-{place}"
        folder.mkdir()
        url, peer = f"https://{HOST}:{ports[place]}", f"http://{HOST}:{ports[place + 3]}"
        flags = [
            f"--name=etcd-{place}",
            f"--data-dir={folder / 'state'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={peers}",
            f"--cert-file={pki.serving.certificate}",
            f"--key-file={pki.serving.key}",
            f"--trusted-ca-file={pki.ca}",
            "--client-cert-auth",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        members.append(Member(server=Server(binary, "etcd", folder, *flags), url=url))
    cluster = Etcd(pki=pki, members=tuple(members))
    try:
        for member in members:
            member.server.start()
        await cluster.until(lambda sighting: sighting.passed, leaving=True)
        yield cluster
    finally:
        for member in members:
            member.server.kill()


async def test_a_member_of_a_whole_cluster_is_well_and_may_leave(etcd: Etcd) -> None:
    """Healthy, in the list, no alarm; and the two others are a quorum of three."""
    sighting = judged_etcd(await look_at_etcd(etcd.check(leaving=True)), leaving=True)
    assert (sighting.passed, sighting.saw) == (True, "healthy, one of 3 members")


async def test_with_one_member_gone_another_must_not_leave(etcd: Etcd) -> None:
    """The first one itself is well; without it one of three would be left."""
    etcd.members[2].server.kill()
    await etcd.until(lambda seen: seen.passed)
    sighting = await etcd.until(lambda seen: not seen.passed, leaving=True)
    assert "without it 1 members would be healthy, 2 are needed (not healthy: etcd-2)" in sighting.saw


async def test_without_a_quorum_a_member_is_not_well(etcd: Etcd) -> None:
    """It says so itself, or can't say who the members are."""
    for member in etcd.members[1:]:
        member.server.kill()
    async with asyncio.timeout(DEADLINE_S):
        try:
            found = await look_at_etcd(etcd.check())
        except LookError:
            return
        assert not judged_etcd(found, leaving=False).passed


async def test_an_alarm_is_told_with_its_member(etcd: Etcd) -> None:
    """A full disk stops a cluster's writes long before it stops its members."""
    found = await look_at_etcd(etcd.check())
    await etcd.ask("/v3/maintenance/alarm", action="ACTIVATE", memberID=found.own, alarm="NOSPACE")
    sighting = await etcd.until(lambda seen: not seen.passed)
    assert "alarm NOSPACE of member etcd-0" in sighting.saw


async def test_a_learner_keeps_the_others_from_leaving(etcd: Etcd) -> None:
    """A member that doesn't vote yet is a change under way."""
    await etcd.ask("/v3/cluster/member/add", peerURLs=[f"http://{HOST}:9"], isLearner=True)
    sighting = await etcd.until(lambda seen: not seen.passed, leaving=True)
    assert "is a learner" in sighting.saw


async def test_a_stranger_sees_nothing(etcd: Etcd) -> None:
    """Without a client's certificate the look itself fails."""
    check = EtcdCheck(endpoint=etcd.members[0].url, ca=str(etcd.pki.ca))
    with pytest.raises(LookError):
        await look_at_etcd(check)
