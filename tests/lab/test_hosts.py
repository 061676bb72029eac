"""Hosts on this machine: made, found again, started, and gone without a trace."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator.infrastructure.local import disk, furnish, host, machine, network
from orchestrator.infrastructure.local.description import parse
from orchestrator.infrastructure.local.errors import LocalError
from orchestrator.infrastructure.local.image import Image
from orchestrator.infrastructure.local.processes import Record

from .conftest import Site


class PowerCutError(BaseException):
    """The program ends here, and nobody cleans up."""


def test_a_host_boots_and_is_found_again(site: Site) -> None:
    """A host runs on when the program that started it has ended, and a second `up` leaves it as it is."""
    (one,) = site.up("a")
    boot = one.run("cat", "/proc/sys/kernel/random/boot_id")
    site.up("a")
    assert one.run("cat", "/proc/sys/kernel/random/boot_id") == boot
    assert json.loads(site.program("status", name="a").stdout)["state"] == "running"
    assert one.run("systemctl", "is-system-running").strip() == "running"


def test_hosts_reach_each_other_by_name_and_nobody_else(site: Site) -> None:
    """The cluster's hosts know each other by name; there is no way out of their network."""
    one, two = site.up("a", "b")
    one.run("ping", "-c1", "-W5", "b")
    two.run("ping", "-c1", "-W5", "a")
    assert one.run("hostname").strip() == "a"
    assert "default" not in one.run("ip", "route")
    assert Path(f"/proc/sys/net/ipv4/conf/{site.places.bridge}/forwarding").read_text().strip() == "0"


def test_hosts_are_different_ones(site: Site) -> None:
    """No two hosts share a machine id or an SSH host key."""
    one, two = site.up("a", "b")
    for file in ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key"):
        assert one.run("cat", file) != two.run("cat", file)


def test_services_of_two_hosts_are_apart(site: Site) -> None:
    """Ending a service on one host ends nothing on another, though both are this machine's processes."""
    one, two = site.up("a", "b")
    before = two.run("systemctl", "show", "--property=MainPID", "ssh.service")
    one.run("systemctl", "kill", "--signal=KILL", "cron.service", "dbus.service")
    assert two.run("systemctl", "show", "--property=MainPID", "ssh.service") == before
    assert two.run("systemctl", "is-active", "cron.service").strip() == "active"


def test_ssh_with_the_recorded_host_key(site: Site) -> None:
    """The recorded host key is the host's, and the cluster's key opens it."""
    site.up("a")
    answer = site.ssh("a", "hostname")
    assert (answer.returncode, answer.stdout.strip()) == (0, "a"), answer.stderr


def test_packages_come_from_the_pool(site: Site) -> None:
    """What a role installs comes from the pool: the version that is asked for, and later a newer one."""
    (one,) = site.up("a")
    known = one.run("apt-cache", "madison", "etcd-server").splitlines()
    newer, older = (line.split("|")[1].strip() for line in (known[0], known[-1]))
    assert newer != older
    for version in (older, newer):
        one.run(
            "apt-get", "-qq", "install", f"etcd-server={version}", f"etcd-client={version}", timeout_s=120
        )
        assert one.run("systemctl", "is-active", "etcd").strip() == "active"
        assert one.run("dpkg-query", "-Wf${Version}", "etcd-server") == version
        one.run("etcdctl", "put", "written-by", version)


def test_a_disk_outlives_every_end(site: Site) -> None:
    """What was written is there after a reboot, after a loss of power, and after both programs were new."""
    (one,) = site.up("a")
    one.run("sh", "-c", "echo kept >/var/kept && sync")
    one.reboot()
    assert one.run("cat", "/var/kept") == "kept\n"
    one.power_off()
    assert not one.is_running
    site.up("a")
    assert one.run("cat", "/var/kept") == "kept\n"
    assert "kept" not in one.run("sh", "-c", "ls /root")


def test_a_host_that_shut_itself_down_starts_again(site: Site) -> None:
    """A host that ended by itself is stopped, and `start` has it run again with its disk and its key."""
    (one,) = site.up("a")
    key = site.places.host("a").host_key.read_text()
    record = Record.read(site.places.host("a").process)
    one.run("systemctl", "poweroff")
    assert record is not None
    assert record.main is not None
    assert record.main.wait(60)
    assert json.loads(site.program("status", name="a").stdout)["state"] == "stopped"
    assert site.program("start", "--home", str(site.home)).returncode == 0
    assert one.is_running
    assert site.places.host("a").host_key.read_text() == key


def test_names_follow_the_cluster(site: Site) -> None:
    """A host that runs learns of a new one by `up`, unless its configuration has taken /etc/hosts over."""
    host.up(parse(site.description("a", hosts=[[site.address("a"), "a"]])), lambda _: None)
    (one,) = site.up("a")
    assert one.run("getent", "hosts", "b").split()[0] == site.address("b")
    one.run("sh", "-c", "echo 127.0.0.1 localhost >/etc/hosts")
    site.up("a")
    assert one.run("cat", "/etc/hosts") == "127.0.0.1 localhost\n"


def test_nothing_is_left(site: Site) -> None:
    """After the last `down` nothing is left of them anywhere on the machine; ending them twice is as once."""
    site.up("a", "b")
    site.lab.partition("a")
    kinds = {trace.split()[0] for trace in site.traces()}
    assert kinds == {"mount", "process", "link", "group", "left", "loop", "rules", "file"}
    site.down("a")
    assert site.lab.host("b").is_running
    site.down("b")
    assert site.traces() == set()
    site.down("a", "b")
    assert site.traces() == set()


CRASHES: dict[str, tuple[ModuleType, str]] = {
    "before the bridge has its address": (network, "_close_way_out"),
    "before there is a disk": (disk, "make"),
    "before the disk is mounted": (disk, "mount"),
    "before the host is furnished": (furnish, "furnish"),
    "before it has a host key": (furnish, "_make_host_key"),
    "before it is started": (machine, "make_groups"),
    "before its process is recorded": (machine, "replace"),
    "before its sshd answers": (machine, "await_ssh"),
}


@pytest.mark.parametrize("moment", CRASHES)
@pytest.mark.parametrize("then", ["up", "down"])
def test_a_crash_is_cleaned_up(site: Site, monkeypatch: pytest.MonkeyPatch, moment: str, then: str) -> None:
    """Wherever `up` is cut off, the next one ends with a whole host, and `down` with nothing."""
    crash = _crash(monkeypatch, *CRASHES[moment])
    with pytest.raises(PowerCutError):
        host.up(parse(site.description("a")), lambda _: None)
    crash.undo()
    if then == "up":
        (one,) = site.up("a")
        assert one.run("systemctl", "is-active", "ssh").strip() == "active"
        assert site.ssh("a", "true").returncode == 0
        assert sum(1 for trace in site.traces() if trace.startswith("mount") and " overlay " in trace) == 1
    site.down("a")
    assert site.traces() == set()


def _crash(patch: pytest.MonkeyPatch, module: ModuleType, name: str) -> pytest.MonkeyPatch:
    def cut(*_: object, **__: object) -> None:
        raise PowerCutError

    patch.setattr(module, name, cut)
    return patch


def test_a_number_that_is_someone_elses_now(site: Site) -> None:
    """A recorded process id that another process has today is no host, and that process is left alone."""
    site.up("a")
    site.lab.host("a").power_off()
    places = site.places.host("a")
    Record(groups=(), boot=_boot(), main=host.Identity(os.getpid(), 1)).write(places.process)
    assert json.loads(site.program("status", name="a").stdout)["state"] == "stopped"
    (one,) = site.up("a")
    assert one.is_running


@pytest.mark.parametrize(
    ("break_it", "what"),
    [
        (lambda places: subprocess.run(["umount", "--lazy", str(places.root)], check=True), "its mount"),
        (lambda places: places.process.unlink(), "its record"),
    ],
)
def test_a_host_that_lost_a_part_is_made_whole(
    site: Site, break_it: Callable[[host.HostPlaces], object], what: str
) -> None:
    """A host that runs without its mount is started anew; one whose record is lost is not doubled."""
    site.up("a")
    places = site.places.host("a")
    break_it(places)
    (one,) = site.up("a")
    assert one.run("hostname").strip() == "a", what
    running = [trace for trace in site.traces() if trace.startswith("process systemd-nspawn")]
    assert len(running) == 1


def test_another_host_of_the_name_is_refused(site: Site) -> None:
    """A host's address is on its disk: `up` with another one changes nothing and says what to do."""
    site.up("a")
    other = parse(site.description("a", address="198.18.201.99/24"))
    with pytest.raises(LocalError, match=r"another one.*down"):
        host.up(other, lambda _: None)
    assert site.lab.host("a").is_running


def test_a_network_in_use_is_refused(site: Site, tmp_path: Path) -> None:
    """Two clusters can't have one network: the second is told who has it."""
    site.up("a")
    second = parse(site.description("b", home=str(tmp_path / "second")))
    with pytest.raises(LocalError, match=f"in use.*{site.places.bridge}"):
        host.up(second, lambda _: None)
    host.down(host.places_of(second))
    assert not (tmp_path / "second" / "hosts").exists()


def test_a_lost_root_image_is_named(site: Site, root_image: Image, tmp_path: Path) -> None:
    """A host whose root image is gone is not started over another one."""
    site.up("a")
    site.lab.host("a").power_off()
    site.places.host("a").base.write_text(f"{tmp_path / 'gone'}\n")
    done = site.program("up", name="a")
    assert done.returncode == 1
    assert "lost the root image" in done.stderr
    assert root_image.root.is_dir()


def test_twelve_hosts(twelve: Site) -> None:
    """Twelve hosts, ten at a time as Terraform makes them, all know each other, and go without a trace."""
    hosts = twelve.up(*twelve.hosts)
    for other in twelve.hosts:
        hosts[0].run("ping", "-c1", "-W5", other)
    assert len({one.run("cat", "/etc/machine-id") for one in hosts}) == len(hosts)
    twelve.down(*twelve.hosts)
    assert twelve.traces() == set()


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
