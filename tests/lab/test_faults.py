"""What happens to hosts on purpose does what it says, and is healed."""

import subprocess
import time
from collections.abc import Iterator

import pytest

from orchestrator.infrastructure.local.errors import LocalError, UnsupportedError
from orchestrator.infrastructure.local.faults import Host
from orchestrator.infrastructure.local.wire import read

from .conftest import Site

CLOCK = """\
[Service]
ExecStart=/bin/sh -c 'while date +%%s >/run/clock; do python3 -c "import time; time.sleep(0.1)"; done'
"""


@pytest.fixture(autouse=True)
def _healed(three: Site) -> Iterator[None]:
    yield
    three.lab.heal()
    for one in three.lab.hosts():
        if not one.is_running:
            one.boot()
        one.free_disk()


@pytest.fixture
def hosts(three: Site) -> tuple[Host, ...]:
    return tuple(three.lab.host(name) for name in three.hosts)


def hears(one: Host, other: str, count: int = 3) -> bool:
    return one.ask("ping", "-q", f"-c{count}", "-i0.1", "-W1", other).code == 0


def test_power_loss(three: Site, hosts: tuple[Host, ...]) -> None:
    """A host without power answers nobody and has no process; the others go on."""
    one, two, _ = hosts
    one.power_off()
    assert not one.is_running
    assert not hears(two, "one")
    assert not [
        trace for trace in three.traces() if trace.startswith("process") and one.places.machine in trace
    ]
    with pytest.raises(LocalError, match=r"one does not run.*boot one"):
        one.run("true")
    one.boot()
    assert hears(two, "one")


def test_power_loss_in_a_boot(hosts: tuple[Host, ...]) -> None:
    """A host that loses its power again and again, each time as soon as it answers, is whole afterwards."""
    one = hosts[0]
    for number in range(5):
        one.power_off()
        one.boot()
        one.run("sh", "-c", f"echo {number} >>/var/boots && sync")
    assert one.run("cat", "/var/boots").split() == ["0", "1", "2", "3", "4"]
    assert one.run("systemctl", "is-system-running", "--wait").strip() == "running"


def test_reboot(hosts: tuple[Host, ...]) -> None:
    """A host that reboots ends its services in order, and another boot of it answers."""
    one = hosts[0]
    boot = one.run("cat", "/proc/sys/kernel/random/boot_id")
    one.reboot()
    assert one.run("cat", "/proc/sys/kernel/random/boot_id") != boot
    assert "Stopped ssh.service" in one.run("journalctl", "--boot=-1", "--unit=ssh", "--no-pager")


def test_partition_of_one(three: Site, hosts: tuple[Host, ...]) -> None:
    """One that is cut off hears no other host and can be looked at; a boot heals nothing, `heal` does."""
    one, two, _ = hosts
    three.lab.partition("one")
    assert not hears(one, "two")
    assert not hears(two, "one")
    assert hears(two, "three")
    assert three.ssh("one", "hostname").stdout.strip() == "one"
    one.power_off()
    one.boot()
    assert not hears(one, "two")
    three.lab.heal()
    assert hears(one, "two")


def test_partition_of_groups(three: Site, hosts: tuple[Host, ...]) -> None:
    """A group is cut off from another one, and whoever is in neither hears both."""
    one, _, third = hosts
    three.lab.partition("one", others=["two"])
    assert not hears(one, "two")
    assert hears(one, "three")
    assert hears(third, "two")


def test_a_silent_partition(three: Site, hosts: tuple[Host, ...]) -> None:
    """A connection whose ends are parted gets no error: it is silent, and goes on when they are healed."""
    one, two, _ = hosts
    two.run("systemd-run", "--unit=echo", "--collect", "python3", "-c", ECHO)
    with subprocess.Popen(
        ["nsenter", "--all", f"--target={one._leader().pid}", "python3", "-uc", TALK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        three.lab.partition("one")
        process.stdin.write("said while parted\n")
        process.stdin.flush()
        assert process.stdout.readline() == "silence\n"
        three.lab.heal()
        assert process.stdout.readline() == "said while parted\n"


ECHO = """
import socket
server = socket.create_server(("", 7))
connection, _ = server.accept()
while data := connection.recv(100):
    connection.sendall(data)
"""
TALK = """
import socket, sys, time
while True:
    try:
        connection = socket.create_connection(("two", 7))
        break
    except ConnectionRefusedError:
        time.sleep(0.05)
print("connected")
connection.sendall(sys.stdin.readline().encode())
connection.settimeout(2)
try:
    print(connection.recv(100).decode())
except TimeoutError:
    print("silence")
connection.settimeout(60)
print(connection.recv(100).decode(), end="")
"""


def test_loss(three: Site, hosts: tuple[Host, ...]) -> None:
    """With loss, some packets arrive and some don't; at 100 % none does; at 0 % it is over."""
    one = hosts[0]
    three.lab.loss("two", 30)
    received = one.ask("ping", "-q", "-c200", "-i0.002", "-W1", "two").out.split(" received")[0].split()[-1]
    assert 0 < int(received) < 200
    three.lab.loss("two", 100)
    assert not hears(one, "two")
    three.lab.loss("two", 0)
    assert hears(one, "two")


def test_delay(three: Site, hosts: tuple[Host, ...]) -> None:
    """With delay, what is sent to a host arrives late, also after its next boot."""
    one, two, _ = hosts
    try:
        three.lab.delay("two", 200)
    except UnsupportedError as error:
        assert read(three.places).delay == {}
        pytest.skip(str(error))
    assert _round_trip_ms(one, "two") >= 200
    two.power_off()
    two.boot()
    assert _round_trip_ms(one, "two") >= 200
    three.lab.heal()
    assert hears(one, "two")


def _round_trip_ms(one: Host, other: str) -> float:
    return float(one.run("ping", "-q", "-c3", other).rsplit("/", 3)[-3])


def test_a_full_disk(hosts: tuple[Host, ...]) -> None:
    """On a full disk nothing can be written, also after a boot; others have room; freed, all is as before."""
    one, two, _ = hosts
    one.fill_disk()
    write = ("dd", "if=/dev/zero", "of=/var/more", "bs=64k", "count=1", "conv=fsync")
    assert "No space left" in one.ask(*write).err
    two.run(*write)
    one.power_off()
    one.boot()
    assert "No space left" in one.ask(*write).err
    one.free_disk()
    one.run(*write)
    # Sparse: what fills a host's disk does not fill this machine's.
    assert one.places.image.stat().st_blocks * 512 < one.places.image.stat().st_size / 2


def test_a_moved_clock(hosts: tuple[Host, ...]) -> None:
    """A service's clock is moved and put right; the host's and other services' stay as they are."""
    one = hosts[0]
    one.run("tee", "/etc/systemd/system/clock.service", given=CLOCK)
    one.run("systemctl", "start", "clock.service")
    for seconds in (86_400, -3_600, 0):
        one.move_clock(seconds, unit="clock.service")
        _await_offset(one, seconds)
        assert abs(float(one.run("date", "+%s")) - time.time()) < 60


def _await_offset(one: Host, seconds: float) -> None:
    look = f"""
import time
while True:
    text = open("/run/clock").read()
    if text and abs(float(text) - time.time() - {seconds}) < 60: break
    time.sleep(0.05)
"""
    one.run("timeout", "30", "python3", "-c", look)


def test_a_service_that_is_none(hosts: tuple[Host, ...]) -> None:
    """A clock is moved for a service that is named in full, and for nothing else."""
    with pytest.raises(LocalError, match=r"no service's name.*wing\.service"):
        hosts[0].move_clock(1, unit="../wing")


def test_the_brokers_disk_is_lost(hosts: tuple[Host, ...]) -> None:
    """The broker comes back with nothing of what it had stored."""
    one, two, _ = hosts
    one.run("apt-get", "-qq", "install", "mosquitto", timeout_s=120)
    one.run("sh", "-c", "echo stored >/var/lib/mosquitto/mosquitto.db")
    one.lose_broker_disk()
    assert one.run("systemctl", "is-active", "mosquitto").strip() == "active"
    assert one.run("ls", "/var/lib/mosquitto") == ""
    with pytest.raises(LocalError, match="mosquitto"):
        two.lose_broker_disk()


def test_the_program_does_it_too(three: Site, hosts: tuple[Host, ...]) -> None:
    """Each fault has a word on the command line; a host that isn't there is named with those that are."""
    one = hosts[0]
    home = ("--home", str(three.home))
    words = [("power-off", "one"), ("boot", "one"), ("partition", "one", "--from", "two"), ("heal",)]
    words += [
        ("fill-disk", "one"),
        ("free-disk", "one"),
        ("loss", "one", "--percent", "5"),
        ("reboot", "one"),
    ]
    for fault, *rest in words:
        done = three.program("fault", fault, *home, *rest)
        assert done.returncode == 0, done.stderr
    assert read(three.places).loss == {"one": 5.0}
    assert one.is_running
    done = three.program("fault", "partition", *home, "four")
    assert done.returncode == 1
    assert "there is no host four" in done.stderr
    assert "one, three, two" in done.stderr
    assert three.program("fault", "melt", *home, "one").returncode == 2


def test_whom_a_group_can_be_parted_from(three: Site) -> None:
    """All hosts at once, or a host from itself, can't be parted."""
    with pytest.raises(LocalError, match="from nobody"):
        three.lab.partition("one", "two", "three")
    with pytest.raises(LocalError, match="share no host"):
        three.lab.partition("one", others=["one", "two"])


def test_without_nft(three: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is missing is named with its package."""
    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.infrastructure.local.programs.SEARCHED", "/nonexistent")
        with pytest.raises(UnsupportedError, match=r"lacks nft, tc.*apt-get install iproute2 nftables"):
            three.lab.partition("one")
