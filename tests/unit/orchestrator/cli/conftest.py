"""A fake daemon behind the real API, and `tarmak` speaking to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.main import main_with
from tests.unit.orchestrator.cli.program import Said, Tarmak
from tests.unit.orchestrator.faces import V1, Memory, a_bundle, an_instance, served


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    made = Memory(tmp_path)
    made.fleet.put(an_instance("worker-1"), an_instance("worker-2"), an_instance("etcd-1"))
    made.bundles.views.append(a_bundle(V1))
    return made


@pytest.fixture
def tarmak(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Tarmak]:
    def run(*words: str) -> Said:
        capsys.readouterr()
        code = main_with(words)
        said = capsys.readouterr()
        return Said(code=code, out=said.out, err=said.err)

    with served(memory, tmp_path / "api.sock") as url:
        monkeypatch.setenv("TARMAK_URL", url)
        yield run
