"""The host's side of the join door: it is trusted only as far as the token says, and told the secret after.

The token names the authority by the SHA-256 of its certificate. So that is asked for first, from whoever
answers; if it is the right one, the door must prove by it who it is, and only then the token is sent. Nothing
here is part of the resident wing.
"""

import hashlib
import http.client
import json
import ssl
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

T = TypeVar("T")

ANSWER_S: Final = 30.0
MOST_BYTES: Final = 64 * 1024
REFUSED_FROM: Final = 400


class JoinError(Exception):
    """Joining did not succeed: what happened, and what to do."""

    def __init__(self, what: str, *, action: str) -> None:
        self.what = what
        self.action = action
        super().__init__(f"{what}; {action}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorPlace:
    """Where a door is."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        """Return the place that `url` (https://HOST[:PORT]) names; raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(f"{url!r} is no door's: it must be https://HOST:PORT")
        return cls(host=parts.hostname, port=parts.port or 443)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a host says: its token, a certificate request (PEM), and its public signing key (base64)."""

    token: str = field(repr=False)
    csr: str
    signing_key: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the door says to whom it lets in; unknown fields of a later orchestrator are no matter."""

    cluster: str
    instance: str
    role: str
    pool: str
    labels: dict[str, str]
    node: str | None
    broker_host: str
    broker_port: int
    orchestrators: dict[str, str]
    certificate: str
    ca: str


class _Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the door says of its authority."""

    ca: str


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal (RFC 9457)."""

    title: str = "refused"
    detail: str = "no reason is given"
    action: str = "see the orchestrator's log"


def knock(place: DoorPlace, request: Request, *, authority: str) -> Answer:
    """Join by the door at `place`, whose authority's certificate has that SHA-256; raises JoinError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=_authority(place, authority))
    return _understood(place, _exchange(place, context, "POST", "/join", asdict(request)), Answer)


def _authority(place: DoorPlace, expected: str) -> bytes:
    """Return the certificate (DER) of the authority that the token names, as the door shows it.

    The connection over which it comes proves nothing: the certificate's hash does. So the very bytes that
    were hashed are returned: a text that begins with the right certificate may hold others behind it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    shown = _understood(place, _exchange(place, context, "GET", "/ca", None), _Shown)
    try:
        der = ssl.PEM_cert_to_DER_cert(shown.ca)
    except ValueError as error:
        raise _strange(place, "what it shows is no authority's certificate") from error
    if hashlib.sha256(der).hexdigest() != expected:
        what = f"{place} is not of the cluster that made the token: its authority is another one"
        raise JoinError(what, action="nothing was told to it; check the url, and ask for a new token")
    return der


def _exchange(
    place: DoorPlace, context: ssl.SSLContext, method: str, path: str, plain: Any
) -> tuple[int, bytes]:
    body = None if plain is None else json.dumps(plain).encode()
    connection = http.client.HTTPSConnection(place.host, place.port, timeout=ANSWER_S, context=context)
    with closing(connection):
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read(MOST_BYTES + 1)
        except ssl.SSLCertVerificationError as error:
            what = f"{place} does not prove who it is: {error.verify_message}"
            action = "its certificate has to be of the token's authority, and for the host in `url`"
            raise JoinError(what, action=action) from error
        except (OSError, http.client.HTTPException) as error:
            what = f"{place} can't be reached: {str(error) or type(error).__name__}"
            action = "is the orchestrator up, and its join door reached from here?"
            raise JoinError(what, action=action) from error
    return response.status, answer


def _understood(place: DoorPlace, answer: tuple[int, bytes], form: type[T]) -> T:
    """Return an answer as `form`; raises JoinError for a refusal, and for what is not understood."""
    status, content = answer
    try:
        if status < REFUSED_FROM:
            return msgspec.json.decode(content, type=form)
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.MsgspecError as error:
        raise _strange(place, f"HTTP {status}: {error}") from error
    raise JoinError(f"{problem.title}: {problem.detail}", action=problem.action)


def _strange(place: DoorPlace, reason: str) -> JoinError:
    what = f"{place} does not answer as a join door would: {reason}"
    return JoinError(what, action="see whether the url is right, and both have the same version of Tarmak")
