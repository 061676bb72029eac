"""What a host that joins reads and writes: its keys, which never leave it, and all that makes it a wing.

A host may lose power at any point of it. So each file appears whole, the keys before they are told to
anybody, and the configuration, without which no wing starts, last of all.
"""

import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import tomli_w
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from broker.errors import KeyFormatError
from broker.signing import SigningKey
from puppet_bridge.atomic import fsync_folder, write_whole
from wing.config import ConfigError, load, load_keys
from wing.join_door import Answer, DoorPlace, JoinError

CA: Final = "ca.pem"
CERTIFICATE: Final = "wing.pem"
TLS_KEY: Final = "wing.key"
SIGNING_KEY: Final = "signing.key"
KEYS: Final = ("url", "token")
TOKEN: Final = re.compile(r"tmk1\.[0-9a-f]{12}\.[A-Za-z0-9_-]{43}\.([0-9a-f]{64})")
HEAD: Final = "# Written by `wing join`. It is yours now: nothing writes it again.\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """`join.toml`: where the door is, and the token; `authority` is what the token says of that."""

    place: DoorPlace
    token: str = field(repr=False)
    authority: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKeys:
    """The two private keys of a host."""

    tls: ec.EllipticCurvePrivateKey
    signing: SigningKey

    def request(self) -> str:
        """Return a certificate request (PEM); the orchestrator reads no name in it."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wing")])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        return builder.sign(self.tls, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def read_invitation(file: Path) -> Invitation:
    """Return what `file` says; raises ConfigError, also if others may read it."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        plain = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(file=file, key="", reason=error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(file=file, key="", reason=f"not TOML: {error}") from error
    if mode & 0o077:
        reason = f"others may read the token (mode {mode:o}): chmod 600 {file}, and better get a new one"
        raise ConfigError(file=file, key="", reason=reason)
    for key in plain:
        if key not in KEYS:
            raise ConfigError(file=file, key=key, reason="no such key; there are url and token")
    url, token = (_text(file, plain, key) for key in KEYS)
    found = TOKEN.fullmatch(token)
    if found is None:
        reason = "no token, or not a whole one; `tarmak enrol token` makes one"
        raise ConfigError(file=file, key="token", reason=reason)
    try:
        return Invitation(place=DoorPlace.of(url), token=token, authority=found[1])
    except ValueError as error:
        raise ConfigError(file=file, key="url", reason=str(error)) from error


def host_keys(folder: Path) -> HostKeys:
    """Return the keys in `folder`, made at the first try and kept for the next; raises ConfigError."""
    tls, signing = folder / TLS_KEY, folder / SIGNING_KEY
    if not tls.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        write_whole(tls, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    if not signing.exists():
        write_whole(signing, SigningKey.generate().to_pem(), mode=0o600)
    try:
        key = load_pem_private_key(tls.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(file=tls, key="", reason="not an unencrypted private key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(file=tls, key="", reason="not a key on an elliptic curve; move it away")
    try:
        return HostKeys(tls=key, signing=SigningKey.from_pem(signing.read_bytes()))
    except KeyFormatError as error:
        raise ConfigError(file=signing, key="", reason=str(error)) from error


def check(answer: Answer, keys: HostKeys) -> None:
    """Raise JoinError unless the certificate is for this host's key and the instance that it shall be."""
    try:
        certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
    except ValueError as error:
        raise _not_ours("it is no certificate in PEM") from error
    if certificate.public_key() != keys.tls.public_key():
        raise _not_ours("it is for another key")
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [name.value for name in names] != [answer.instance]:
        raise _not_ours(f"it is not for {answer.instance}")


def install(config: Path, answer: Answer) -> None:
    """Write all that the wing of `config` needs, `config` itself last; raises ConfigError and OSError."""
    folder = config.parent
    write_whole(folder / CA, answer.ca.encode(), mode=0o644)
    write_whole(folder / CERTIFICATE, answer.certificate.encode(), mode=0o644)
    draft = folder / f".{config.name}.join"
    write_whole(draft, (HEAD + wing_toml(answer)).encode(), mode=0o600)
    load_keys(draft, load(draft))  # before it can be taken for a configuration
    draft.replace(config)
    fsync_folder(folder)


def wing_toml(answer: Answer) -> str:
    """Return the configuration of the wing that an answer is for."""
    own = ("cluster", "instance", "role", "pool")
    table: dict[str, object] = {name: getattr(answer, name) for name in own}
    table["broker"] = {
        "host": answer.broker_host,
        "port": answer.broker_port,
        "ca": CA,
        "certificate": CERTIFICATE,
        "key": TLS_KEY,
    }
    table["signing"] = {"key": SIGNING_KEY, "orchestrators": answer.orchestrators}
    if answer.labels:
        table["labels"] = answer.labels
    if answer.node is not None:
        table["drain"] = {"node": answer.node}
    return tomli_w.dumps(table)


def _text(file: Path, plain: Mapping[str, object], key: str) -> str:
    found = plain.get(key)
    if not isinstance(found, str) or not found.strip():
        raise ConfigError(file=file, key=key, reason="is needed, as text")
    return found.strip()


def _not_ours(reason: str) -> JoinError:
    what = f"the certificate that was given can't be used: {reason}"
    return JoinError(what, action="see the orchestrator's log, and try again")
