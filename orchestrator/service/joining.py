"""How hosts come to belong to the fleet: tokens for operators, certificates for those who show one.

A token is spent in the very transaction that enrols its host, so a crash leaves both done or neither. The
certificate is signed after that: whoever gets no answer asks again with the same keys, and is known by them.
"""

import hashlib
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from broker.errors import KeyFormatError
from broker.ids import ClusterName, InstanceId, OrchestratorName
from broker.messages import Report
from broker.signing import VerifyKey
from orchestrator.certificates import CertificateAuthority, CertificateError
from orchestrator.domain import joining
from orchestrator.domain.join_views import EnrolmentView, RevokedView, TokenView
from orchestrator.domain.joining import Admitted, JoinToken, Shown, TokenState, TurnedAway
from orchestrator.operations import JoinAnswer, JoinRequest, RefusedError, TokenRequest
from orchestrator.service.core import Core
from orchestrator.service.held import refuse_upgrading
from orchestrator.service.roster import let_go, take_in
from orchestrator.service.selecting import unknown_instance
from orchestrator.service.state import ClusterState, Work

log = structlog.get_logger(__name__)

PLAIN: Final = "this token is not accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doorway:
    """What it takes to let hosts in: who signs, and what all are told: where the broker is, whom to obey."""

    authority: CertificateAuthority
    entropy: Callable[[int], bytes]
    cluster: ClusterName
    broker_host: str
    broker_port: int
    orchestrators: Mapping[OrchestratorName, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Who asks to join: by which token, with which keys, and from where."""

    shown: Shown
    keys: str
    signing_key: str
    peer: str


class JoiningService:
    """The `Enrolments` and `Joins` faces; without a doorway nobody can join."""

    def __init__(self, core: Core, doorway: Doorway | None) -> None:
        self._core = core
        self._doorway = doorway

    async def token(self, request: TokenRequest) -> TokenView:
        """Make a token that is good once; refused where nobody could join with it."""
        life = timedelta(seconds=request.life_s)
        if not timedelta() < life <= joining.LONGEST_LIFE:
            raise _refused("bad-life", 400, f"a token can't last {life}", "choose up to 7 days")
        doorway = self._open()
        certificate = await doorway.authority.certificate()
        at = self._core.clock.now()
        shown = Shown(
            id=doorway.entropy(joining.ID_BYTES).hex(),
            secret=joining.make_secret(doorway.entropy(joining.SECRET_BYTES)),
            authority=hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode())).hexdigest(),
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
            expires_at=at + life,
        )

        def act(state: ClusterState, work: Work) -> TokenView:
            _refuse_listed(state, token)
            state.tokens[token.id] = work.batch.tokens[token.id] = token
            said = {"token": token.id, "instance": token.instance, "role": token.role, "by": token.made_by}
            state.emit(work, "token_made", at, None, expires_at=token.expires_at, **said)
            return _view(token, at, text=shown.text())

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
                raise _refused("in-roster", 409, detail, action)
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
            raise _turned_away(PLAIN)
        keys, signing_key = self._keys(authority, request)
        asked = _Asked(shown=shown, keys=keys, signing_key=signing_key, peer=peer)
        token = await self._core.call(lambda state, work: self._admit(state, work, asked))
        if isinstance(token, TurnedAway):
            raise _turned_away(token.reason if token.told else PLAIN)
        hosts = tuple(dict.fromkeys((token.instance, *token.addresses)))
        try:
            certificate = await authority.issue(request.csr.encode(), name=token.instance, hosts=hosts)
        except CertificateError as error:
            raise _refused("not-signed", 503, error.reason, "try again in a moment") from error
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

    def _admit(self, state: ClusterState, work: Work, asked: _Asked) -> JoinToken | TurnedAway:
        at = self._core.clock.now()
        verdict = joining.judge(state.tokens.get(asked.shown.id), asked.shown, asked.keys, at)
        if isinstance(verdict, Admitted) and verdict.again:
            known = state.instances.get(verdict.token.instance)
            if known is None or known.enrolment.key != asked.signing_key:
                verdict = TurnedAway(reason="another host has joined as this instance since", told=True)
        if isinstance(verdict, TurnedAway):
            said = {"token": asked.shown.id, "peer": asked.peer, "reason": verdict.reason}
            state.emit(work, "enrolment_refused", at, None, **said)
            log.warning("enrolment refused", **said)
            return verdict
        if not verdict.again:
            self._let_in(state, work, verdict.token, asked)
        return verdict.token

    def _let_in(self, state: ClusterState, work: Work, token: JoinToken, asked: _Asked) -> None:
        at, who, role = self._core.clock.now(), token.instance, token.role
        _refuse_listed(state, token)
        _refuse_known_key(state, who, asked.signing_key)
        state.tokens[token.id] = work.batch.tokens[token.id] = token
        if take_in(state, token.enrolment(asked.signing_key, at), work, at):
            self._core.sender.tell_role(role, Report())
        state.nodes.enrolled(work, at)
        self._core.believe()
        state.emit(work, "instance_joined", at, instance=who, role=role, token=token.id, peer=asked.peer)

    def _keys(self, authority: CertificateAuthority, request: JoinRequest) -> tuple[str, str]:
        """Return what names a host's keys, and its signing key as enrolments have it."""
        try:
            signing = VerifyKey.from_base64(request.signing_key).to_base64()
            return joining.keys_of(authority.key_of(request.csr.encode()), signing.encode()), signing
        except KeyFormatError as error:
            raise _refused(
                "bad-key", 400, f"signing_key: {error}", "send a raw Ed25519 key as base64"
            ) from error
        except CertificateError as error:
            raise _refused(
                "bad-request", 400, f"csr: {error.reason}", "send a PKCS#10 request as PEM"
            ) from error

    def _open(self) -> Doorway:
        if self._doorway is None:
            detail = "this orchestrator has no [authority] to sign certificates, and no [join] door"
            raise _refused(
                "no-door", 409, detail, "add both to orchestrator.toml, or enrol in the roster file"
            )
        return self._doorway


def _view(token: JoinToken, at: datetime, *, text: str | None = None) -> TokenView:
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
        token=text,
    )


def _refuse_listed(state: ClusterState, token: JoinToken) -> None:
    """Refuse to let anybody join as who stands in the roster file: that file would take it back."""
    known = state.instances.get(token.instance)
    if known is not None and not known.enrolment.joined:
        detail = f"{token.instance} stands in the roster file"
        raise _refused("in-roster", 409, detail, "take it out of the file first, or choose another id")
    node = token.node or token.instance
    for name, item in state.instances.items():
        if name != token.instance and item.enrolment.node_name == node:
            raise _refused("node-taken", 409, f"the Node {node} is {name}'s", "name another one with --node")


def _refuse_known_key(state: ClusterState, instance: InstanceId, key: str) -> None:
    owner = next((name for name, item in state.instances.items() if item.enrolment.key == key), None)
    if owner is not None and owner != instance:
        raise _refused(
            "key-taken", 409, f"that signing key is {owner}'s", "let the host make a key of its own"
        )


def _turned_away(reason: str) -> RefusedError:
    action = "ask for another one: tarmak enrol token --instance … --role …"
    return RefusedError(kind="not-admitted", status=403, title="Not admitted", detail=reason, action=action)


def _refused(kind: str, status: int, detail: str, action: str) -> RefusedError:
    title = "That can't be done"
    return RefusedError(kind=kind, status=status, title=title, detail=detail, action=action)
