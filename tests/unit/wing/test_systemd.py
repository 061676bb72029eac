"""systemd hears what it must know, over the socket that it names."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from wing.systemd import Systemd

# sdnotify keeps its socket for as long as the process lives, which is longer here than its object.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket at which systemd listens."""
    place = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(place)
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        yield listening


def test_systemd_is_told_of_a_wings_life(notified: socket.socket) -> None:
    """Up, alive for the watchdog, ending: in the words of sd_notify(3)."""
    systemd = Systemd()
    systemd.ready()
    systemd.alive()
    systemd.stopping()
    assert [notified.recv(100) for _ in range(3)] == [b"READY=1\nWATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wing that was started by hand has nobody to notify."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd = Systemd()
    systemd.ready()
    systemd.alive()
    systemd.stopping()
