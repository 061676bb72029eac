"""A cluster's directory: its key and ssh's files, who works on it, and which cluster is meant."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from orchestrator.infrastructure.errors import BusyError, InfrastructureError
from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.lock import working
from orchestrator.infrastructure.places import Home, clusters_root
from orchestrator.infrastructure.reaching import home_of
from orchestrator.infrastructure.ssh_files import ensure_key, ssh_config, write_files
from orchestrator.infrastructure.unlocking import unlock

BASTION = Host(
    name="bastion-1", role="bastion", pool="bastion", address="192.0.2.10", host_key="ssh-ed25519 AAAA"
)
WORKER = Host(name="worker-1", role="worker", pool="worker", address="10.0.0.2", user="admin", port=2222)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The directory of a cluster named shop, below the data directory."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    home = Home(clusters_root() / "shop")
    home.make()
    return home


def test_a_cluster_has_a_key_of_its_own(home: Home) -> None:
    """Made once, for its owner alone; the public half is named after the cluster."""
    line = ensure_key(home, "shop")
    key = load_ssh_private_key(home.key.read_bytes(), password=None)
    assert load_ssh_public_key(line.encode()) == key.public_key()  # type: ignore[union-attr]
    assert line.endswith(" tarmak@shop")
    assert home.key.stat().st_mode & 0o777 == 0o600
    assert ensure_key(home, "shop") == line


def test_hosts_are_known_by_name(home: Home) -> None:
    """Their keys are recorded by their names, so that an address that comes again is not mistaken."""
    write_files(home, [BASTION, WORKER], identity=home.key, jump=False)
    assert home.known_hosts.read_text() == "bastion-1 ssh-ed25519 AAAA\n"
    text = home.ssh_config.read_text()
    assert (
        "Host worker-1\n    HostName 10.0.0.2\n    User admin\n    Port 2222\n    HostKeyAlias worker-1\n"
        in text
    )
    assert "StrictHostKeyChecking yes" in text
    assert "ProxyJump" not in text


def test_the_bastion_is_on_the_way_only_where_the_provider_says_so(home: Home) -> None:
    """To all others, and not to itself."""
    text = ssh_config(home, [BASTION, WORKER], identity=Path("/a b/id"), jump=True)
    assert text.count("ProxyJump bastion-1") == 1
    assert "ProxyJump" not in text.partition("Host worker-1")[0]
    assert 'IdentityFile "/a b/id"' in text


def test_connections_are_shared_where_a_socket_has_room(tmp_path: Path) -> None:
    """A directory of a long name has none: ssh would refuse to connect at all."""
    assert "ControlPath" in ssh_config(Home(Path("/srv/shop")), [BASTION], identity=Path("/id"), jump=False)
    assert "Control" not in ssh_config(
        Home(tmp_path / ("x" * 80)), [BASTION], identity=Path("/id"), jump=False
    )


def test_one_command_at_a_time_works_on_a_cluster(home: Home) -> None:
    """The other is told which one it is, and may go on once that has ended."""
    with (
        working(home, "tarmak cluster apply"),
        pytest.raises(BusyError, match="`tarmak cluster apply` since"),
        working(home, "tarmak cluster plan"),
    ):
        pytest.fail("both have it")
    with working(home, "tarmak cluster plan"):
        pass


def test_which_cluster_is_meant(home: Home, tmp_path: Path) -> None:
    """A directory, a name, the description here, or the only one there is; a misspelt one is named."""
    here = tmp_path / "cluster.yaml"
    with pytest.raises(InfrastructureError, match=r"it is not said which cluster is meant: there are none"):
        home_of(None, None, here=here)
    home.applied.write_text("{}")
    assert home_of(None, None, here=here) == home
    assert home_of("shop", None, here=here) == home
    assert home_of(None, tmp_path / "own", here=here) == Home(tmp_path / "own")
    with pytest.raises(InfrastructureError, match="did you mean 'shop'"):
        home_of("shpo", None, here=here)
    other = Home(clusters_root() / "lab")
    other.make()
    other.applied.write_text("{}")
    with pytest.raises(
        InfrastructureError, match=r"it is not said which cluster is meant: there are lab, shop"
    ):
        home_of(None, None, here=here)


def test_a_lock_that_cannot_be_read_is_not_nothing(home: Home) -> None:
    """It has to be named as such, and is gone then; where there is no state nothing is locked."""
    assert unlock(home, "x") == "nothing is locked"
    home.lock_info.write_text("{")
    with pytest.raises(InfrastructureError, match="is unreadable, not x"):
        unlock(home, "x")
    assert "is gone" in unlock(home, "unreadable")
