"""What `dev up` decides and writes before it starts anything."""

import json
import os
import tomllib
from itertools import islice
from pathlib import Path

import pytest

from broker.signing import SigningKey, VerifyKey
from orchestrator.dev.children import Pids, growing_pauses
from orchestrator.dev.errors import DevError
from orchestrator.dev.extra import Extra
from orchestrator.dev.identities import ORCHESTRATOR, Identities, Ports
from orchestrator.dev.members import members
from orchestrator.dev.places import LONGEST_SOCKET, places
from wing import config as wing_config

PORTS = Ports(broker=20001, bundles=20002)


def test_instances_are_numbered_by_role() -> None:
    """ROLE-1 to ROLE-n, in the order asked for."""
    assert [member.id for member in members("worker=2, etcd=1")] == ["worker-1", "worker-2", "etcd-1"]


@pytest.mark.parametrize(
    "text", ["", "worker", "worker=x", "worker=-1", "Worker=1", "worker=0", "worker=501"]
)
def test_a_fleet_that_can_not_be_is_an_error(text: str) -> None:
    """What is no count, no role, nobody or too many."""
    with pytest.raises(DevError):
        members(text)


def test_a_given_directory_stays_and_a_made_one_goes(tmp_path: Path) -> None:
    """A mesh can be taken up again where it was asked to live."""
    with places(tmp_path / "kept") as kept:
        assert kept.url == f"unix://{tmp_path}/kept/orchestrator.sock"
    assert (tmp_path / "kept").is_dir()
    with places(None) as made:
        assert made.home.is_dir()
    assert not made.home.exists()


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    """A Unix socket's path has a limit; the short directory goes at the end."""
    with places(tmp_path / ("x" * 110)) as where:
        assert len(os.fsencode(where.socket)) <= LONGEST_SOCKET
        assert where.socket.parent.is_dir()
    assert not where.socket.parent.exists()


def test_a_directory_has_one_mesh(tmp_path: Path) -> None:
    """A second mesh in the same directory is refused while the first is up."""
    with places(tmp_path), pytest.raises(DevError, match="another mesh"), places(tmp_path):
        pass
    with places(tmp_path):
        pass


def test_each_program_gets_what_it_needs_and_nobody_elses(tmp_path: Path) -> None:
    """The wing's file is one that a wing takes; it trusts the orchestrator's key and has its own lock."""
    (member,) = members("worker=1")
    with places(tmp_path) as where:
        identities = Identities(where)
        identities.broker()
        daemon = tomllib.loads(identities.orchestrator(PORTS).read_text())
        wing = wing_config.load(identities.wing(member, PORTS))
        identities.roster([member])
        (enrolled,) = tomllib.loads(where.roster.read_text())["instance"]
    keys = wing_config.load_keys(tmp_path, wing)
    commander = SigningKey.from_pem(Path(daemon["signing"]["key"]).read_bytes())
    assert wing.signing.orchestrators == {ORCHESTRATOR: commander.public.to_base64()}
    assert VerifyKey.from_base64(enrolled["key"]) == keys.own.public
    assert wing.root == tmp_path / "instances" / "worker-1"
    assert wing.puppet.lock == tmp_path / "wings" / "worker-1" / "puppet.lock"
    assert (wing.broker.port, daemon["bundles"]["listen"]) == (20001, "127.0.0.1:20002")
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.rglob("*.key"))
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.rglob("signing.pem"))


def test_what_a_user_adds_reaches_every_wing(tmp_path: Path) -> None:
    """It goes before what `dev up` writes, leaves all else of a table, and names each wing by its own id."""
    (tmp_path / "extra.toml").write_text(
        '[labels]\npool = "{role}"\n[puppet]\nexecutable = "/p"\n[drain]\nkubeconfig = "/k/{instance}"\n'
    )
    with places(tmp_path / "mesh") as where:
        identities = Identities(where, Extra.read(tmp_path / "extra.toml"))
        identities.orchestrator(PORTS)
        first, second = (
            wing_config.load(identities.wing(member, PORTS)) for member in members("worker=1,etcd=1")
        )
    assert [wing.labels for wing in (first, second)] == [{"pool": "worker"}, {"pool": "etcd"}]
    assert [wing.drain.kubeconfig for wing in (first, second)] == [Path("/k/worker-1"), Path("/k/etcd-1")]
    assert first.puppet.executable == "/p"
    assert first.puppet.lock == tmp_path / "mesh" / "wings" / "worker-1" / "puppet.lock"


@pytest.mark.parametrize("text", [None, "[drain", "\xff"])
def test_what_can_not_be_added_is_an_error(tmp_path: Path, text: str | None) -> None:
    """A file that is not there, or is no TOML, is named before anything starts."""
    file = tmp_path / "extra.toml"
    if text is not None:
        file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DevError, match=r"extra\.toml"):
        Extra.read(file)


def test_an_instance_stays_itself_over_restarts(tmp_path: Path) -> None:
    """Signing keys are kept, so its journal still speaks for the same instance."""
    (member,) = members("worker=1")
    keys = []
    for _ in range(2):
        with places(tmp_path) as where:
            Identities(where).roster([member])
            keys.append(where.roster.read_text())
    assert keys[0] == keys[1]


def test_the_pids_are_kept_current(tmp_path: Path) -> None:
    """A process that has gone is no longer named."""
    file = tmp_path / "pids.json"
    pids = Pids(file)
    pids.put("broker", 1)
    pids.put("worker-1", 2)
    pids.put("broker", None)
    assert json.loads(file.read_text()) == {"worker-1": 2}


def test_pauses_grow_to_a_bound() -> None:
    """A program that dies at once is not started in a tight loop."""
    assert list(islice(growing_pauses(), 9)) == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
