"""What people and Terraform see of it before there is any host."""

import os
import sys
from pathlib import Path

import pytest

from orchestrator.infrastructure.local import __main__ as program
from orchestrator.infrastructure.local import host, programs
from orchestrator.infrastructure.local.disk import mounts_below
from orchestrator.infrastructure.local.errors import LocalError, UnsupportedError
from orchestrator.infrastructure.local.locks import locked
from orchestrator.infrastructure.local.places import ClusterPlaces


def test_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root is told that root is needed, and why."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnsupportedError, match=r"need root.*as root"):
        programs.demand()


def test_on_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no Linux, the way that is left is named."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UnsupportedError, match=r"need Linux.*static"):
        programs.demand()


def test_missing_programs_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is missing is said in one go, with the packages to be installed."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(programs, "SEARCHED", "/nonexistent")
    with pytest.raises(UnsupportedError, match=r"lacks ip, umount.*apt-get install iproute2 mount"):
        programs.demand(programs.ENDING)


def test_a_program_that_fails_has_the_last_word() -> None:
    """An error has what the program said of it; one that says nothing, its exit code."""
    with pytest.raises(LocalError, match=r"sh -c .* failed: broken"):
        programs.run("sh", "-c", "echo broken >&2; exit 3")
    with pytest.raises(LocalError, match="exit code 3"):
        programs.run("sh", "-c", "exit 3")


def test_a_program_that_is_not_there() -> None:
    """A program that is missing is named when it is called, too."""
    with pytest.raises(UnsupportedError, match="lacks no-such-program"):
        programs.run("no-such-program")


def test_a_program_that_does_not_end() -> None:
    """Nothing is waited for without an end."""
    with pytest.raises(LocalError, match="sleep 60 did not end within"):
        programs.run("sleep", "60", timeout_s=0.01)


def test_programs_get_what_they_read() -> None:
    """A program reads what it is given, and nothing of ours that would change what it says."""
    assert programs.run("cat", given="text") == "text"
    assert programs.environment()["LC_ALL"] == "C.UTF-8"


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "TARMAK_HOST is not set"), ("{", "it is not JSON"), ("{}", "address: it is missing")],
)
def test_a_host_that_is_not_described(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    """Without a description that can be read nothing is done, and the reason is said in plain words."""
    monkeypatch.delenv("TARMAK_HOST", raising=False)
    if text is not None:
        monkeypatch.setenv("TARMAK_HOST", text)
    assert program.main(["down"]) == 1
    assert said in capsys.readouterr().err


def test_a_host_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fault for a host that nobody made says which there are, and makes nothing."""
    assert program.main(["fault", "boot", "--home", str(tmp_path), "a"]) == 1
    assert "there is no host a" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_status_of_what_is_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A host that was never made is absent; a home without hosts has none."""
    assert host.status(ClusterPlaces(tmp_path).host("a")).state is host.State.ABSENT
    assert program.main(["status", "--home", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_words_that_are_none() -> None:
    """A wrong word is a usage error."""
    with pytest.raises(SystemExit) as caught:
        program.main(["melt"])
    assert caught.value.code == 2


def test_a_lock_may_go_with_its_directory(tmp_path: Path) -> None:
    """Its holder may remove a locked directory, and the next one makes it anew."""
    directory = tmp_path / "hosts" / "a"
    with locked(directory):
        directory.rmdir()
    with locked(directory):
        assert directory.is_dir()


def test_mounts_are_found_below_a_directory() -> None:
    """What is mounted at or below a directory is found, and nothing beside it."""
    assert "/proc" in mounts_below(Path("/proc"))
    assert mounts_below(Path("/pro")) == []
