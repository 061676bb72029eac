"""A certificate authority of one's own, for a mesh on one machine and for tests.

The mesh speaks mutual TLS only, so even `tarmak dev up` needs certificates before the first message.
A site has Vault for that; on a laptop there is nothing, and a certificate that is kept in the
repository would be a secret in public that expires one day. So a private authority is made afresh,
in a directory of its own, and issues to whatever is started there. Keys are EC P-256, files with a
key in them have mode 600. It revokes nothing: throw its directory away instead.
"""

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from orchestrator.certificates import CertificateError
from puppet_bridge.atomic import write_whole

CA_CERTIFICATE: Final = "ca.pem"
CA_KEY: Final = "ca.key"
LIFE: Final = timedelta(days=365)
CA_LIFE: Final = timedelta(days=3650)
CLOCK_SKEW: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Where an identity's certificate and key were written."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and the key it is for, as PEM; the key is no part of the `repr`."""

    name: str
    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Issued(name={self.name!r})"

    def write(self, directory: Path) -> CertificateFiles:
        """Write `{name}.pem` and `{name}.key` (mode 600) into `directory`, each at once or not at all."""
        files = CertificateFiles(
            certificate=directory / f"{self.name}.pem", key=directory / f"{self.name}.key"
        )
        write_whole(files.key, self.key, mode=0o600)
        write_whole(files.certificate, self.certificate, mode=0o644)
        return files


class LocalCa:
    """Issues certificates for servers and clients, signed by a key that lives in `directory`."""

    def __init__(
        self, *, directory: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self._directory = directory
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, directory: Path, *, name: str = "Tarmak local CA") -> Self:
        """Make a new authority in `directory` (made with mode 700 if it is not there)."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(name, key)
        write_whole(directory / CA_KEY, _key_pem(key), mode=0o600)
        write_whole(directory / CA_CERTIFICATE, _pem(certificate), mode=0o644)
        return cls(directory=directory, certificate=certificate, key=key)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Return the authority that `create` left in `directory`; OSError or ValueError if there is none."""
        key = serialization.load_pem_private_key((directory / CA_KEY).read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{directory / CA_KEY}: not an elliptic curve key")  # noqa: TRY004
        certificate = x509.load_pem_x509_certificate((directory / CA_CERTIFICATE).read_bytes())
        return cls(directory=directory, certificate=certificate, key=key)

    @property
    def certificate(self) -> Path:
        """The file that holds the authority's own certificate: what everyone trusts."""
        return self._directory / CA_CERTIFICATE

    def issue_server(self, name: str, *, hosts: Sequence[str], life: timedelta = LIFE) -> Issued:
        """Return a certificate for a server that is reached as any of `hosts` (names or addresses)."""
        return self._issue(name, usage=ExtendedKeyUsageOID.SERVER_AUTH, hosts=hosts, life=life)

    def issue_client(self, name: str, *, life: timedelta = LIFE) -> Issued:
        """Return a certificate with which a client proves that it is `name` (the common name)."""
        return self._issue(name, usage=ExtendedKeyUsageOID.CLIENT_AUTH, hosts=(), life=life)

    def sign(self, request: bytes, *, name: str, hosts: Sequence[str], life: timedelta = LIFE) -> bytes:
        """Return a certificate (PEM) for the key of `request`, whose holder is `name` and nothing else.

        It is good as client and as server, since members of one cluster are both to each other.
        """
        key = _requested(request).public_key()
        both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        return _pem(self._signed(name, key, usages=both, hosts=hosts, life=life))

    def _issue(
        self, name: str, *, usage: x509.ObjectIdentifier, hosts: Sequence[str], life: timedelta
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(name, key.public_key(), usages=[usage], hosts=hosts, life=life)
        return Issued(name=name, certificate=_pem(certificate), key=_key_pem(key))

    def _signed(
        self,
        name: str,
        key: CertificatePublicKeyTypes,
        *,
        usages: Sequence[x509.ObjectIdentifier],
        hosts: Sequence[str],
        life: timedelta,
    ) -> x509.Certificate:
        builder = (
            _builder(name, self._certificate.subject, key, life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if hosts:
            alternatives = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self._key, hashes.SHA256())


class LocalAuthority:
    """`CertificateAuthority` on a `LocalCa`."""

    def __init__(self, ca: LocalCa) -> None:
        self._ca = ca

    async def certificate(self) -> bytes:
        """Return the authority's own certificate, as PEM."""
        return await asyncio.to_thread(self._ca.certificate.read_bytes)

    def key_of(self, request: bytes) -> bytes:
        """Return the public key (DER) of a certificate request; raises CertificateError."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return _requested(request).public_key().public_bytes(serialization.Encoding.DER, form)

    async def issue(self, request: bytes, *, name: str, hosts: Sequence[str]) -> bytes:
        """Return a certificate for the key of `request`, as PEM; raises CertificateError."""
        return self._ca.sign(request, name=name, hosts=hosts)


def _requested(request: bytes) -> x509.CertificateSigningRequest:
    """Return a request whose sender has proved to have the key, and whose key is as the mesh wants it."""
    try:
        found = x509.load_pem_x509_csr(request)
        proved = found.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(reason=f"no certificate request: {error}") from error
    if not proved:
        raise CertificateError(reason="the request's signature is not that of its key")
    key = found.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateError(reason="the request's key is not one on the curve P-256")
    return found


def _self_signed(name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _builder(name, _common_name(name), key.public_key(), CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _builder(
    name: str, issuer: x509.Name, key: CertificatePublicKeyTypes, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_common_name(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
