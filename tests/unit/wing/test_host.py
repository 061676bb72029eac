"""A host describes itself, whatever of it is missing."""

import socket
from pathlib import Path

import pytest

from broker.codec import encode
from broker.ids import Epoch
from broker.messages import CHAIN_START, Birth, Presence, Standing
from tests.unit.wing.wings import BOOT, NOW, new_id
from wing import host
from wing.host import UNKNOWN, describe, os_name, puppet_version


def a_puppet(folder: Path, says: str) -> Path:
    """Write an executable that answers, and counts how often it was asked."""
    puppet = folder / "puppet"
    puppet.write_text(f"#!/bin/sh\necho asked >> {folder}/asked\n{says}\n")
    puppet.chmod(0o755)
    return puppet


def times_asked(folder: Path) -> int:
    return len((folder / "asked").read_text().split())


def test_a_host_fits_into_a_birth(tmp_path: Path) -> None:
    """What this very host says of itself is something that the mesh can carry."""
    described = describe(str(a_puppet(tmp_path, "echo 7.23.0")), tmp_path / "kept")
    standing = Standing(boot=BOOT, connection=1, epoch=Epoch(0), head_seq=0, head=CHAIN_START)
    birth = Birth(standing=standing, version="1", host=described)
    assert encode(Presence(id=new_id(), at=NOW, body=birth))
    assert described.puppet == "7.23.0"
    assert min(described.cores, described.memory) > 0
    assert not any(address.startswith("127.") for address in described.addresses)


def test_puppet_is_asked_for_its_version_once(tmp_path: Path) -> None:
    """Asking takes Ruby half a second, so the answer is kept until the executable changes."""
    puppet, kept = a_puppet(tmp_path, "echo 7.23.0"), tmp_path / "kept"
    assert [puppet_version(str(puppet), kept) for _ in range(2)] == ["7.23.0", "7.23.0"]
    assert times_asked(tmp_path) == 1
    a_puppet(tmp_path, "echo 'warning: something'; echo 8.10.0")
    assert puppet_version(str(puppet), kept) == "8.10.0"


@pytest.mark.parametrize("says", ["exit 1", "exit 0", "echo 7.23.0; exit 3"])
def test_a_puppet_without_a_version_is_asked_again(tmp_path: Path, says: str) -> None:
    """A broken installation is unknown, and not remembered as such."""
    puppet, kept = a_puppet(tmp_path, says), tmp_path / "kept"
    assert [puppet_version(str(puppet), kept) for _ in range(2)] == [UNKNOWN, UNKNOWN]
    assert times_asked(tmp_path) == 2


def test_a_puppet_that_can_not_be_run_is_unknown(tmp_path: Path) -> None:
    """An executable of another machine's kind, or none at all, stops no wing."""
    broken = tmp_path / "puppet"
    broken.write_bytes(b"\x7fELF of no machine")
    broken.chmod(0o755)
    assert puppet_version(str(broken), tmp_path / "kept") == UNKNOWN
    assert puppet_version(str(tmp_path / "nowhere"), tmp_path / "kept") == UNKNOWN


def test_the_systems_name_is_for_people(tmp_path: Path) -> None:
    """A host without os-release is named by its kernel."""
    assert os_name(tmp_path / "missing") == "Linux"
    assert os_name(host.OS_RELEASE)


def test_a_host_without_a_network_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """No route is no error, and a loopback address tells nobody anything."""
    monkeypatch.setattr(host, "_SOMEWHERE", ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "300.0.0.1")))
    assert list(host._addresses()) == []
