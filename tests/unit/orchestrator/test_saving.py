"""The backup of a bastion: what is in it, that it is one state, and that it is put back whole or not."""

import getpass
import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator import saving
from orchestrator.founding import Bastion, found
from orchestrator.saving import SavingError, backup, restore

Tree = dict[str, bytes]


@pytest.fixture
def bastion(tmp_path: Path) -> Path:
    """A bastion below a directory, with a wing of its own and a journal that is being written."""
    root = tmp_path / "old"
    me = getpass.getuser()
    asked = Bastion(
        cluster="lab",  # type: ignore[arg-type]
        name="orchestrator_1",  # type: ignore[arg-type]
        hosts=["198.18.4.10"],
        root=root,
        user=me,
        broker_user=me,
    )
    list(found(asked))
    etc, state = root / "etc/tarmak", root / "var/lib/tarmak/orchestrator"
    for name in ("wing.toml", "wing.key", "signing.key", "join.toml"):
        (etc / name).write_text("of this host alone")
    (etc / "hooks").mkdir()
    (etc / "hooks/drain").write_text("of this host's role")
    (state / "bundles").mkdir(parents=True)
    (state / "bundles/one.tar.gz").write_bytes(b"bundle")
    config = etc / "orchestrator.toml"
    config.write_text(f'state_dir = "{state}"\n' + config.read_text().replace('"/', f'"{root}/'))
    return root


@pytest.fixture
def saved(bastion: Path, tmp_path: Path) -> Path:
    """Its backup, made while something is being written to its journal."""
    journal = bastion / "var/lib/tarmak/orchestrator/journal.sqlite"
    with closing(sqlite3.connect(journal)) as writing:
        writing.execute("PRAGMA journal_mode = WAL")
        writing.execute("CREATE TABLE runs (id)")
        writing.execute("INSERT INTO runs VALUES (1)")
        writing.commit()
        writing.execute("INSERT INTO runs VALUES (2)")
        list(backup(bastion / "etc/tarmak/orchestrator.toml", tmp_path / "backup.tar.gz", root=bastion))
    return tmp_path / "backup.tar.gz"


def names(archive: Path) -> set[str]:
    with tarfile.open(archive) as opened:
        return {Path(name).name for name in opened.getnames()}


def test_a_backup_has_what_makes_a_bastion(saved: Path) -> None:
    """Authority, keys, configuration, journal and bundles are in it, for its owner alone; not the wing's."""
    kept = names(saved)
    assert {"ca.key", "signing.pem", "orchestrator.toml", "roster.toml", "acl", "broker.key"} <= kept
    assert {"journal.sqlite", "one.tar.gz"} <= kept
    assert not {"wing.toml", "wing.key", "signing.key", "join.toml", "drain", "journal.sqlite-wal"} & kept
    assert saved.stat().st_mode & 0o777 == 0o600


def test_a_restored_bastion_is_the_one_before(saved: Path, bastion: Path, tmp_path: Path) -> None:
    """Every file is there with its mode; the journal has what was committed, and nothing half."""
    root = tmp_path / "new"
    (line,) = restore(saved, root=root)
    assert "the bastion of lab" in line
    for name in ("etc/tarmak/orchestrator/signing.pem", "var/lib/tarmak/authority/ca.key"):
        before, after = bastion / name, root / name
        assert after.read_bytes() == before.read_bytes()
        assert after.stat().st_mode == before.stat().st_mode
    journal = root / "var/lib/tarmak/orchestrator/journal.sqlite"
    with closing(sqlite3.connect(journal)) as read:
        assert read.execute("SELECT id FROM runs").fetchall() == [(1,)]


def test_a_bastion_is_not_written_over(saved: Path, tmp_path: Path) -> None:
    """Where there is one already nothing is done."""
    (tmp_path / "new/etc/tarmak").mkdir(parents=True)
    (tmp_path / "new/etc/tarmak/orchestrator.toml").write_text("mine")
    root = tmp_path / "new"
    with pytest.raises(SavingError, match="a bastion already"):
        list(restore(saved, root=root))
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["orchestrator.toml"]


def archive_of(file: Path, header: object, *members: tuple[str, str]) -> Path:
    """Write an archive with a header and files of owners."""
    with tarfile.open(file, "w:gz") as archive:
        for name, owner in ((saving.HEADER, ""), *members):
            text = json.dumps(header).encode() if name == saving.HEADER else b"x"
            member = tarfile.TarInfo(name)
            member.size, member.uname = len(text), owner
            archive.addfile(member, io.BytesIO(text))
    return file


GOOD = {"version": 1, "cluster": "lab", "orchestrator": "orchestrator_1", "made": "2026-11-25"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: archive_of(file, GOOD, ("etc/../usr/x", "root")), "which no backup does"),
        (lambda file: archive_of(file, GOOD, ("root/x", "root")), "which no backup does"),
        (lambda file: archive_of(file, GOOD, ("etc/x", "nobody-of-that-name")), "there is no user"),
        (lambda file: archive_of(file, GOOD | {"version": 9}), "a later Tarmak"),
        (lambda file: file.write_bytes(b"no archive") and file, "can't be restored"),
    ],
)
def test_what_is_no_backup_is_refused_before_anything_is_done(
    make: Callable[[Path], Path], said: str, tmp_path: Path
) -> None:
    """Paths out of a bastion's, owners that are not there, other forms."""
    with pytest.raises(SavingError, match=said):
        list(restore(make(tmp_path / "file"), root=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_torn_backup_is_no_bastion(saved: Path, tmp_path: Path) -> None:
    """An archive that ends in the middle is refused, and what says that there is a bastion is not written."""
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    with pytest.raises(SavingError, match="can't be restored"):
        list(restore(torn, root=tmp_path / "new"))
    assert not list((tmp_path / "new").rglob("orchestrator.toml"))
