"""Looks over HTTP, at servers that say what they are told to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from broker.messages import EtcdCheck, HttpCheck, VaultCheck
from wing.judgements import judged_vault
from wing.probes import LookError, look_at_etcd, look_at_url, look_at_vault

Said = Mapping[str, tuple[int, object]]


@contextlib.asynccontextmanager
async def server(said: Said) -> AsyncIterator[str]:
    """Serve JSON with a status for each path; yield the address."""

    async def answer(request: web.Request) -> web.Response:
        status, body = said[request.path]
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    async with TestServer(app) as running:
        yield str(running.make_url("")).rstrip("/")


HEALTH, LEADER = "/v1/sys/health", "/v1/sys/leader"
UP = {"initialized": True, "sealed": False, "standby": True}


@pytest.mark.parametrize(
    ("said", "saw"),
    [
        (
            {HEALTH: (429, UP), LEADER: (200, {"ha_enabled": True, "leader_address": "https://b"})},
            "unsealed, with a leader",
        ),
        ({HEALTH: (200, UP), LEADER: (200, {"ha_enabled": False})}, "unsealed, with a leader"),
        (
            {HEALTH: (429, UP), LEADER: (200, {"ha_enabled": True, "leader_address": ""})},
            "no leader is known",
        ),
        (
            {HEALTH: (503, {"initialized": True, "sealed": True})},
            "sealed: it waits for a person to unseal it",
        ),
        ({HEALTH: (501, {"initialized": False, "sealed": True})}, "not initialised"),
    ],
)
async def test_vault_says_how_it_is_in_its_body(said: Said, saw: str) -> None:
    """Its statuses differ by the roles of servers, and none of them is an error here."""
    async with server(said) as url:
        assert judged_vault(await look_at_vault(VaultCheck(endpoint=url))).saw == saw


async def test_etcd_is_read_through_its_gateway() -> None:
    """Health, members and alarms; a member of several addresses is asked at each until one answers."""
    said: dict[str, tuple[int, object]] = {
        "/health": (200, {"health": "true", "reason": ""}),
        "/v3/maintenance/alarm": (200, {"alarms": [{"memberID": "2", "alarm": "CORRUPT"}]}),
    }
    async with server(said) as url:
        members = [
            {"ID": "1", "name": "a", "clientURLs": [url]},
            {"ID": "2", "name": "b", "clientURLs": ["http://127.0.0.1:1", url]},
            {"ID": "3", "isLearner": True},
        ]
        said["/v3/cluster/member/list"] = (200, {"header": {"member_id": "1"}, "members": members})
        found = await look_at_etcd(EtcdCheck(endpoint=f"{url}/", leaving=True))
    assert (found.own, found.healthy, found.alarms) == ("1", True, ("CORRUPT of member b",))
    assert [(each.name, each.learner, each.healthy) for each in found.members] == [
        ("a", False, None),
        ("b", False, True),
        ("", True, False),
    ]


@pytest.mark.parametrize("said", [{"/health": (200, ["no", "map"])}, {"/health": (200, {"health": 7})}])
async def test_what_can_not_be_read_was_not_seen(said: Said) -> None:
    """Something else listens there; the look says what it answered."""
    async with server(said) as url:
        with pytest.raises(LookError, match="can't be read"):
            await look_at_etcd(EtcdCheck(endpoint=url))


ANSWERS = [(200, 200, "answered 200"), (503, 200, "answered 503, not 200"), (301, 301, "answered 301")]


@pytest.mark.parametrize(("status", "wanted", "saw"), ANSWERS)
async def test_a_get(status: int, wanted: int, saw: str) -> None:
    """The status decides; a redirect is an answer like any other."""
    async with server({"/ready": (status, {})}) as url:
        sighting = await look_at_url(HttpCheck(url=f"{url}/ready", status=wanted))
    assert (sighting.saw, sighting.passed) == (saw, status == wanted)


async def test_nobody_there() -> None:
    """A look that can't be made says why."""
    with pytest.raises(LookError):
        await look_at_url(HttpCheck(url="http://127.0.0.1:1/"))
    with pytest.raises(LookError, match=r"http://127\.0\.0\.1:1/v1/sys/health"):
        await look_at_vault(VaultCheck(endpoint="http://127.0.0.1:1"))


async def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    """A path of the check's that is wrong is the first thing that its author has to know."""
    missing = str(tmp_path / "ca.pem")
    with pytest.raises(LookError, match=r"ca\.pem"):
        await look_at_vault(VaultCheck(ca=missing))
    async with asyncio.timeout(60):
        with pytest.raises(LookError, match=r"ca\.pem"):
            await look_at_url(HttpCheck(url="https://127.0.0.1:1/", ca=missing))
