"""One host's description is read as a whole, or refused by the key that is wrong."""

import json
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from orchestrator.infrastructure.local.description import parse
from orchestrator.infrastructure.local.errors import LocalError

TABLE = {
    "cluster": "demo",
    "name": "etcd-1",
    "role": "etcd",
    "address": "198.18.4.21/24",
    "gateway": "198.18.4.1",
    "hosts": [["198.18.4.10", "bastion-1"], ["198.18.4.21", "etcd-1"]],
    "home": "/clusters/demo",
    "authorized_keys": ["ssh-ed25519 AAAA operator"],
    "size": "small",
}


def test_a_description_is_read() -> None:
    """Every value has its type."""
    host = parse(json.dumps(TABLE))
    assert host.address == IPv4Interface("198.18.4.21/24")
    assert host.hosts[0] == (IPv4Address("198.18.4.10"), "bastion-1")
    assert host.home == Path("/clusters/demo")
    assert host.disk_gib == 4


def test_a_description_is_written_and_read_again() -> None:
    """What is kept beside a host describes the same host."""
    host = parse(json.dumps(TABLE))
    assert parse(host.to_json()) == host


def test_what_the_host_layer_does_not_read_is_no_error() -> None:
    """Terraform's part may say more, such as a pool; what may be missing has a default."""
    table = {key: value for key, value in TABLE.items() if key not in {"hosts", "authorized_keys", "size"}}
    host = parse(json.dumps(table | {"pool": "etcd"}))
    assert (host.hosts, host.authorized_keys, host.disk_gib) == ((), (), 8)


@pytest.mark.parametrize(("size", "gib"), [(None, 8), ("large", 16), ({"disk_gib": 3}, 3)])
def test_sizes(size: object, gib: int) -> None:
    """A size is a word, or the gibibytes of the disk."""
    assert parse(json.dumps(TABLE | {"size": size})).disk_gib == gib


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("cluster", None, "it is no text"),
        ("cluster", "", "it is no text"),
        ("name", "../x", "is no name"),
        ("name", "-a", "is no name"),
        ("name", "a" * 64, "is no name"),
        ("role", "Etcd", "is no name"),
        ("address", "198.18.4.21/14", "198.16.0.0/14 is not within"),
        ("address", "somewhere", "no address with its network"),
        ("address", "10.0.0.1/24", "10.0.0.0/24 is not within 198.18.0.0/15"),
        ("gateway", "198.18.5.1", "not in the host's network"),
        ("gateway", "198.18.4.21", "the host's own address"),
        ("gateway", "first", "no IPv4 address"),
        ("hosts", {}, "no list"),
        ("hosts", [["198.18.4.10", "bastion-1"], ["198.18.4.11"]], "is not"),
        ("hosts", [["198.18.4.10", "a b"]], "is not"),
        ("hosts", [["198.19.0.1", "far"]], "not in the host's network"),
        ("home", "clusters", "no absolute path"),
        ("authorized_keys", "ssh-ed25519 AAAA", "no list of lines"),
        ("authorized_keys", ["a\nb"], "no list of lines"),
        ("size", "huge", "none of small, medium, large"),
        ("size", {"disk_gib": 0}, "1 to 1024"),
        ("size", {"disk_gib": True}, "none of"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: object, why: str) -> None:
    """An error names the variable, the key and what is wrong with its value, and what to read."""
    with pytest.raises(LocalError) as caught:
        parse(json.dumps(TABLE | {key: value}))
    assert caught.value.what.startswith(f"TARMAK_HOST: {key}")
    assert why in caught.value.what
    assert "docs/operations/lab.md" in caught.value.action


def test_a_missing_key_is_named() -> None:
    """A key without which there is no host is asked for."""
    table = {key: value for key, value in TABLE.items() if key != "home"}
    with pytest.raises(LocalError, match=r"host.json: home: it is missing"):
        parse(json.dumps(table), where="host.json")


@pytest.mark.parametrize(("text", "why"), [("{", "not JSON"), ("[]", "not a JSON object")])
def test_no_description_at_all(text: str, why: str) -> None:
    """What is no JSON object is refused as a whole."""
    with pytest.raises(LocalError, match=f"TARMAK_HOST: it is {why}"):
        parse(text)
