"""What happens to hosts, on purpose: for tests, and for whoever wants to see what then happens.

`Lab` stands for a cluster's hosts and its network, `Host` for one of them. Whatever is done here is done from
outside, as a machine room does it: the host is not asked, except by `run` and `reboot`.
"""

import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.local import disk, host, machine, programs, wire
from orchestrator.infrastructure.local.errors import LocalError, UnsupportedError
from orchestrator.infrastructure.local.places import ClusterPlaces, HostPlaces
from orchestrator.infrastructure.local.processes import Identity, Record
from orchestrator.infrastructure.local.programs import Answer, demand
from puppet_bridge.atomic import write_whole

RUN_S: Final = 60.0
REBOOT_S: Final = 120.0
ENVIRONMENT: Final = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "TERM=dumb",
)
BROKER_DISK: Final = "/var/lib/mosquitto"
BROKER_UNITS: Final = ("tarmak-mosquitto.service", "mosquitto.service")
UNIT: Final = re.compile(r"[A-Za-z0-9:_.@-]+\.service")
# Time that is measured is moved as well, by the same amount for as long as the service runs, which nothing
# notices. To move the calendar alone, under a running service, would take FAKETIME_DONT_FAKE_MONOTONIC, with
# which libfaketime 0.9.10 breaks clock_nanosleep, and so Python's time.sleep.
CLOCK_DROP_IN: Final = """\
[Service]
Environment=LD_PRELOAD={library}
Environment=FAKETIME={seconds:+f}
Environment=NO_FAKE_STAT=1
"""


def _silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Lab:
    """The hosts of a cluster and the network between them."""

    places: ClusterPlaces

    @classmethod
    def at(cls, home: Path) -> "Lab":
        """Return the lab of the cluster whose home this is."""
        return cls(ClusterPlaces(home.resolve()))

    def host(self, name: str) -> "Host":
        """Return one host, which must be there; it need not run."""
        places = self.places.host(name)
        host.described_place(places)
        return Host(places)

    def hosts(self) -> tuple["Host", ...]:
        """Return all of them; what a crash left before it was described is none yet."""
        found = (self.places.host(name) for name in self.places.names())
        return tuple(Host(places) for places in found if places.description.exists())

    def partition(self, *group: str, others: Sequence[str] = ()) -> None:
        """Have these hosts and the others (if none are named: all the rest) not hear each other."""
        wire.partition(self.places, group, tuple(others))

    def loss(self, name: str, per_cent: float) -> None:
        """Have so many packets from and to a host get lost."""
        wire.lose(self.places, name, per_cent)

    def delay(self, name: str, milliseconds: int) -> None:
        """Have packets to a host arrive late; UnsupportedError where the kernel has no netem."""
        wire.delay(self.places, name, milliseconds)

    def heal(self) -> None:
        """End everything that is wrong with the network."""
        wire.heal(self.places)


@dataclass(frozen=True, slots=True)
class Host:
    """One host."""

    places: HostPlaces

    @property
    def name(self) -> str:
        """What it is called."""
        return self.places.name

    @property
    def is_running(self) -> bool:
        """Whether it has power."""
        return host.status(self.places).state is host.State.RUNNING

    def run(self, *command: str, given: str | None = None, timeout_s: float = RUN_S) -> str:
        """Return what a command prints on the host; LocalError if it fails there."""
        answer = self.ask(*command, given=given, timeout_s=timeout_s)
        if answer.code != 0:
            raise LocalError(
                what=f"{self.name}: {shlex.join(command)} failed with {answer.code}",
                why=answer.last_words,
            )
        return answer.out

    def ask(self, *command: str, given: str | None = None, timeout_s: float = RUN_S) -> Answer:
        """Return how a command ends on the host; LocalError if the host does not run, or it does not end."""
        inside = ("nsenter", "--all", f"--target={self._leader().pid}", "env", "-i", *ENVIRONMENT)
        return programs.ask(*inside, *command, given=given, timeout_s=timeout_s)

    def power_off(self) -> None:
        """Take its power away: every process ends at once, nothing is told, nothing is written."""
        host.power_off(self.places)

    def boot(self, tell: Callable[[str], None] = _silent) -> None:
        """Give it power, and return when its sshd answers."""
        host.boot(self.places, tell)

    def reboot(self) -> None:
        """Have it reboot in order, and return when its sshd answers again."""
        before, address = self._leader(), host.described(self.places).address.ip
        self.run("systemctl", "--no-block", "reboot")
        if not before.wait(REBOOT_S):
            raise LocalError(
                what=f"{self.name} did not go down within {REBOOT_S:g} s",
                why="a service of its does not end",
                action=f"see {self.places.console}; power-off ends it",
            )
        if (main := self._record().main) is None:
            raise self._off()
        machine.await_ssh(self.places, address, main)
        wire.plugged(self.places)

    def fill_disk(self) -> None:
        """Leave no byte free on its disk, running or not."""
        self._demand_disk()
        free = os.statvfs(self.places.disk)
        size = free.f_bfree * free.f_frsize
        with self.places.filler.open("ab") as filler:
            # What the file system keeps for its own lists is no longer free when it comes to it.
            while size >= free.f_frsize:
                try:
                    os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, size)
                except OSError:
                    size //= 2

    def free_disk(self) -> None:
        """Have its disk as it was before it was filled."""
        self._demand_disk()
        self.places.filler.unlink(missing_ok=True)

    def move_clock(self, seconds: float, unit: str = "wing.service") -> None:
        """Restart a service, if it runs, with a clock that is so far ahead (or behind); 0 puts it right.

        What the service starts has the same clock. The host's own clock, and all other services', stay.
        """
        if not UNIT.fullmatch(unit):
            raise LocalError(what=f"{unit!r} is no service's name", action="say it in full: wing.service")
        drop_in = self.places.root / f"etc/systemd/system/{unit}.d/90-clock.conf"
        if seconds:
            drop_in.parent.mkdir(parents=True, exist_ok=True)
            write_whole(
                drop_in, CLOCK_DROP_IN.format(library=self._faketime_library(), seconds=seconds).encode()
            )
        else:
            drop_in.unlink(missing_ok=True)
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "try-restart", unit, timeout_s=REBOOT_S)

    def lose_broker_disk(self) -> None:
        """Have the broker die and come back with nothing on its disk, as if that had been replaced."""
        for unit in BROKER_UNITS:
            self.ask("systemctl", "kill", "--signal=KILL", unit)
            self.ask("systemctl", "stop", unit)
        self.run("find", BROKER_DISK, "-mindepth", "1", "-delete")
        self.run("sh", "-c", _START_ENABLED, "sh", *BROKER_UNITS)

    def _faketime_library(self) -> str:
        root = self.places.root
        found = next(iter(sorted((root / "usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
        if found is None:
            raise UnsupportedError(
                what=f"{self.name} has no libfaketime",
                action="install the package faketime on it, or make it anew from the lab's image",
            )
        return f"/{found.relative_to(root)}"

    def _demand_disk(self) -> None:
        demand()
        host.described_place(self.places)
        if not disk.is_mounted(self.places):
            raise LocalError(what=f"{self.name}'s disk is not mounted", action=f"boot {self.name} first")

    def _record(self) -> Record:
        demand()
        host.described_place(self.places)
        record = Record.read(self.places.process)
        if record is None or not record.is_running():
            raise self._off()
        return record

    def _off(self) -> LocalError:
        return LocalError(what=f"{self.name} does not run", action=f"boot {self.name} first")

    def _leader(self) -> Identity:
        leader = self._record().leader()
        if leader is None:
            raise LocalError(what=f"{self.name} is between two boots", action="do the same again in a moment")
        return leader


_START_ENABLED: Final = """\
for unit; do
    if systemctl --quiet is-enabled "$unit" 2>/dev/null; then exec systemctl start "$unit"; fi
done
echo "none of $* is enabled here" >&2
exit 1
"""
