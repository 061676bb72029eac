"""`wing join`, as far as it needs no door: what it reads, what it keeps, what it writes."""

import socket
import stat
from pathlib import Path

import pytest
import tomli_w
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from msgspec import structs

from broker.signing import SigningKey
from tests.unit.wing.wings import NOW
from wing.__main__ import main
from wing.config import ConfigError, load, load_keys
from wing.join_door import Answer, DoorPlace, JoinError
from wing.join_files import HostKeys, Invitation, check, host_keys, install, read_invitation

TOKEN = f"tmk1.{'0' * 12}.{'s' * 43}.{'a' * 64}"
GOOD = {"url": "https://bastion:8445", "token": TOKEN}
ANSWER = Answer(
    cluster="c",
    instance="worker-1",
    role="worker",
    pool="p",
    labels={"zone": "a", "a b.c": 'quoted "\u007f\\ \U0001f600'},
    node="ip-10-0-0-7",
    certificate="",
    ca="ca",
    broker_host="bastion",
    broker_port=8883,
    orchestrators={"orchestrator_1": SigningKey.generate().public.to_base64()},
)


def ticket(folder: Path, **changes: object) -> Path:
    file = folder / "join.toml"
    file.write_text(tomli_w.dumps({**GOOD, **changes}))
    file.chmod(0o600)
    return file


def issued(keys: HostKeys, name: str = "worker-1") -> Answer:
    """Return an answer with a certificate for the keys."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(keys.tls.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW.replace(year=NOW.year + 1))
        .sign(keys.tls, hashes.SHA256())
    )
    return structs.replace(ANSWER, certificate=certificate.public_bytes(serialization.Encoding.PEM).decode())


def test_a_ticket_says_where_and_with_what(tmp_path: Path) -> None:
    """A door without a port is on HTTPS's."""
    found = read_invitation(ticket(tmp_path, url="https://bastion/", token=f" {TOKEN}\n"))
    place = DoorPlace(host="bastion", port=443)
    assert found == Invitation(place=place, token=TOKEN, authority="a" * 64)
    assert "sss" not in repr(found)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"token": "tmk1.x"}, "token"),
        ({"token": 7}, "token"),
        ({"url": "http://bastion"}, "url"),
        ({"url": "https://bastion/join"}, "url"),
        ({"url": "https://bastion:port"}, "url"),
        ({"ulr": "x"}, "ulr"),
    ],
)
def test_a_ticket_that_can_not_be_used_names_the_key(
    tmp_path: Path, changes: dict[str, object], key: str
) -> None:
    """And never shows the token."""
    with pytest.raises(ConfigError) as caught:
        read_invitation(ticket(tmp_path, **changes))
    assert caught.value.key == key
    assert "sss" not in str(caught.value)


def test_a_ticket_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """Its secret is none."""
    file = ticket(tmp_path)
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="mode 640"):
        read_invitation(file)


def test_keys_are_made_once_and_kept_to_their_owner(tmp_path: Path) -> None:
    """A second try uses the same, since the token may be spent on them."""
    first, second = host_keys(tmp_path), host_keys(tmp_path)
    assert first.signing.public == second.signing.public
    assert first.tls.public_key() == second.tls.public_key()
    for name in ("wing.key", "signing.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_keys_that_are_none_are_not_replaced(tmp_path: Path) -> None:
    """They may be somebody's."""
    (tmp_path / "wing.key").write_text("mine")
    with pytest.raises(ConfigError, match=r"wing\.key: not an unencrypted private key"):
        host_keys(tmp_path)
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "wing.key").write_bytes(pem)
    with pytest.raises(ConfigError, match="not a key on an elliptic curve"):
        host_keys(tmp_path)
    (tmp_path / "wing.key").unlink()
    (tmp_path / "signing.key").write_text("mine")
    with pytest.raises(ConfigError, match=r"signing\.key"):
        host_keys(tmp_path)


def test_a_certificate_for_somebody_else_is_not_taken(tmp_path: Path) -> None:
    """Another key, another name, or no certificate at all."""
    keys = host_keys(tmp_path)
    check(issued(keys), keys)
    other = HostKeys(tls=ec.generate_private_key(ec.SECP256R1()), signing=keys.signing)
    for answer, reason in [
        (issued(other), "for another key"),
        (issued(keys, "worker-2"), "not for worker-1"),
        (ANSWER, "no certificate in PEM"),
    ]:
        with pytest.raises(JoinError, match=reason):
            check(answer, keys)


def test_what_is_installed_is_a_wings_configuration(tmp_path: Path) -> None:
    """With every word as it was given, whatever is in it; nothing half is left beside it."""
    keys, config = host_keys(tmp_path), tmp_path / "wing.toml"
    install(config, issued(keys))
    wing = load(config)
    assert (wing.cluster, wing.instance, wing.role, wing.pool) == ("c", "worker-1", "worker", "p")
    assert (wing.labels, wing.drain.node) == (ANSWER.labels, "ip-10-0-0-7")
    assert (wing.broker.host, wing.broker.ca) == ("bastion", tmp_path / "ca.pem")
    assert load_keys(config, wing).own.public == keys.signing.public
    names = ["ca.pem", "signing.key", "wing.key", "wing.pem", "wing.toml"]
    assert sorted(file.name for file in tmp_path.iterdir()) == names


def test_an_answer_that_makes_no_configuration_is_not_installed(tmp_path: Path) -> None:
    """A wing that obeys nobody would never be heard of again."""
    config = tmp_path / "wing.toml"
    with pytest.raises(ConfigError, match="names no orchestrator"):
        install(config, structs.replace(issued(host_keys(tmp_path)), orchestrators={}))
    assert not config.exists()


def test_who_has_joined_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No door is asked; a token that is left over goes."""
    config, file = tmp_path / "wing.toml", ticket(tmp_path)
    install(config, issued(host_keys(tmp_path)))
    before = config.read_bytes()
    assert main(["join", "--file", str(file), "--config", str(config)]) == 0
    assert capsys.readouterr().err == f"wing: {config} is there: this host has joined already\n"
    assert (config.read_bytes(), file.exists()) == (before, False)


def test_a_configuration_that_no_wing_could_start_with_is_not_joined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said what is wrong with it, and the token stays."""
    config, file = tmp_path / "wing.toml", ticket(tmp_path)
    config.write_text('cluster = "c"\n')
    assert main(["join", "--file", str(file), "--config", str(config)]) == 2
    assert str(config) in capsys.readouterr().err
    assert file.exists()


def test_nothing_to_join_with_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2: it is configured by nothing."""
    words = ["join", "--file", str(tmp_path / "join.toml"), "--config", str(tmp_path / "wing.toml")]
    assert main(words) == 2
    assert "join.toml: No such file or directory" in capsys.readouterr().err


def test_a_door_that_is_not_there_is_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The keys stay for the next try, and so does the token."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, and nobody listens
        file = ticket(tmp_path, url=f"https://127.0.0.1:{unused.getsockname()[1]}")
        words = ["join", "--file", str(file), "--config", str(tmp_path / "wing.toml")]
        assert main(words) == 1
    assert "can't be reached" in capsys.readouterr().err
    assert (tmp_path / "wing.key").exists()
    assert file.exists()
