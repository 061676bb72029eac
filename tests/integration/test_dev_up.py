"""`tarmak dev up` comes up whole, mends itself, ends clean, and can be taken up again."""

import json
import os
import selectors
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.dev_mesh import DEADLINE_S, DevMesh, dev_mesh, tarmak, write_bundle

ONE_FILE = "file { \"${facts['tarmak']['root']}/made\": ensure => file }\n"


def alive(pids: Sequence[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def pids(mesh: DevMesh) -> list[int]:
    found: dict[str, int] = json.loads((mesh.folder / "pids.json").read_text())
    return list(found.values())


def test_a_mesh_is_taken_up_again_with_what_it_knew(tmp_path: Path) -> None:
    """Ended by SIGTERM nothing runs on; in the same directory the same fleet is still converged."""
    home = tmp_path / "mesh"
    with dev_mesh(home, "worker=1") as mesh:
        digest = mesh.push(write_bundle(tmp_path / "bundle", ONE_FILE))
        mesh.tarmak("converge", "--all")
        running = pids(mesh)
        facts = [event["id"] for event in mesh.events() if event["seq"] is not None]
    assert alive(running) == []
    assert not [name for name in ("env", "pids.json", "orchestrator.sock") if (home / name).exists()]
    with dev_mesh(home, "worker=1") as mesh:
        assert mesh.instances()["worker-1"]["observed"] == digest
        again = [event["id"] for event in mesh.events() if event["seq"] is not None]
        assert again[: len(facts)] == facts


def test_nothing_outlives_a_mesh_that_is_killed(tmp_path: Path) -> None:
    """After SIGKILL the kernel ends the children; the directory can be used at once."""
    with dev_mesh(tmp_path / "mesh", "worker=1") as mesh:
        handles = [os.pidfd_open(pid) for pid in pids(mesh)]
        mesh.process.kill()
        for handle in handles:
            with selectors.DefaultSelector() as ended, os.fdopen(handle):
                ended.register(handle, selectors.EVENT_READ)
                assert ended.select(timeout=DEADLINE_S), mesh.account("a child outlived its mesh")


@pytest.mark.parametrize("words", [("--instances", "worker"), ("--instances", "worker=0")])
def test_a_fleet_that_can_not_be_is_said_in_three_lines(words: tuple[str, ...]) -> None:
    """Exit 1, no traceback, nothing started."""
    said = subprocess.run([tarmak(), "dev", "up", *words], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert len(said.stderr.splitlines()) <= 3
