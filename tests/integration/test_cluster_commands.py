"""`tarmak cluster` from a description to a shell on a host: a real Terraform, and a real sshd for a host."""

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from orchestrator.infrastructure.hosts import Host
from orchestrator.infrastructure.release import BASTION_UNITS, WING_UNITS
from tests.integration.operating import PROGRAM, Tarmak, operator, short_folder, typed
from tests.integration.sshd import Sshd, sshd
from tests.integration.terraform_site import terraform

TARMAK = (*PROGRAM, "cluster")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sshd]:
    """A host with a real sshd."""
    (tmp_path / "host").mkdir()
    with sshd(tmp_path / "host") as running:
        yield running


@pytest.fixture
def data() -> Iterator[Path]:
    """Where clusters are."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def cluster(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tarmak:
    """`tarmak cluster` in a folder of its own, where nobody can be asked."""
    terraform()
    return partial(operator(tmp_path, data, monkeypatch, capsys), "cluster")


def describe(host: Sshd, *, role: str = "worker", key: str = "") -> None:
    """Write a cluster of that one host in two roles: by an alias of the loopback it is another one."""
    key = key or host.known.read_text().partition(" ")[2].strip()
    pools = [pool("bastion", host.host, "127.0.0.1", key), pool(role, host.host, "localhost", key)]
    provider = {"kind": "static", "identity": str(host.config.parent / "id")}
    Path("cluster.yaml").write_text(json.dumps({"name": "shop", "provider": provider, "pools": pools}))


def pool(role: str, host: Host, address: str, key: str) -> dict[str, object]:
    one = {"name": f"{role}-1", "address": address, "user": host.user, "port": host.port, "host_key": key}
    return {"name": role, "hosts": [one]}


def test_from_a_description_to_a_shell(cluster: Tarmak, host: Sshd, data: Path) -> None:
    """Planned, applied as planned, looked at, reached, and gone without a trace."""
    describe(host)
    plan = cluster("plan", "-o", "json")
    assert plan.code == 2
    assert [(one["instance"], one["action"]) for one in json.loads(plan.out)["changes"]] == [
        ("bastion-1", "create"),
        ("worker-1", "create"),
    ]
    applied = cluster("apply", "--planned", "--yes", "--hosts-only")
    assert (applied.code, applied.out) == (0, "")
    assert "worker-1 is made" in applied.err
    assert cluster("apply", "--yes", "--hosts-only").code == 0
    assert not connections(data)
    again = cluster("plan")
    assert (again.code, again.out) == (0, "shop: nothing to do, all machines are as described\n")
    assert [one["name"] for one in json.loads(cluster("instances", "-o", "json").out)] == [
        "bastion-1",
        "worker-1",
    ]
    (listed,) = json.loads(cluster("list", "-o", "json").out)
    assert (listed["name"], listed["provider"], listed["instances"]) == ("shop", "static", 2)
    words = (*TARMAK, "ssh", "worker-1", "--", "printf", "%s|", "a b", "$HOME")
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "a b|$HOME|")
    line = subprocess.run(
        (*TARMAK, "ssh", "worker-1", "--", "echo $((1 + 1)); exit 7"), capture_output=True, check=False
    )
    assert (line.returncode, line.stdout) == (7, b"2\n")
    assert connections(data)
    assert cluster("destroy", "--yes").err.endswith("nothing is left of shop\n")
    assert not connections(data)
    assert cluster("list", "-o", "json").out == "[]\n"
    assert not list((data / "tarmak/clusters").iterdir())


def connections(data: Path) -> list[str]:
    """Return the processes by which connections are kept open."""
    found = subprocess.run(["pgrep", "-f", f"^ssh: {data}"], capture_output=True, text=True, check=False)
    return found.stdout.split()


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something to bring, for those who must never come to that: this machine is the host."""
    folder = tmp_path / "release"
    (folder / "systemd").mkdir(parents=True)
    for name in ("tarmak.sysusers", *BASTION_UNITS, *WING_UNITS):
        (folder / "systemd" / name).touch()
    for name in ("tarmak.pyz", "wing.pyz"):
        (folder / name).touch()
    monkeypatch.setenv("TARMAK_RELEASE", str(folder))
    return folder


@pytest.mark.usefixtures("release")
def test_a_host_with_another_key_is_not_spoken_to(cluster: Tarmak, host: Sshd) -> None:
    """`apply` fails with that reason instead of an end, however long it waits for hosts that boot."""
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqI0fSV3gXGL2VWnt6LKyzt5fTmA4tQ0CrvZfWn4bEx"
    describe(host, key=other)
    applied = cluster("apply", "--yes")
    assert applied.code == 1
    assert "its host key is not the one that was recorded" in applied.err


def test_a_stateful_instance_is_never_lost_by_yes(cluster: Tarmak, host: Sshd) -> None:
    """Where nobody can be asked its name has to be given; usage is exit code 2."""
    describe(host, role="etcd")
    assert cluster("apply", "--hosts-only", "--yes").code == 0
    refused = cluster("destroy", "--yes")
    assert refused.code == 2
    assert "this would lose what is on etcd-1 (etcd, destroy)" in refused.err
    assert "--destroy-stateful etcd-1" in refused.err
    describe(host)
    assert cluster("apply", "--hosts-only", "--yes").code == 2
    assert cluster("apply", "--hosts-only", "--yes", "--destroy-stateful", "etcd-1").code == 0
    assert cluster("destroy", "--yes").code == 0


@pytest.mark.parametrize(("answer", "code"), [("etcd-1\ny\n", 0), ("etcd\ny\n", 1), ("etcd-1\nn\n", 1)])
def test_on_a_terminal_the_name_is_typed(cluster: Tarmak, host: Sshd, answer: str, code: int) -> None:
    """And then the whole is agreed to as anywhere; anything else leaves all as it is."""
    describe(host, role="etcd")
    assert cluster("apply", "--hosts-only", "--yes").code == 0
    said = typed(answer, ("cluster", "destroy"))
    assert said.code == code, said
    assert "etcd-1 (etcd) would lose its disk. Type its name" in said.out
    assert bool(json.loads(cluster("list", "-o", "json").out)) is bool(code)


def test_without_a_release_nothing_is_made(cluster: Tarmak, host: Sshd, release: Path) -> None:
    """What is missing is named before any machine is made, and how to get it."""
    describe(host)
    (release / "wing.pyz").unlink()
    refused = cluster("apply", "--yes")
    assert (refused.code, "it lacks wing.pyz" in refused.err, "./dev build" in refused.err) == (1, True, True)
    assert cluster("list", "-o", "json").out == "[]\n"


@pytest.mark.usefixtures("release")
def test_without_a_yes_nothing_is_done(cluster: Tarmak, host: Sshd) -> None:
    """Where nobody can be asked that is exit code 2."""
    describe(host)
    asked = cluster("apply")
    assert (asked.code, "confirm with --yes" in asked.err) == (2, True)
    assert cluster("list", "-o", "json").out == "[]\n"


def test_what_is_wrong_is_said_in_three_lines(cluster: Tarmak, host: Sshd) -> None:
    """With exit code 1, as a plan's 2 means changes; for a plan that was not made, too."""
    describe(host)
    assert cluster("apply", "--planned", "--yes").code == 1
    Path("cluster.yaml").write_text("name: shop\nprovidr: {kind: local}\n")
    wrong = cluster("plan")
    assert wrong.code == 1
    assert wrong.err.startswith("tarmak: cluster.yaml:2: providr: no such key; did you mean 'provider'?")
    assert len(wrong.err.splitlines()) <= 3
    assert cluster("apply", "--planned", "--replace", "worker-1").code == 2


def test_one_provider_does_not_take_over_anothers_machines(cluster: Tarmak, host: Sshd) -> None:
    """A cluster of the same name by another provider is refused while there are machines."""
    describe(host)
    assert cluster("apply", "--hosts-only", "--yes").code == 0
    Path("lab.yaml").write_text(
        "name: shop\nprovider: {kind: local}\nnetwork: {cidr: 198.18.4.0/24}\npools: [{name: bastion}]\n"
    )
    refused = cluster("plan", "lab.yaml")
    assert "shop was made by the provider static, and local is described now" in refused.err


def test_an_instance_that_is_not_there_is_named(cluster: Tarmak, host: Sshd) -> None:
    """With the nearest one that is."""
    describe(host)
    cluster("apply", "--hosts-only", "--yes")
    wrong = cluster("ssh", "wroker-1")
    assert (wrong.code, "did you mean 'worker-1'?" in wrong.err) == (1, True)
    assert "did you mean 'worker-1'?" in cluster("logs", "wroker-1").err
    assert cluster("unlock", "x").err == "nothing is locked\n"


def test_a_description_is_begun(cluster: Tarmak) -> None:
    """`init` writes one that names itself after the folder; `schema` prints what editors check it with."""
    assert cluster("init", "--name", "shop").code == 0
    assert "name: shop" in Path("cluster.yaml").read_text()
    assert cluster("init").code == 1
    assert json.loads(cluster("schema").out)["title"] == "A cluster of Tarmak"
