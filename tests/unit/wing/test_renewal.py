"""A wing starts again when an upgrade of it has settled, and for nothing else."""

import os
from pathlib import Path

import pytest

from wing.renewal import own_files, watch_files


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "wing.pyz"
    file.write_bytes(b"version 1")
    return file


def test_what_stays_the_same_starts_nothing(program: Path) -> None:
    """Looking again is no change."""
    changed = watch_files(lambda: [program])
    assert [changed() for _ in range(3)] == [False] * 3


def test_a_change_counts_once_it_has_settled(program: Path) -> None:
    """Two looks must see the same: what still grows is half an upgrade."""
    changed = watch_files(lambda: [program])
    program.write_bytes(b"version 2, h")
    assert not changed()
    program.write_bytes(b"version 2, half")
    assert not changed()
    assert changed()


def test_a_program_that_is_gone_is_not_started(program: Path) -> None:
    """Between the removal of the old and the arrival of the new there is nothing to start."""
    changed = watch_files(lambda: [program])
    program.unlink()
    assert [changed() for _ in range(3)] == [False] * 3


def test_what_was_put_back_starts_nothing(program: Path) -> None:
    """An upgrade that was undone leaves the running code as it is."""
    stat = program.stat()
    changed = watch_files(lambda: [program])
    program.write_bytes(b"version 2")
    assert not changed()
    program.write_bytes(b"version 1")
    os.utime(program, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert [changed() for _ in range(3)] == [False] * 3


def test_a_zipapp_is_its_own_upgrade(program: Path, tmp_path: Path) -> None:
    """Of a zipapp the file counts, wherever it has been unpacked to."""
    assert own_files(program, tmp_path / "cache" / "wing") == (program,)


def test_of_an_installation_its_record_counts(tmp_path: Path) -> None:
    """An installer writes the record last; a checkout has none, so nothing is watched."""
    package = tmp_path / "wing"
    assert own_files(tmp_path / "bin" / "wing", package) == ()
    record = tmp_path / "tarmak-1.0.dist-info" / "RECORD"
    record.parent.mkdir()
    record.touch()
    assert own_files(tmp_path / "bin" / "wing", package) == (record,)


def test_an_installation_of_another_version_is_a_change(tmp_path: Path) -> None:
    """The record of a newer version has another name, and is found although it was not there at the start."""
    package = tmp_path / "wing"
    old, new = (tmp_path / f"tarmak-{version}.dist-info" / "RECORD" for version in ("1.0", "1.1"))
    old.parent.mkdir()
    old.touch()
    changed = watch_files(lambda: own_files(tmp_path / "bin" / "wing", package))
    old.unlink()
    assert not changed()
    new.parent.mkdir()
    new.touch()
    assert [changed() for _ in range(2)] == [False, True]
