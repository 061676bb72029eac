"""The local authority issues what TLS accepts, and shows its keys to nobody."""

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from orchestrator.adapters.local_ca import LocalAuthority, LocalCa
from orchestrator.certificates import CertificateError


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> str:
    """Let both shake hands in memory and return the client's common name."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    calling = client.wrap_bio(to_client, to_server, server_hostname=host)
    for side in (calling, serving, calling, serving):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    peer = serving.getpeercert(binary_form=True)
    assert peer is not None
    (name,) = x509.load_der_x509_certificate(peer).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


def contexts(authority: LocalCa, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a broker's context and that of `worker-1`."""
    broker = authority.issue_server("broker", hosts=["127.0.0.1", "bastion.example"]).write(folder)
    wing = authority.issue_client("worker-1").write(folder)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(broker.certificate, broker.key)
    server.load_verify_locations(authority.certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_cert_chain(wing.certificate, wing.key)
    client.load_verify_locations(authority.certificate)
    return server, client


@pytest.mark.parametrize("host", ["127.0.0.1", "bastion.example"])
def test_both_sides_know_each_other(tmp_path: Path, host: str) -> None:
    """A server is known by each of its names and addresses, a client by its common name."""
    server, client = contexts(LocalCa.create(tmp_path / "ca"), tmp_path)
    assert handshake(server, client, host) == "worker-1"


def test_another_name_is_not_the_servers(tmp_path: Path) -> None:
    """A server's certificate holds for no host that it was not issued for."""
    server, client = contexts(LocalCa.create(tmp_path / "ca"), tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client, "elsewhere.example")


def test_an_authority_goes_on_after_it_was_loaded(tmp_path: Path) -> None:
    """What a loaded authority issues is trusted with what it has issued before."""
    LocalCa.create(tmp_path / "ca")
    server, client = contexts(LocalCa.load(tmp_path / "ca"), tmp_path)
    assert handshake(server, client, "127.0.0.1") == "worker-1"


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    """Files with a key have mode 600, and no key is part of a repr."""
    issued = LocalCa.create(tmp_path / "ca").issue_client("worker-1")
    files = issued.write(tmp_path)
    for key in (files.key, tmp_path / "ca" / "ca.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(issued)


def test_a_renewed_certificate_takes_the_old_ones_place(tmp_path: Path) -> None:
    """Written again under its name, a certificate is replaced as a whole."""
    authority = LocalCa.create(tmp_path / "ca")
    first = authority.issue_client("worker-1").write(tmp_path)
    before = first.certificate.read_bytes()
    second = authority.issue_client("worker-1").write(tmp_path)
    assert second == first
    assert second.certificate.read_bytes() != before


def requested(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return a request that wishes for more than it is to get."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "orchestrator_1")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("bastion.example")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


async def test_a_request_gets_what_it_is_told_to_get(tmp_path: Path) -> None:
    """Its key is the request's; name, use and hosts are the caller's, whatever it wishes for."""
    ca = LocalCa.create(tmp_path / "ca")
    key = ec.generate_private_key(ec.SECP256R1())
    hosts = ("worker-1", "198.18.0.7")
    certificate = x509.load_pem_x509_certificate(
        await LocalAuthority(ca).issue(requested(key), name="worker-1", hosts=hosts)
    )
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.certificate.read_bytes()))
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=worker-1"
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["worker-1"]
    assert list(map(str, names.get_values_for_type(x509.IPAddress))) == ["198.18.0.7"]


def test_what_proves_no_key_is_no_request(tmp_path: Path) -> None:
    """Neither what is none, nor one that was altered, nor one for a key of another kind."""
    authority = LocalAuthority(LocalCa.create(tmp_path / "ca"))
    good = x509.load_pem_x509_csr(requested(ec.generate_private_key(ec.SECP256R1())))
    der = bytearray(good.public_bytes(Encoding.DER))
    der[-1] ^= 1
    altered = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)
    for wrong, reason in [
        (b"none", "no certificate request"),
        (altered, "not that of its key"),
        (requested(ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (requested(rsa.generate_private_key(65537, 2048)), "P-256"),
    ]:
        with pytest.raises(CertificateError, match=reason):
            authority.key_of(wrong)
