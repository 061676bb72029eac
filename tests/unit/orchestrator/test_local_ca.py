"""The local authority issues what TLS accepts, and shows its keys to nobody."""

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from orchestrator.adapters.local_ca import LocalCa


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
