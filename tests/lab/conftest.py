"""Real hosts for tests: one root image in the user's cache, a cluster of its own for each who asks."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.infrastructure.local import host
from orchestrator.infrastructure.local.description import VARIABLE, parse
from orchestrator.infrastructure.local.errors import UnsupportedError
from orchestrator.infrastructure.local.faults import Host, Lab
from orchestrator.infrastructure.local.image import Image, image
from orchestrator.infrastructure.local.places import ClusterPlaces
from orchestrator.infrastructure.local.programs import BOOTING, BUILDING, FAULTS, demand
from tests.integration.terraform_site import terraform
from tests.lab.fleet import Fleet

PROGRAM = (sys.executable, "-m", "orchestrator.infrastructure.local")


@dataclass(frozen=True, slots=True)
class Site:
    """A cluster to be: its home, its network, and the key that opens its hosts."""

    home: Path
    network: str
    hosts: tuple[str, ...]
    key: Path

    @property
    def lab(self) -> Lab:
        return Lab.at(self.home)

    @property
    def places(self) -> ClusterPlaces:
        return ClusterPlaces(self.home.resolve())

    def address(self, name: str) -> str:
        return f"{self.network}.{11 + self.hosts.index(name)}"

    def description(self, name: str, **changed: object) -> str:
        table = {
            "cluster": "try",
            "name": name,
            "role": "worker",
            "address": f"{self.address(name)}/24",
            "gateway": f"{self.network}.1",
            "hosts": [[self.address(one), one] for one in self.hosts],
            "home": str(self.home),
            "authorized_keys": [self.key.with_suffix(".pub").read_text().strip()],
            "size": "small",
        }
        return json.dumps(table | changed)

    def program(self, *words: str, name: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Call the program as Terraform does."""
        environment = dict(os.environ) | ({VARIABLE: self.description(name)} if name else {})
        return subprocess.run(
            [*PROGRAM, *words], env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    def up(self, *names: str) -> tuple[Host, ...]:
        """Have these hosts up, ten at a time as Terraform does."""
        with ThreadPoolExecutor(10) as threads:
            for done in list(threads.map(lambda name: self.program("up", name=name), names)):
                assert done.returncode == 0, done.stderr
        return tuple(self.lab.host(name) for name in names)

    def down(self, *names: str) -> None:
        with ThreadPoolExecutor(10) as threads:
            for done in list(threads.map(lambda name: self.program("down", name=name), names)):
                assert done.returncode == 0, done.stderr

    def ssh(self, name: str, *command: str) -> "subprocess.CompletedProcess[str]":
        """Log in with the recorded host key, and no other."""
        known = self.home / f"known_hosts.{name}"
        known.write_text(f"{self.address(name)} {self.places.host(name).host_key.read_text()}")
        options = (
            f"UserKnownHostsFile={known}",
            "StrictHostKeyChecking=yes",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
        )
        words = [word for option in options for word in ("-o", option)]
        return subprocess.run(
            ["ssh", "-F", "none", *words, "-i", str(self.key), f"root@{self.address(name)}", *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def traces(self) -> set[str]:
        """Return what there is of this cluster on the machine, wherever that may be."""
        places = [self.places.host(name) for name in self.hosts]
        marks = {str(self.home), self.places.bridge, *(one.machine for one in places)}
        seen = {f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}
        seen |= {f"process {name}" for name in _command_lines()}
        seen |= {f"link {link.name}" for link in Path("/sys/class/net").iterdir()}
        seen |= {f"group {group}" for group in Path("/sys/fs/cgroup").rglob("tk*")}
        seen |= {f"left {left}" for left in Path("/run/systemd/nspawn").rglob("*")}
        seen |= {f"loop {line}" for line in _said("losetup", "--all")} | {f"rules {line}" for line in _nft()}
        seen |= {f"file {file}" for file in self.home.rglob("*")}
        return {
            trace for trace in seen if any(mark in trace for mark in marks) and "known_hosts" not in trace
        }


def _command_lines() -> Iterator[str]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
            yield " ".join([*words, file.parent.name])
        except (FileNotFoundError, ProcessLookupError):
            continue


def _said(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _nft() -> list[str]:
    return _said("nft", "list", "tables") if shutil.which("nft") else []


@pytest.fixture(scope="session")
def root_image() -> Image:
    """The image of this machine's cache; without root, Linux or the programs, a reason to skip."""
    try:
        demand(BOOTING | BUILDING | FAULTS)
        return image(lambda _: None)
    except UnsupportedError as error:
        pytest.skip(f"{error}")


@pytest.fixture(scope="session")
def key(root_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What opens the hosts, where there can be any."""
    assert root_image.root.is_dir()
    file = tmp_path_factory.mktemp("key") / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


@pytest.fixture(scope="module")
def fleet(
    root_image: Image, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Fleet]:
    """The shipped example WITHOUT some pools in the module's NETWORK, applied; in the end it is gone."""
    assert root_image.root.is_dir()
    without = getattr(request.module, "WITHOUT", ())
    with _fleet(tmp_path_factory.mktemp("f"), request.module.NETWORK, without=without) as made:
        yield made


@pytest.fixture
def members(root_image: Image, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """The same, new for each test."""
    assert root_image.root.is_dir()
    with _fleet(tmp_path, request.module.NETWORK, without=request.module.WITHOUT) as made:
        yield made


@contextmanager
def _fleet(folder: Path, network: str, *, without: Sequence[str] = ()) -> Iterator[Fleet]:
    terraform()
    made = Fleet(home=folder / "lab", file=folder / "cluster.yaml", network=network, without=without)
    made.describe()
    try:
        made.apply()
        yield made
    finally:
        made.destroy()


@pytest.fixture
def site(key: Path, tmp_path: Path) -> Iterator[Site]:
    """A cluster of two that are not there yet; whatever becomes of them is gone afterwards."""
    yield from _site(tmp_path, key, "198.18.201", ("a", "b"))


@pytest.fixture(scope="module")
def three(key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three hosts that run."""
    for made in _site(tmp_path_factory.mktemp("three"), key, "198.18.202", ("one", "two", "three")):
        made.up(*made.hosts)
        yield made


@pytest.fixture
def twelve(key: Path, tmp_path: Path) -> Iterator[Site]:
    """A cluster of twelve that are not there yet."""
    yield from _site(tmp_path, key, "198.18.203", tuple(f"host-{number}" for number in range(1, 13)))


def _site(home: Path, key: Path, network: str, hosts: tuple[str, ...]) -> Iterator[Site]:
    made = Site(home, network, hosts, key)
    try:
        yield made
    finally:
        for name in hosts:
            host.down(host.places_of(parse(made.description(name))))
