"""The join door: no certificate is asked for, little is read, and nobody knocks too often."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp
import pytest

from broker.ids import InstanceId, OrchestratorName, Role
from orchestrator.adapters.local_ca import LocalCa
from orchestrator.api.join_door import (
    FORGIVEN_AFTER_S,
    MAX_BODY,
    MOST_PEERS,
    MOST_REFUSALS,
    Patience,
    open_join_door,
)
from orchestrator.operations import JoinAnswer, JoinRequest, RefusedError

REQUEST = JoinRequest(token="tmk1.t", csr="csr", signing_key="key")
ANSWER = JoinAnswer(
    cluster="c",
    instance=InstanceId("worker-1"),
    role=Role("worker"),
    pool="p",
    labels={"zone": "a"},
    node=None,
    certificate="certificate",
    ca="ca",
    broker_host="h",
    broker_port=1,
    orchestrators={OrchestratorName("o_1"): "k"},
)


@dataclass
class MemoryJoins:
    """Lets everybody in, or nobody."""

    ca: bytes = b""
    refusal: RefusedError | None = None
    asked: list[tuple[JoinRequest, str]] = field(default_factory=list)

    async def authority(self) -> bytes:
        return self.ca

    async def join(self, request: JoinRequest, *, peer: str) -> JoinAnswer:
        self.asked.append((request, peer))
        if self.refusal is not None:
            raise self.refusal
        return ANSWER


@pytest.fixture
def joins() -> MemoryJoins:
    return MemoryJoins()


@pytest.fixture
async def door(tmp_path: Path, joins: MemoryJoins) -> AsyncIterator[aiohttp.ClientSession]:
    authority = LocalCa.create(tmp_path / "ca")
    joins.ca = authority.certificate.read_bytes()
    own = authority.issue_server("door", hosts=["127.0.0.1"]).write(tmp_path)
    trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=authority.certificate))
    async with (
        open_join_door(joins, host="127.0.0.1", port=0, certificate=own.certificate, key=own.key) as port,
        aiohttp.ClientSession(f"https://127.0.0.1:{port}", connector=trust) as session,
    ):
        yield session


async def test_a_host_without_a_certificate_is_heard(door: aiohttp.ClientSession, joins: MemoryJoins) -> None:
    """What it sends is passed on with where it comes from, and answered as it is."""
    async with door.post("/join", json=asdict(REQUEST)) as response:
        assert (response.status, await response.json()) == (200, asdict(ANSWER))
    assert joins.asked == [(REQUEST, "127.0.0.1")]


async def test_the_authority_is_shown_to_anybody(door: aiohttp.ClientSession, joins: MemoryJoins) -> None:
    """It is public, and the token's hash of it is what proves it."""
    async with door.get("/ca") as response:
        assert await response.json() == {"ca": joins.ca.decode()}


async def test_a_refusal_is_a_problem(door: aiohttp.ClientSession, joins: MemoryJoins) -> None:
    """With what to do about it."""
    joins.refusal = RefusedError(kind="k", status=403, title="t", detail="d", action="a")
    async with door.post("/join", json=asdict(REQUEST)) as response:
        found = await response.json(content_type="application/problem+json")
    assert (response.status, found["kind"], found["action"]) == (403, "k", "a")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"token": "t"}', 400),
        (b'{"tokn": "t"}', 400),
        (b"x" * MAX_BODY * 2, 413),
    ],
)
async def test_what_is_no_request_reaches_nobody(
    door: aiohttp.ClientSession, joins: MemoryJoins, body: bytes, status: int
) -> None:
    """Nor what is too large to be one."""
    async with door.post("/join", data=body) as response:
        assert response.status == status
    assert joins.asked == []


async def test_who_is_refused_often_has_to_wait(door: aiohttp.ClientSession, joins: MemoryJoins) -> None:
    """It is not even heard then."""
    joins.refusal = RefusedError(kind="k", status=403, title="t", detail="d", action="a")
    for status in (*[403] * MOST_REFUSALS, 429, 429):
        async with door.post("/join", json=asdict(REQUEST)) as response:
            assert response.status == status
    assert len(joins.asked) == MOST_REFUSALS


def test_patience_returns_after_a_while() -> None:
    """Each peer's by itself; the one longest unseen is forgotten, whoever knocks."""
    now = 0.0
    patience = Patience(lambda: now)
    for _ in range(MOST_REFUSALS):
        patience.refused("a")
    assert (patience.is_over("a"), patience.is_over("b")) == (True, False)
    now += FORGIVEN_AFTER_S
    assert not patience.is_over("a")
    patience.refused("a")
    assert not patience.is_over("a"), "it counts from the beginning"
    for number in range(MOST_PEERS):
        patience.refused(f"other-{number}")
    assert len(patience._refused) == MOST_PEERS


async def test_nothing_else_is_behind_it(door: aiohttp.ClientSession) -> None:
    """No bundle, no API."""
    for path in ("/v1/status", "/bundles/sha256:0", "/"):
        async with door.get(path) as response:
            assert response.status == 404
