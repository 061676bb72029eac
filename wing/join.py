"""`wing join`: a host becomes an instance, with a token that is good once and keys that never leave it.

Nothing is believed before it is proved: the token names the authority by its certificate's SHA-256, so the
door is known to be the cluster's own before it is told the secret. Keys are made first and kept, so that an
answer that was lost can be asked for again; `wing.toml` is written last, so that its presence means joined.
"""

import argparse
import hashlib
import http.client
import json
import os
import ssl
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.signing import SigningKey
from wing.config import ConfigError

ANSWER_S: Final = 30.0
MOST_ANSWER: Final = 64 * 1024
PARTS: Final = 4


class JoinError(Exception):
    """A host could not join: why, and what to do."""

    def __init__(self, *, reason: str, action: str) -> None:
        self.reason = reason
        self.action = action
        super().__init__(f"{reason}; {action}" if action else reason)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """`join.toml`: where the door is, and the token; `authority` is what the token says of that."""

    url: str
    token: str
    authority: str

    @classmethod
    def read(cls, file: Path) -> "Invitation":
        """Return what `file` says; raises ConfigError, also for a file that others may read."""
        try:
            if file.stat().st_mode & 0o077:
                raise ConfigError(file=file, key="", reason=f"others may read it: chmod 600 {file}")
            plain = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(file=file, key="", reason=error.strerror or str(error)) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(file=file, key="", reason=f"not TOML: {error}") from error
        unknown = sorted(set(plain) - {"url", "token"})
        if unknown:
            raise ConfigError(file=file, key=unknown[0], reason="no such key; there are url and token")
        url, token = (_text(file, plain, key) for key in ("url", "token"))
        if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
            raise ConfigError(file=file, key="url", reason="must be https://HOST:PORT")
        parts = token.split(".")
        if len(parts) != PARTS:
            raise ConfigError(file=file, key="token", reason="no token; `tarmak enrol token` makes one")
        return cls(url=url, token=token, authority=parts[-1])


def join(asked: argparse.Namespace) -> int:
    """Join as `asked`; returns the exit code."""
    if asked.config.exists():
        _say(f"{asked.config} is there: this host has joined already")
        asked.file.unlink(missing_ok=True)
        return 0
    invitation = Invitation.read(asked.file)
    try:
        answer = _joined(invitation, asked.config.parent)
    except (JoinError, OSError) as error:
        _say(str(error))
        return 1
    asked.file.unlink(missing_ok=True)
    _say(f"joined {answer.cluster} as {answer.instance}, role {answer.role}")
    return 0


def _joined(invitation: Invitation, home: Path) -> Answer:
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    tls, signing = _tls_key(home / "wing.key"), _signing_key(home / "signing.key")
    authority = _authority(invitation)
    answer = _asked(invitation, authority, _request(tls), signing.public.to_base64())
    _check(answer, tls, authority)
    _put(home / "ca.pem", answer.ca, mode=0o644)
    _put(home / "wing.pem", answer.certificate, mode=0o644)
    _put(home / "wing.toml", _config(answer), mode=0o600)
    return answer


def _tls_key(file: Path) -> ec.EllipticCurvePrivateKey:
    if file.exists():
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
    made = ec.generate_private_key(ec.SECP256R1())
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    _put(file, made.private_bytes(serialization.Encoding.PEM, form, plain).decode(), mode=0o600)
    return made


def _signing_key(file: Path) -> SigningKey:
    if not file.exists():
        _put(file, SigningKey.generate().to_pem().decode(), mode=0o600)
    return SigningKey.from_pem(file.read_bytes())


def _request(key: ec.EllipticCurvePrivateKey) -> str:
    # Whose certificate it becomes is the token's to say; a request needs some name.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wing")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _authority(invitation: Invitation) -> bytes:
    """Return the certificate (DER) of the authority that the token names, as the door shows it.

    The connection over which it comes proves nothing: the certificate's hash does. So the very bytes that
    were hashed are returned: a text that begins with the right certificate may hold others behind it.
    """
    unproved = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unproved.check_hostname, unproved.verify_mode = False, ssl.CERT_NONE
    answer = _over(invitation, unproved, "GET", "/ca", None)
    found = answer.get("ca")
    try:
        der = ssl.PEM_cert_to_DER_cert(found if isinstance(found, str) else "")
    except ValueError as error:
        raise JoinError(
            reason=f"{invitation.url} shows no authority", action="is it the join door?"
        ) from error
    if hashlib.sha256(der).hexdigest() != invitation.authority:
        reason = f"{invitation.url} is not of the cluster that made the token: its authority is another one"
        raise JoinError(reason=reason, action="check the url, and ask for a new token")
    return der


def _asked(invitation: Invitation, authority: bytes, csr: str, signing_key: str) -> Answer:
    context = ssl.create_default_context(cadata=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    body = {"token": invitation.token, "csr": csr, "signing_key": signing_key}
    plain = _over(invitation, context, "POST", "/join", json.dumps(body))
    try:
        return msgspec.convert(plain, Answer)
    except msgspec.ValidationError as error:
        raise JoinError(
            reason=f"the door's answer is not understood: {error}", action="upgrade the wing"
        ) from error


def _over(
    invitation: Invitation, context: ssl.SSLContext, method: str, path: str, body: str | None
) -> Mapping[str, Any]:
    where = urlsplit(invitation.url)
    connection = http.client.HTTPSConnection(
        where.hostname or "", where.port or 443, timeout=ANSWER_S, context=context
    )
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        plain = json.loads(answer.read(MOST_ANSWER))
    except (OSError, http.client.HTTPException, ValueError) as error:
        action = "is the orchestrator up, and its join door reached from here?"
        raise JoinError(reason=f"{invitation.url}: {error}", action=action) from error
    finally:
        connection.close()
    if answer.status >= http.client.BAD_REQUEST:
        reason = f"{plain.get('title', 'refused')}: {plain.get('detail', answer.reason)}"
        raise JoinError(reason=reason, action=str(plain.get("action", "")))
    return dict(plain)


def _check(answer: Answer, key: ec.EllipticCurvePrivateKey, authority: bytes) -> None:
    """Refuse a certificate that is not this host's, or not of the authority that it trusts."""
    try:
        certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
        certificate.verify_directly_issued_by(x509.load_der_x509_certificate(authority))
        is_ours = certificate.public_key() == key.public_key()
    except (ValueError, TypeError, InvalidSignature) as error:
        raise JoinError(
            reason=f"the door gave no certificate of its authority: {error}", action=""
        ) from error
    if not is_ours:
        raise JoinError(reason="the door gave a certificate for another key", action="ask for a new token")


def _config(answer: Answer) -> str:
    """Return `wing.toml`; relative paths are from its folder."""
    lines = [
        *("# Written by `wing join`.", ""),
        *(
            f"{name} = {json.dumps(getattr(answer, name))}"
            for name in ("cluster", "instance", "role", "pool")
        ),
        *_table("labels", answer.labels),
        *_table(
            "broker",
            {
                "host": answer.broker_host,
                "port": answer.broker_port,
                "ca": "ca.pem",
                "certificate": "wing.pem",
                "key": "wing.key",
            },
        ),
        *_table("signing", {"key": "signing.key"}),
        *_table("signing.orchestrators", answer.orchestrators),
        *(_table("drain", {"node": answer.node}) if answer.node else ()),
    ]
    return "\n".join(lines) + "\n"


def _table(name: str, values: Mapping[str, str | int]) -> list[str]:
    if not values:
        return []
    return ["", f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in values.items())]


def _put(file: Path, text: str, *, mode: int) -> None:
    """Write a file whole or not at all, and to the disk; what is secret in it is never seen by others."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)


def _text(file: Path, plain: Mapping[str, Any], key: str) -> str:
    value = plain.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(file=file, key=key, reason="is needed, as text")
    return value.strip()


def _say(text: str) -> None:
    print(f"wing: {text}", file=sys.stderr)  # noqa: T201 - to a person, or the journal of wing-join.service
