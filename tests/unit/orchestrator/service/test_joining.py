"""Enrolling in the whole service: what operators are refused, and what stays as it was then."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from broker.ids import ClusterName, InstanceId, OrchestratorName, Role
from broker.signing import SigningKey
from orchestrator.adapters.local_ca import LocalAuthority, LocalCa
from orchestrator.domain.joining import TokenState
from orchestrator.operations import JoinAnswer, JoinRequest, RefusedError, TokenRequest
from orchestrator.service.assembly import Service
from orchestrator.service.joining import Doorway, JoiningService
from tests.unit.orchestrator.service.stage import Stage
from wing.join import _request, _tls_key

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
        doorway = Doorway(
            authority=LocalAuthority(LocalCa.create(folder / "ca")),
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
        tls = _tls_key(self._folder / f"{host}.key")
        file = self._folder / f"{host}.sign"
        if not file.exists():
            file.write_bytes(SigningKey.generate().to_pem())
        signing = key or SigningKey.from_pem(file.read_bytes()).public.to_base64()
        return await self.faces.join(
            JoinRequest(token=token, csr=_request(tls), signing_key=signing), peer="p"
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
