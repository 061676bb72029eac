"""The main job on a mesh of real parts: push, converge, prove, and survive what dies on the way."""

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dev_mesh import DevMesh, Tail, dev_mesh, write_bundle

INSTANCES = ["etcd-1", "etcd-2", "etcd-3", "master-1", "worker-1", "worker-2", "worker-3"]
SITE = Path(__file__).parents[2] / "deploy" / "puppet"
FINAL = ("succeeded", "failed", "cancelled", "interrupted")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevMesh]:
    with dev_mesh(tmp_path_factory.mktemp("mesh"), "worker=3,etcd=3,master=1") as running:
        yield running


def kind(event: dict[str, Any]) -> str:
    return str(event["kind"]).partition(".")[0]


def assert_facts_whole(mesh: DevMesh) -> None:
    """Every fact exactly once, and no hole in the numbers of any boot."""
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in mesh.events():
        if event["seq"] is not None:
            numbers[event["instance"], event["boot"]].append(event["seq"])
    assert numbers
    for whose, seen in numbers.items():
        assert sorted(seen) == list(range(1, len(seen) + 1)), mesh.account(f"{whose}: {seen}")


def assert_converged(mesh: DevMesh, digest: str) -> None:
    for instance in mesh.instances().values():
        state = (instance["outcome"], instance["observed"])
        assert state == ("converged", digest), mesh.account(str(instance))


def slow_bundle(folder: Path, name: str) -> Path:
    """A bundle whose change takes a moment, so that something can die in the middle of it."""
    return write_bundle(
        folder,
        f"""
        $root = $facts['tarmak']['root']
        exec {{ 'work':
          command => "/bin/sleep 2 && /bin/touch ${{root}}/{name}",
          creates => "${{root}}/{name}",
        }}
        """,
    )


class Answers:
    """Which of the runs asked for have got their one final answer, read off the tail."""

    def __init__(self, tail: Tail) -> None:
        self.tail = tail
        self.final: dict[str, str] = {}

    def started(self, instance: str | None = None) -> None:
        """Read on until a run has started (of `instance`, if given)."""
        self.tail.until(
            lambda event: (
                self._noted(event) and kind(event) == "started" and instance in {None, event["instance"]}
            ),
            "a run to start",
        )

    def complete(self) -> list[str]:
        """Read on until every instance's run has ended, and return how."""
        self.tail.until(
            lambda event: self._noted(event) and len(self.final) == len(INSTANCES), "seven final answers"
        )
        return sorted(self.final.values())

    def _noted(self, event: dict[str, Any]) -> bool:
        if event["seq"] is not None and kind(event) in FINAL:
            command = event["body"]["command"]
            assert command not in self.final, f"{command} was answered twice"
            self.final[command] = kind(event)
        return True


@contextlib.contextmanager
def converging(mesh: DevMesh, digest: str) -> Iterator[Answers]:
    """Set a converge of everything going, and follow what comes of it."""
    before = max((event["cursor"] for event in mesh.events()), default=0)
    with mesh.tail(since=before) as tail:
        mesh.tarmak("converge", "--all", "--yes", "--no-wait", "--bundle", digest)
        yield Answers(tail)


def test_a_fleet_converges_on_the_example_site(mesh: DevMesh) -> None:
    """Push, converge: every instance proves the digest, and the tail has each fact exactly once."""
    assert sorted(mesh.instances()) == INSTANCES
    digest = mesh.push(SITE)
    mesh.tarmak("converge", "--all")
    assert_converged(mesh, digest)
    assert_facts_whole(mesh)
    assert mesh.json("status")["healthy"]


BROKEN = {
    "syntax error": ("notify { 'well': }\nfile { 'no colon' ensure => present }\n", ["site.pp:2"]),
    "failing resource": ("exec { 'breaks': command => '/bin/false' }\n", ["Exec[breaks]"]),
    "never settles": (
        "exec { 'restless': command => '/bin/true' }\n",
        ["never settles", "Exec[restless]"],
    ),
    "hangs": ("exec { 'stuck': command => '/bin/sleep 1000', timeout => 0 }\n", ["timeout"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_converge_fails_and_says_where(mesh: DevMesh, tmp_path: Path, case: str) -> None:
    """A broken bundle ends as failed, with file and line or resource; never as converged, and exit 1."""
    manifest, words = BROKEN[case]
    bundle = write_bundle(tmp_path / "bundle", manifest)
    push = ["bundle", "push", bundle]
    pushed = mesh.tarmak(*push, expect=None)
    if case == "syntax error":
        assert pushed.code == 1
        assert "site.pp" in pushed.err
        pushed = mesh.tarmak(*push, "--no-validate")
    digest = pushed.out.strip()
    timeout = "5" if case == "hangs" else "120"
    answer = mesh.tarmak(
        "converge", "--instance", "worker-1", "--bundle", digest, "--yes", "--run-timeout", timeout, expect=1
    )
    instance = mesh.instances()["worker-1"]
    run = mesh.json("run", "show", mesh.json("run", "list", "--instance", "worker-1")[0]["id"])
    assert run["state"] == "failed"
    assert instance["outcome"] == "failed"
    for word in words:
        assert word in run["reason"] or (case == "hangs" and "timed out" in run["reason"]), run["reason"]
        assert word in answer.err + answer.out or case == "hangs", answer


def test_the_brokers_death_with_its_disk_loses_nothing(mesh: DevMesh, tmp_path: Path) -> None:
    """A broker killed in the middle, its persistence deleted: all runs end converged, no fact is lost."""
    digest = mesh.push(slow_bundle(tmp_path / "bundle", "broker"))
    with converging(mesh, digest) as answers:
        answers.started()
        broker = mesh.pid("broker")
        os.kill(broker, signal.SIGSTOP)
        for database in mesh.folder.rglob("mosquitto.db"):
            database.unlink()
        os.kill(broker, signal.SIGKILL)
        assert answers.complete() == ["succeeded"] * len(INSTANCES)
    assert_converged(mesh, digest)
    assert_facts_whole(mesh)


def test_the_orchestrators_death_loses_nothing(mesh: DevMesh, tmp_path: Path) -> None:
    """An orchestrator killed in the middle takes up where it was, and so does the tail that was open."""
    digest = mesh.push(slow_bundle(tmp_path / "bundle", "orchestrator"))
    with converging(mesh, digest) as answers:
        answers.started()
        mesh.kill("orchestrator")
        assert answers.complete() == ["succeeded"] * len(INSTANCES)
    assert_converged(mesh, digest)
    assert_facts_whole(mesh)


def test_a_wings_death_is_shown_and_mended_when_asked(mesh: DevMesh, tmp_path: Path) -> None:
    """A wing killed in its run answers `interrupted` on return; the others converge; it does when asked."""
    digest = mesh.push(slow_bundle(tmp_path / "bundle", "wing"))
    with converging(mesh, digest) as answers:
        answers.started("worker-2")
        mesh.kill("worker-2")
        assert answers.complete() == ["interrupted"] + ["succeeded"] * (len(INSTANCES) - 1)
    status = mesh.tarmak("status", expect=1)
    assert "worker-2" in status.out + status.err
    mesh.tarmak("converge", "--instance", "worker-2", "--bundle", digest, "--yes")
    assert_converged(mesh, digest)
    assert_facts_whole(mesh)
    assert mesh.json("status")["healthy"]
