"""Devices and machines have names that fit, that say whose they are, and that never meet."""

from pathlib import Path

from orchestrator.infrastructure.local.places import ClusterPlaces

IFNAMSIZ = 16
DEMO = ClusterPlaces(Path("/clusters/demo"))


def test_devices_fit() -> None:
    """However long a host's name, its devices' names fit into the kernel's 15 characters."""
    host = DEMO.host("a" * 63)
    assert len(DEMO.bridge) < IFNAMSIZ
    assert len(host.port) < IFNAMSIZ
    assert host.port == f"vb-{host.machine}"


def test_two_homes_never_meet() -> None:
    """Clusters and hosts of one name in two homes have devices of their own."""
    other = ClusterPlaces(Path("/elsewhere/demo"))
    assert other.bridge != DEMO.bridge
    assert other.owner != DEMO.owner
    assert other.host("a").machine != DEMO.host("a").machine
    assert DEMO.host("a").machine != DEMO.host("b").machine


def test_all_of_a_host_is_in_its_directory() -> None:
    """Whatever is removed with a host's directory is all that there is of it on this machine's disk."""
    host = DEMO.host("a")
    files = (host.description, host.image, host.disk, host.upper, host.furnished, host.filler, host.root)
    files += (host.process, host.host_key, host.console, host.base, host.reserve)
    assert all(file.is_relative_to(host.directory) for file in files)
    assert DEMO.faults.parent == DEMO.hosts


def test_hosts_are_directories(tmp_path: Path) -> None:
    """Whose directory there is, is there; a file beside them is no host."""
    places = ClusterPlaces(tmp_path)
    assert places.names() == ()
    for name in ("b", "a"):
        places.host(name).directory.mkdir(parents=True)
    places.faults.write_text("{}")
    assert places.names() == ("a", "b")
