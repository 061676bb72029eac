"""The orchestrator's socket brought here over SSH: a real sshd, a real socket, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.client import Client
from orchestrator.exchange import ClientError
from orchestrator.infrastructure.errors import ReachError
from orchestrator.infrastructure.tunnel import forwarded
from tests.integration.sshd import Sshd, sshd
from tests.unit.orchestrator.faces import Memory, an_instance, served

PATIENCE_S = 30


@pytest.fixture
def bastion(tmp_path: Path) -> Iterator[Sshd]:
    """A host with a real sshd."""
    (tmp_path / "host").mkdir()
    with sshd(tmp_path / "host", name="bastion-1") as running:
        yield running


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[str]:
    """An orchestrator's socket, as there would be one on the bastion."""
    memory = Memory(tmp_path)
    memory.fleet.put(an_instance("worker-1"))
    with served(memory, tmp_path / "o.sock"):
        yield str(tmp_path / "o.sock")


def until(look: Callable[[], bool]) -> None:
    """Wait for something."""
    ends = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < ends


def children(config: Path) -> list[int]:
    """Return the processes by which the socket is brought here."""
    words = ["pgrep", "-f", f"^ssh -F {config} .*exec cat"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def answers(client: Client) -> bool:
    try:
        return [view.id for view in client.instances()] == ["worker-1"]
    except ClientError:
        return False


def test_the_socket_is_here_for_as_long_as_the_block_lasts(bastion: Sshd, socket: str) -> None:
    """Whoever asks here is answered there; afterwards neither file nor process is left."""
    with forwarded(bastion.config, bastion.host, socket=socket) as url:
        assert answers(Client(url))
        assert children(bastion.config)
    assert not Path(url.removeprefix("unix://")).parent.exists()
    assert not children(bastion.config)


def test_a_connection_that_is_lost_is_made_again(bastion: Sshd, socket: str) -> None:
    """Under the same URL."""
    with forwarded(bastion.config, bastion.host, socket=socket) as url:
        (before,) = children(bastion.config)
        os.kill(before, signal.SIGKILL)
        until(lambda: children(bastion.config) not in ([], [before]) and answers(Client(url)))
    assert not children(bastion.config)


def test_who_is_killed_leaves_nothing_behind(bastion: Sshd, socket: str) -> None:
    """The other side ends with what it reads."""
    program = (
        "import signal, sys; from pathlib import Path\n"
        "from orchestrator.infrastructure.tunnel import forwarded\n"
        "from orchestrator.infrastructure.hosts import Host\n"
        "host = Host(name='bastion-1', role='bastion', pool='', address='x')\n"
        "with forwarded(Path(sys.argv[1]), host, socket=sys.argv[2]):\n"
        "    print('here', flush=True); signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(bastion.config), socket], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        assert children(bastion.config)
        process.kill()
    until(lambda: not children(bastion.config))


def test_a_bastion_that_lets_nobody_in_says_why(bastion: Sshd, socket: str) -> None:
    """In ssh's own words, at once."""
    (bastion.config.parent / "authorized_keys").write_text("")
    with pytest.raises(ReachError) as caught, forwarded(bastion.config, bastion.host, socket=socket):
        pass
    assert "can't be brought here from bastion-1" in caught.value.what
    assert "Permission denied" in caught.value.why
