"""How hosts come to belong to the fleet: tokens for operators, certificates for those who show one.

A token is spent in the very transaction that enrols its host, so a crash leaves both done or neither. The
certificate is signed after that: whoever gets no answer asks again with the same keys, and is known by them.
"""

import hashlib
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from broker.bucket import Bucket
from broker.errors import KeyFormatError
from broker.ids import ClusterName, InstanceId, OrchestratorName
from broker.messages import Report
from broker.signing import VerifyKey
from orchestrator.certificates import CertificateAuthority, CertificateError
from orchestrator.domain import joining
from orchestrator.domain.join_views import EnrolmentView, RevokedView, TokenView
from orchestrator.domain.joining import Admitted, JoinToken, Shown, TokenState, TurnedAway
from orchestrator.operations import JoinAnswer, JoinRequest, RefusedError, TokenRequest
from orchestrator.service import join_refusals
from orchestrator.service.core import Core
from orchestrator.service.held import refuse_upgrading
from orchestrator.service.join_refusals import refused, turned_away
from orchestrator.service.roster import let_go, take_in
from orchestrator.service.selecting import unknown_instance
from orchestrator.service.state import ClusterState, Work

log = structlog.get_logger(__name__)

REFUSALS_TOLD: Final = Bucket(burst=100, per_s=0.1)
"""Refusals beyond that are logged, and no events: nobody shall fill the journal from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doorway:
    """What it takes to let hosts in: who signs, and what all are told: where the broker is, whom to obey."""

    authority: CertificateAuthority
    entropy: Callable[[int], bytes]
    url: str
    cluster: ClusterName
    broker_host: str
    broker_port: int
    orchestrators: Mapping[OrchestratorName, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Who asks to join: by which token, with which keys, from where; `ours` is our authority's name."""

    shown: Shown
    keys: str
    signing_key: str
    peer: str
    ours: str


class JoiningService:
    """The `Enrolments` and `Joins` faces; without a doorway nobody can join."""

    def __init__(self, core: Core, doorway: Doorway | None) -> None:
        self._core = core
        self._doorway = doorway
        self._told = REFUSALS_TOLD

    async def token(self, request: TokenRequest) -> TokenView:
        """Make a token that is good once; refused where nobody could join with it."""
        if not 0 < request.life_s <= joining.LONGEST_LIFE.total_seconds():
            detail = f"a token can't last {request.life_s:g} seconds"
            raise refused("bad-life", 400, detail, "choose up to 7 days")
        doorway = self._open()
        at = self._core.clock.now()
        shown = Shown(
            id=doorway.entropy(joining.ID_BYTES).hex(),
            secret=joining.make_secret(doorway.entropy(joining.SECRET_BYTES)),
            authority=await _named(doorway.authority),
        )
        token = JoinToken(
            id=shown.id,
            instance=request.instance,
            role=request.role,
            pool=request.pool,
            labels=request.labels,
            node=request.node,
            addresses=request.addresses,
            secret_hash=joining.hash_of(shown.secret),
            made_by=request.requested_by,
            made_at=at,
            expires_at=at + timedelta(seconds=request.life_s),
        )

        def act(state: ClusterState, work: Work) -> TokenView:
            conflict = join_refusals.conflict(state, token)
            if conflict is not None:
                raise conflict
            state.tokens[token.id] = work.batch.tokens[token.id] = token
            said = {"token": token.id, "instance": token.instance, "role": token.role, "by": token.made_by}
            state.emit(work, "token_made", at, None, expires_at=token.expires_at, **said)
            return replace(_view(token, at), token=shown.text(), url=doorway.url)

        return await self._core.call(act)

    async def tokens(self) -> Sequence[TokenView]:
        """Return the tokens that are kept, newest first."""
        at = self._core.clock.now()
        kept = sorted(
            self._core.state.tokens.values(), key=lambda each: (each.made_at, each.id), reverse=True
        )
        return [_view(token, at) for token in kept]

    async def enrolled(self) -> Sequence[EnrolmentView]:
        """Return who is enrolled, by id."""
        known = (self._core.state.instances[name].enrolment for name in sorted(self._core.state.instances))
        return [
            EnrolmentView(
                instance=each.id,
                role=each.role,
                pool=each.pool,
                joined=each.joined,
                enrolled_at=each.enrolled_at,
            )
            for each in known
        ]

    async def revoke(self, instance: InstanceId, *, requested_by: str) -> RevokedView:
        """Withdraw an instance's open tokens, and take it off the fleet if it has joined."""
        at = self._core.clock.now()

        def act(state: ClusterState, work: Work) -> RevokedView:
            known = state.instances.get(instance)
            kept = [token for token in state.tokens.values() if token.instance == instance]
            open_ones = [token for token in kept if token.state(at) is TokenState.OPEN]
            if known is None and not open_ones:
                raise unknown_instance(instance, state.instances)
            if known is not None and not known.enrolment.joined and not open_ones:
                detail = f"{instance} stands in the roster file"
                action = "take it out of the file, and send the daemon SIGHUP"
                raise refused("in-roster", 409, detail, action)
            enrolled = known is not None and known.enrolment.joined
            if enrolled:
                refuse_upgrading(instance, state)
            for token in kept:  # a used one too: it would still be good for the keys that used it
                del state.tokens[token.id]
                work.batch.withdrawn.add(token.id)
            if enrolled:
                let_go(state, instance, work, at)
                state.nodes.enrolled(work, at)
                self._core.believe()
            state.emit(
                work, "enrolment_revoked", at, instance=instance, tokens=len(open_ones), by=requested_by
            )
            return RevokedView(instance=instance, tokens=len(open_ones), enrolled=enrolled)

        return await self._core.call(act)

    async def authority(self) -> bytes:
        """Return the certificate (PEM) of the authority that everyone trusts."""
        return await self._open().authority.certificate()

    async def join(self, request: JoinRequest, *, peer: str) -> JoinAnswer:
        """Let a host in by its token, or raise a RefusedError of kind `not-admitted`."""
        doorway = self._open()
        authority = doorway.authority
        shown = joining.parse(request.token)
        if shown is None:
            log.warning("enrolment refused", reason="malformed: no token", peer=peer)
            raise turned_away()
        keys, signing_key = self._keys(authority, request)
        ours = await _named(authority)
        asked = _Asked(shown=shown, keys=keys, signing_key=signing_key, peer=peer, ours=ours)
        token = await self._core.call(lambda state, work: self._admit(state, work, asked))
        if isinstance(token, RefusedError):
            raise token
        hosts = tuple(dict.fromkeys((token.instance, *token.addresses)))
        try:
            certificate = await authority.issue(request.csr.encode(), name=token.instance, hosts=hosts)
        except CertificateError as error:
            raise refused("not-signed", 503, error.reason, "try again in a moment") from error
        return JoinAnswer(
            cluster=doorway.cluster,
            instance=token.instance,
            role=token.role,
            pool=token.pool or token.role,
            labels=token.labels,
            node=token.node,
            broker_host=doorway.broker_host,
            broker_port=doorway.broker_port,
            orchestrators=doorway.orchestrators,
            certificate=certificate.decode(),
            ca=(await authority.certificate()).decode(),
        )

    def _admit(self, state: ClusterState, work: Work, asked: _Asked) -> JoinToken | RefusedError:
        """Return the token by which a host is let in; a refusal is written before it is told."""
        at, token = self._core.clock.now(), state.tokens.get(asked.shown.id)
        verdict = joining.judge(token, asked.shown, asked.keys, at, authority=asked.ours)
        if isinstance(verdict, Admitted) and verdict.again:
            known = state.instances.get(verdict.token.instance)
            if known is None or known.enrolment.key != asked.signing_key:
                verdict = TurnedAway(reason="another host has joined as this instance since", told=True)
        if isinstance(verdict, TurnedAway):
            # Whose token it is tells only who has its secret: an id alone may be anybody's guess.
            self._refuse(state, work, asked, verdict.reason, token if verdict.told else None)
            return turned_away(verdict.reason) if verdict.told else turned_away()
        if verdict.again:
            return verdict.token
        conflict = join_refusals.conflict(state, verdict.token, asked.signing_key)
        if conflict is not None:
            self._refuse(state, work, asked, f"{conflict.kind}: {conflict.detail}", token)
            return conflict
        self._let_in(state, work, verdict.token, asked)
        return verdict.token

    def _refuse(
        self, state: ClusterState, work: Work, asked: _Asked, reason: str, token: JoinToken | None
    ) -> None:
        said = {"token": asked.shown.id, "peer": asked.peer, "reason": reason}
        if token is not None:
            said |= {"instance": token.instance, "role": token.role}
        log.warning("enrolment refused", **said)
        at = self._core.clock.now()
        room = self._told.take(at)
        if room is not None:
            self._told = room
            state.emit(work, "enrolment_refused", at, None, **said)

    def _let_in(self, state: ClusterState, work: Work, token: JoinToken, asked: _Asked) -> None:
        at, who, role = self._core.clock.now(), token.instance, token.role
        state.tokens[token.id] = work.batch.tokens[token.id] = token
        if take_in(state, token.enrolment(asked.signing_key, at), work, at):
            self._core.sender.tell(who, Report())
        state.nodes.enrolled(work, at)
        self._core.believe()
        state.emit(work, "instance_joined", at, instance=who, role=role, token=token.id, peer=asked.peer)
        log.info("instance joined", instance=who, role=role, token=token.id, peer=asked.peer)

    def _keys(self, authority: CertificateAuthority, request: JoinRequest) -> tuple[str, str]:
        """Return what names a host's keys, and its signing key as enrolments have it."""
        try:
            signing = VerifyKey.from_base64(request.signing_key).to_base64()
            return joining.keys_of(authority.key_of(request.csr.encode()), signing.encode()), signing
        except KeyFormatError as error:
            raise refused(
                "bad-key", 400, f"signing_key: {error}", "send a raw Ed25519 key as base64"
            ) from error
        except CertificateError as error:
            raise refused(
                "bad-request", 400, f"csr: {error.reason}", "send a PKCS#10 request as PEM"
            ) from error

    def _open(self) -> Doorway:
        if self._doorway is None:
            raise join_refusals.no_door()
        return self._doorway


async def _named(authority: CertificateAuthority) -> str:
    """Return an authority as tokens name it."""
    certificate = await authority.certificate()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode())).hexdigest()


def _view(token: JoinToken, at: datetime) -> TokenView:
    return TokenView(
        id=token.id,
        instance=token.instance,
        role=token.role,
        pool=token.pool or token.role,
        labels=token.labels,
        node=token.node,
        addresses=token.addresses,
        state=token.state(at),
        made_by=token.made_by,
        made_at=token.made_at,
        expires_at=token.expires_at,
        used_at=token.used_at,
    )
