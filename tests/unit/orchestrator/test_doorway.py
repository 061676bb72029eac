"""What an orchestrator is told of joining is compared before a host finds out."""

import sys
from pathlib import Path

import pytest
import tomli_w

from broker.signing import SigningKey
from orchestrator.adapters.local_ca import LocalCa
from orchestrator.config import ConfigError, load
from orchestrator.daemon import main
from orchestrator.doorway import doorway_of

KEY = SigningKey.generate().public.to_base64()


@pytest.fixture
def authority(tmp_path: Path) -> LocalCa:
    made = LocalCa.create(tmp_path / "ca")
    made.issue_server("doors", hosts=["h"]).write(tmp_path)
    (tmp_path / "signing.pem").write_bytes(SigningKey.generate().to_pem())
    (tmp_path / "roster.toml").write_text("")
    return made


def written(folder: Path, **changes: object) -> Path:
    """Write a configuration with a door; `changes` are to its tables, None leaves one away."""
    doors = {"ca": "ca/ca.pem", "certificate": "doors.pem", "key": "doors.key"}
    tables: dict[str, object] = {
        "cluster": "c",
        "name": "o_1",
        "roster": "roster.toml",
        "broker": {"host": "broker", "ca": "ca/ca.pem", "certificate": "c", "key": "k"},
        "signing": {"key": "signing.pem"},
        "bundles": {"listen": "h:1", "url": "https://h", **doors},
        "authority": {"directory": "ca"},
        "join": {"listen": "h:2", "url": "https://h:2", "orchestrators": {"o_2": KEY}, **doors},
        **changes,
    }
    file = folder / "o.toml"
    file.write_text(tomli_w.dumps({name: table for name, table in tables.items() if table is not None}))
    return file


def with_door(**changes: str) -> dict[str, str]:
    doors = {"ca": "ca/ca.pem", "certificate": "doors.pem", "key": "doors.key"}
    return {"listen": "h:2", "url": "https://h:2", **doors, **changes}


def test_hosts_are_told_of_every_orchestrator(
    tmp_path: Path, authority: LocalCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the one that lets them in, and of those that stand by; and where the broker is."""
    assert authority.certificate.exists()
    file = written(tmp_path)
    doorway = doorway_of(file, load(file))
    assert doorway is not None
    assert sorted(doorway.orchestrators) == ["o_1", "o_2"]
    assert (doorway.broker_host, doorway.broker_port) == ("broker", 8883)
    monkeypatch.setattr(sys, "argv", ["tarmak-orchestrator", "--config", str(file), "--check"])
    assert main() == 0


def test_there_need_be_no_door(tmp_path: Path, authority: LocalCa) -> None:
    """Then nobody joins: an authority alone lets nobody in."""
    assert authority.certificate.exists()
    file = written(tmp_path, join=None, authority=None)
    assert doorway_of(file, load(file)) is None
    file = written(tmp_path, join=None)
    assert doorway_of(file, load(file)) is None, "a token that no door takes is not made"


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"authority": None}, "join", "needs an [authority]"),
        ({"authority": {"directory": "none"}}, "authority.directory", "No such file"),
        ({"authority": {"directry": "ca"}}, "authority.directry", "did you mean 'directory'"),
        ({"join": with_door(ca="other/ca.pem")}, "join.ca", "is not the certificate of the authority"),
        ({"join": with_door(ca="doors.key")}, "join.ca", "doors.key"),
        (
            {"join": with_door(certificate="strange.pem")},
            "join.certificate",
            "was not issued by",
        ),
        ({"join": with_door(url="http://h")}, "join.url", "must be https://"),
        ({"join": with_door(lisen="h:1")}, "join.lisen", "did you mean 'listen'"),
    ],
)
def test_a_door_that_no_host_would_believe_is_refused(
    tmp_path: Path, authority: LocalCa, changes: dict[str, object], key: str, words: str
) -> None:
    """With the key, and what is wrong with it."""
    assert authority.certificate.exists()
    LocalCa.create(tmp_path / "other").issue_server("strange", hosts=["h"]).write(tmp_path)
    file = written(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        doorway_of(file, load(file))
    assert (caught.value.key, words in str(caught.value)) == (key, True), str(caught.value)
