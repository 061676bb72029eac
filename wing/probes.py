"""Looks at what runs beside the wing over HTTP: an etcd member, Vault, anything that answers a GET.

Nothing here judges; what can't be looked at at all is a sighting of that. etcd speaks JSON through its own
gRPC gateway (https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/), so no gRPC is needed.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import aiohttp
import msgspec

from broker.messages import EtcdCheck, HttpCheck, VaultCheck
from wing.health import Sighting
from wing.judgements import EtcdSeen, Member, VaultSeen, seen

HEALTHY: Final = "true"

_T = TypeVar("_T")


class LookError(Exception):
    """Something could not be looked at, for `reason`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class _EtcdHealth(msgspec.Struct, frozen=True):
    health: str = ""
    reason: str = ""


class _EtcdHeader(msgspec.Struct, frozen=True):
    member_id: str = ""


class _EtcdMember(msgspec.Struct, frozen=True):
    id: str = msgspec.field(default="", name="ID")
    name: str = ""
    learner: bool = msgspec.field(default=False, name="isLearner")
    urls: tuple[str, ...] = msgspec.field(default=(), name="clientURLs")


class _EtcdMembers(msgspec.Struct, frozen=True):
    header: _EtcdHeader = _EtcdHeader()
    members: tuple[_EtcdMember, ...] = ()


class _EtcdAlarm(msgspec.Struct, frozen=True):
    member: str = msgspec.field(default="", name="memberID")
    alarm: str = ""


class _EtcdAlarms(msgspec.Struct, frozen=True):
    alarms: tuple[_EtcdAlarm, ...] = ()


class _VaultHealth(msgspec.Struct, frozen=True):
    initialized: bool = False
    sealed: bool = True


class _VaultLeader(msgspec.Struct, frozen=True):
    ha_enabled: bool = False
    leader_address: str = ""


async def look_at_etcd(check: EtcdCheck) -> EtcdSeen:
    """Return what the member at `check.endpoint` says; raises LookError."""
    async with _session(check.ca, check.certificate, check.key) as session:
        base = check.endpoint.rstrip("/")
        health = await _etcd_health(session, base)
        listed = await _asked(session, f"{base}/v3/cluster/member/list", {}, _EtcdMembers)
        alarms = await _asked(session, f"{base}/v3/maintenance/alarm", {"action": "GET"}, _EtcdAlarms)
        others = [member for member in listed.members if member.id != listed.header.member_id]
        answers = await asyncio.gather(*(_is_healthy(session, member) for member in others if check.leaving))
    said = dict(zip((member.id for member in others), answers, strict=False))
    return EtcdSeen(
        own=listed.header.member_id,
        healthy=health.health == HEALTHY,
        reason=health.reason or "it says so",
        members=tuple(
            Member(id=each.id, name=each.name, learner=each.learner, healthy=said.get(each.id))
            for each in listed.members
        ),
        alarms=tuple(f"{alarm.alarm} of member {_name(alarm.member, listed)}" for alarm in alarms.alarms),
    )


async def look_at_vault(check: VaultCheck) -> VaultSeen:
    """Return what Vault at `check.endpoint` says; raises LookError."""
    base = check.endpoint.rstrip("/")
    async with _session(check.ca) as session:
        health = await _asked(session, f"{base}/v1/sys/health", None, _VaultHealth)
        if not health.initialized or health.sealed:
            return VaultSeen(initialised=health.initialized, sealed=health.sealed, led=False)
        leader = await _asked(session, f"{base}/v1/sys/leader", None, _VaultLeader)
    led = not leader.ha_enabled or bool(leader.leader_address)
    return VaultSeen(initialised=True, sealed=False, led=led)


async def look_at_url(check: HttpCheck) -> Sighting:
    """Return what a GET of `check.url` saw; redirects are answers, not followed."""
    async with _session(check.ca) as session:
        try:
            async with session.get(check.url, allow_redirects=False) as response:
                status = response.status
        except (aiohttp.ClientError, OSError) as error:
            raise LookError(_words(error)) from error
    wrong = [] if status == check.status else [f"answered {status}, not {check.status}"]
    return seen(f"http {check.url}", wrong, f"answered {status}")


async def _etcd_health(session: aiohttp.ClientSession, base: str) -> _EtcdHealth:
    return await _asked(session, f"{base}/health", None, _EtcdHealth)


async def _is_healthy(session: aiohttp.ClientSession, member: _EtcdMember) -> bool:
    for url in member.urls:
        try:
            return (await _etcd_health(session, url.rstrip("/"))).health == HEALTHY
        except LookError:
            continue  # it may have more than one address
    return False


async def _asked(session: aiohttp.ClientSession, url: str, body: dict[str, str] | None, into: type[_T]) -> _T:
    """Return the JSON that is answered to a GET, or to a POST of `body`; the status says nothing more."""
    call = session.get(url) if body is None else session.post(url, data=json.dumps(body))
    try:
        async with call as response:
            raw = await response.read()
    except (aiohttp.ClientError, OSError) as error:
        raise LookError(f"{url}: {_words(error)}") from error
    try:
        return msgspec.json.decode(raw, type=into)
    except msgspec.MsgspecError as error:
        raise LookError(f"{url}: answered {raw[:80]!r}, which can't be read") from error


@asynccontextmanager
async def _session(
    ca: str | None, certificate: str | None = None, key: str | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    try:
        trust = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            trust.load_cert_chain(certificate, key)
    except OSError as error:
        files = ", ".join(file for file in (ca, certificate, key) if file)
        raise LookError(f"{files}: {_words(error)}") from error
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        yield session


def _name(member: str, listed: _EtcdMembers) -> str:
    return next((each.name for each in listed.members if each.id == member), member)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
