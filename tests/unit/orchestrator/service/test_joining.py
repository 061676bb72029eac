"""Enrolling in the whole service: what operators are refused, and what stays as it was then."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from broker.ids import ClusterName, InstanceId, OrchestratorName, Role
from broker.signing import SigningKey
from orchestrator.adapters.local_ca import LocalAuthority, LocalCa
from orchestrator.certificates import CertificateError
from orchestrator.domain.joining import TokenState
from orchestrator.domain.views import Selector
from orchestrator.operations import EventFilter, JoinAnswer, JoinRequest, RefusedError, TokenRequest
from orchestrator.service.assembly import Service
from orchestrator.service.joining import Doorway, JoiningService
from tests.unit.orchestrator.service.stage import ScriptedWing, Stage, tail, until
from wing.join_files import host_keys

WANTED = TokenRequest(
    instance=InstanceId("new-1"),
    role=Role("worker"),
    pool="",
    labels={},
    node=None,
    addresses=(),
    life_s=3600,
    requested_by="ann",
)


class Desk:
    """The service's joining, with an authority in a test's folder."""

    def __init__(self, service: Service, folder: Path) -> None:
        made = iter(range(1, 250))
        self.authority = LocalAuthority(LocalCa.create(folder / "ca"))
        doorway = Doorway(
            authority=self.authority,
            url="https://bastion:8445",
            entropy=lambda size: bytes([next(made)]) * size,
            cluster=ClusterName("c"),
            broker_host="bastion",
            broker_port=8883,
            orchestrators={OrchestratorName("o_1"): "key"},
        )
        self.faces = JoiningService(service.core, doorway)
        self._service = service
        self._folder = folder

    async def token(self, request: TokenRequest = WANTED) -> str:
        return (await self.faces.token(request)).token or ""

    async def join(self, token: str, host: str = "h", key: str | None = None) -> JoinAnswer:
        home = self._folder / host
        home.mkdir(exist_ok=True)
        keys = host_keys(home)
        signing = key or keys.signing.public.to_base64()
        return await self.faces.join(
            JoinRequest(token=token, csr=keys.request(), signing_key=signing), peer="p"
        )

    def enrolled(self) -> Sequence[str]:
        return sorted(self._service.core.state.instances)


@pytest.fixture
async def stage() -> Stage:
    """A fleet of two, by the roster."""
    made = Stage(wings=2)
    await made.begin()
    return made


async def refused(kind: str, asked: object) -> str:
    """Return why something that was asked is refused, which has to be of that kind."""
    with pytest.raises(RefusedError) as caught:
        await asked  # type: ignore[misc] # a coroutine
    assert caught.value.kind == kind
    return caught.value.detail


async def test_who_joins_is_there_and_known_by_its_key(stage: Stage, tmp_path: Path) -> None:
    """From the journal too, after a restart; the token shows as used."""
    async with stage.orchestrator(tmp_path) as service:
        desk = Desk(service, tmp_path)
        answer = await desk.join(await desk.token())
        assert (answer.instance, answer.pool, answer.broker_host) == ("new-1", "worker", "bastion")
        assert [view.state for view in await desk.faces.tokens()] == [TokenState.USED]
    async with stage.orchestrator(tmp_path) as service:
        who = {view.instance: view.joined for view in await service.joining.enrolled()}
    assert who == {"new-1": True, **{wing.id: False for wing in stage.wings}}


async def test_nobody_joins_as_who_stands_in_the_roster(stage: Stage, tmp_path: Path) -> None:
    """That file would take it back; nor under a Node that is another's, nor with another's key."""
    async with stage.orchestrator(tmp_path) as service:
        desk, listed = Desk(service, tmp_path), stage.wings[0]
        why = await refused("in-roster", desk.token(replace(WANTED, instance=listed.id)))
        assert "stands in the roster file" in why
        await refused("node-taken", desk.token(replace(WANTED, node=listed.id)))
        token = await desk.token()
        await refused("key-taken", desk.join(token, key=listed.enrolment.key))
        assert await desk.join(token), "and the token is not spent by that"
        await refused("in-roster", desk.faces.revoke(listed.id, requested_by="ann"))


async def test_a_request_that_is_none_spends_nothing(stage: Stage, tmp_path: Path) -> None:
    """What is wrong with it is said."""
    async with stage.orchestrator(tmp_path) as service:
        desk = Desk(service, tmp_path)
        token = await desk.token()
        assert "signing_key" in await refused("bad-key", desk.join(token, key="no key"))
        good = SigningKey.generate().public.to_base64()
        odd = JoinRequest(token=token, csr="no request", signing_key=good)
        assert "csr" in await refused("bad-request", desk.faces.join(odd, peer="p"))
        assert [view.state for view in await desk.faces.tokens()] == [TokenState.OPEN]


async def test_a_revoked_token_lets_nobody_in(stage: Stage, tmp_path: Path) -> None:
    """Neither one that was open nor one that was used; an instance that never was is named."""
    async with stage.orchestrator(tmp_path) as service:
        desk = Desk(service, tmp_path)
        first, second = await desk.token(), await desk.token()
        await desk.join(first)
        view = await desk.faces.revoke(WANTED.instance, requested_by="ann")
        assert (view.tokens, view.enrolled) == (1, True)
        assert WANTED.instance not in desk.enrolled()
        for token in (first, second):
            await refused("not-admitted", desk.join(token))
        await refused("unknown-instance", desk.faces.revoke(WANTED.instance, requested_by="ann"))


async def test_without_a_doorway_no_token_is_made(stage: Stage, tmp_path: Path) -> None:
    """It says what the configuration lacks; a life that is too long is refused as well."""
    async with stage.orchestrator(tmp_path) as service:
        assert "[authority]" in await refused("no-door", service.joining.token(WANTED))
        desk = Desk(service, tmp_path)
        await refused("bad-life", desk.token(replace(WANTED, life_s=8 * 86400)))
        await refused("bad-life", desk.token(replace(WANTED, life_s=0)))


async def test_each_refusal_is_told_with_its_reason(stage: Stage, tmp_path: Path) -> None:
    """In the tail, under the instance whose secret was shown; of a guess nothing but its id is known."""
    async with stage.orchestrator(tmp_path) as service:
        desk, listed = Desk(service, tmp_path), stage.wings[0]
        token = await desk.token()
        prefix, name, secret, authority = token.split(".")
        await refused("not-admitted", desk.join(f"{prefix}.{name}.{secret}.{'0' * 64}"))
        await refused("not-admitted", desk.join(f"{prefix}.{name}.{'A' * 43}.{authority}"))
        await refused("key-taken", desk.join(token, key=listed.enrolment.key))
        await desk.join(token)
        await refused("not-admitted", desk.join(token, host="another"))
        await refused("not-admitted", desk.join("tmk1.half"))
        events = [event for event in await tail(service) if event.kind == "enrolment_refused"]
    told = [(event.body["reason"].partition(" ")[0], event.instance) for event in events]
    assert told == [("foreign:", None), ("wrong", None), ("key-taken:", "new-1"), ("used", "new-1")]
    assert secret not in repr(events)


async def test_nobody_fills_the_tail_from_outside(stage: Stage, tmp_path: Path) -> None:
    """A hundred refusals are told, and then one in ten seconds; the others are in the log alone."""
    async with stage.orchestrator(tmp_path) as service:
        desk = Desk(service, tmp_path)
        *parts, authority = (await desk.token()).split(".")
        guess = f"{parts[0]}.{parts[1]}.{'A' * 43}.{authority}"
        for _ in range(105):
            await refused("not-admitted", desk.join(guess))
        kinds = [event.kind for event in await tail(service)]
        assert kinds.count("enrolment_refused") == 100


async def test_joining_and_leaving_is_found_by_the_instance(stage: Stage, tmp_path: Path) -> None:
    """As `tarmak events --instance` asks for it."""
    async with stage.orchestrator(tmp_path) as service:
        desk = Desk(service, tmp_path)
        await desk.join(await desk.token())
        await desk.faces.revoke(WANTED.instance, requested_by="ann")
        query = EventFilter(instances=(WANTED.instance,))
        kinds = [event.kind async for event in service.tail.events(query, follow=False)]
    assert kinds == [
        *("token_made", "instance_enrolled", "instance_joined"),
        *("instance_revoked", "enrolment_revoked"),
    ]


@pytest.mark.looptime
async def test_what_the_host_says_whose_place_was_taken_is_no_forgery(stage: Stage, tmp_path: Path) -> None:
    """It is dropped and counted apart, so that nobody looks for an attacker; a stranger's still counts."""
    async with stage.orchestrator(tmp_path) as service:
        desk = Desk(service, tmp_path)
        await desk.join(await desk.token())
        old = ScriptedWing(stage.broker, WANTED.instance, key=host_keys(tmp_path / "h").signing)
        stage.wings = [old]
        async with stage.alive():
            await until(service, "instance_online")
            await desk.join(await desk.token(), host="rebuilt")
            await old.birth()
            stranger = ScriptedWing(stage.broker, WANTED.instance, mesh=old.mesh)
            await stranger.birth()
            await asyncio.sleep(1)
        counters = service.core.state.counters
        assert (counters["former_key"], counters["bad_signature_presence"]) == (1, 1)
        new = ScriptedWing(stage.broker, WANTED.instance, key=host_keys(tmp_path / "rebuilt").signing)
        stage.wings = [new]
        async with stage.alive():
            await asyncio.sleep(1)
            (pong,) = await service.fleet.ping(Selector(instances=(WANTED.instance,)), timeout_s=5)
        assert pong.error is None


async def test_an_authority_that_is_away_costs_no_token(stage: Stage, tmp_path: Path) -> None:
    """The host asks again, and is enrolled once."""
    async with stage.orchestrator(tmp_path) as service:
        desk = Desk(service, tmp_path)
        token, issue = await desk.token(), desk.authority.issue

        async def away(_request: bytes, **_more: object) -> bytes:
            raise CertificateError(reason="sealed")

        desk.authority.issue = away  # type: ignore[method-assign] # for one question
        await refused("not-signed", desk.join(token))
        desk.authority.issue = issue  # type: ignore[method-assign] # and it is back
        assert (await desk.join(token)).instance == WANTED.instance
        kinds = [event.kind for event in await tail(service)]
        assert kinds.count("instance_joined") == 1


@pytest.mark.parametrize("life_s", [0, -1, 1e308, 8 * 86400])
async def test_a_token_is_for_now(stage: Stage, tmp_path: Path, life_s: float) -> None:
    """Neither for no time nor for ever."""
    async with stage.orchestrator(tmp_path) as service:
        await refused("bad-life", Desk(service, tmp_path).token(replace(WANTED, life_s=life_s)))
