"""Snapshots over a real sshd for each member: found, taken, brought here whole, and gone back to by all."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.infrastructure.errors import InfrastructureError, ReachError, RestoreError
from orchestrator.infrastructure.etcd_snapshots import Snapshot
from orchestrator.infrastructure.restoring import Restoring
from orchestrator.infrastructure.snapshots import Snapshots, kept
from tests.integration.etcd_hosts import NAMES, EtcdHosts, etcd_hosts, whole

CHANGE = "20261125T065931Z-v3.4.23.db"
CRON = "etcd-20261125T070001Z"


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdHosts]:
    """Three members."""
    with etcd_hosts(tmp_path / "etcd") as running:
        yield running


@pytest.fixture
def told() -> list[str]:
    """What was told on the way."""
    return []


@pytest.fixture
def snapshots(etcd: EtcdHosts, tmp_path: Path, told: list[str]) -> Snapshots:
    return Snapshots(etcd.members, tmp_path / "here", told.append)


@pytest.fixture
def restoring(etcd: EtcdHosts, told: list[str]) -> Restoring:
    return Restoring(etcd.members, told.append, mark="7f")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A whole snapshot that is here."""
    (tmp_path / "some.db").write_bytes(whole("some"))
    return tmp_path / "some.db"


async def test_a_host_s_snapshots_are_found_whatever_their_names(
    etcd: EtcdHosts, snapshots: Snapshots
) -> None:
    """Those before changes and those by cron; nothing else that lies beside them, and nothing unfinished."""
    etcd.put("etcd-1", f"etcd/{CHANGE}", whole("change"))
    etcd.put("etcd-1", CRON, whole("cron"))
    odd = etcd.put("etcd-1", "etcd/-an odd\n'$(name)'.db", b"odd")
    os.utime(odd, (0, 0))
    for other in ("etcd/.x.db.partial", "etcd/.x.db", "etcd/restore/x.db", "etcd/x", f".{CRON}.partial"):
        etcd.put("etcd-1", other, b"")
    etcd.put("etcd-1", "etc-20261125T070001Z", b"")
    survey = await snapshots.survey()
    assert survey.troubles == ()
    assert [(one.title, one.version, one.size, one.path) for one in survey.snapshots] == [
        (f"etcd-1/{CRON}", None, 1056, f"backups/{CRON}"),
        (f"etcd-1/{CHANGE}", "3.4.23", 1056, f"backups/etcd/{CHANGE}"),
        ("etcd-1/-an odd\n'$(name)'.db", None, 3, "backups/etcd/-an odd\n'$(name)'.db"),
    ]
    found = [await snapshots.fetch(one) for one in survey.snapshots[:1]]
    assert [one.read_bytes() for one in found] == [whole("cron")]


async def test_a_host_that_can_t_be_asked_hides_no_other(etcd: EtcdHosts, snapshots: Snapshots) -> None:
    """Why it is missing is known, and what the others have."""
    for name in NAMES:
        etcd.put(name, CRON, whole(name))
    etcd.hide("etcd-1")
    (etcd.folders["etcd-2"] / "programs" / "snapshot").unlink()
    survey = await snapshots.survey()
    assert [one.title for one in survey.snapshots] == [f"etcd-3/{CRON}"]
    away, lacking = map(str, survey.troubles)
    assert away.startswith("etcd-1 can't be reached as ")
    assert lacking.startswith("etcd-2 lacks programs/snapshot: it comes with the site's role etcd")
    assert lacking.endswith("docs/operations/etcd.md")


async def test_one_is_taken_by_the_first_that_can(
    etcd: EtcdHosts, snapshots: Snapshots, told: list[str]
) -> None:
    """Named after the time and the version, kept on the host, whole here; what kept others is told."""
    etcd.hide("etcd-1")
    etcd.touch("etcd-2", "broken")
    one = await snapshots.take(None)
    assert (one.instance, one.version) == ("etcd-3", "3.4.23")
    assert (etcd.folders["etcd-3"] / "backups/etcd" / one.name).read_bytes() == whole("etcd-3")
    file = await snapshots.fetch(one)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (whole("etcd-3"), 0o600)
    assert file.stat().st_mtime == one.taken.timestamp()
    assert [line.partition(":")[0] for line in told[1:]] == [
        "etcd-2 took no snapshot",
        f"{one.title} is taken",
        f"{one.title} is here",
    ]
    (listed,) = (await snapshots.survey()).snapshots
    assert listed == replace(one, file=str(file))


async def test_one_is_taken_where_it_is_asked_for(etcd: EtcdHosts, snapshots: Snapshots) -> None:
    """Another member does not stand in for one that can't; none at all is an error, too."""
    assert (await snapshots.take("etcd-2")).instance == "etcd-2"
    etcd.touch("etcd-2", "broken")
    with pytest.raises(ReachError, match="etcd-2 took no snapshot: no snapshot was saved: etcd is away"):
        await snapshots.take("etcd-2")
    with pytest.raises(ReachError, match="etdc-2 is no member of this etcd: did you mean 'etcd-2'"):
        await snapshots.take("etdc-2")
    for name in NAMES:
        etcd.touch(name, "broken")
    with pytest.raises(ReachError, match="no member could take a snapshot"):
        await snapshots.take(None)


async def test_what_is_here_is_not_brought_again(etcd: EtcdHosts, snapshots: Snapshots) -> None:
    """Unless it is here in part; a host that has it no more takes nothing away."""
    there = etcd.put("etcd-1", CRON, whole("cron"))
    (one,) = (await snapshots.survey()).snapshots
    file = await snapshots.fetch(one)
    first = file.stat().st_ino
    (again,) = (await snapshots.survey()).snapshots
    assert (await snapshots.fetch(again)).stat().st_ino == first
    file.write_bytes(b"a part")
    (broken,) = (await snapshots.survey()).snapshots
    assert (await snapshots.fetch(broken)).read_bytes() == whole("cron")
    there.unlink()
    (left,) = (await snapshots.survey()).snapshots
    assert (left.path, left.file) == (None, str(file))
    assert await snapshots.fetch(left) == file


async def test_a_snapshot_that_is_damaged_is_not_kept(
    etcd: EtcdHosts, snapshots: Snapshots, tmp_path: Path
) -> None:
    """It may be on its host as it came here: the checksum at its end tells."""
    etcd.put("etcd-1", CRON, whole("cron").replace(b"...", b"..!", 1))
    (one,) = (await snapshots.survey()).snapshots
    with pytest.raises(InfrastructureError, match=f"{CRON} is no whole snapshot"):
        await snapshots.fetch(one)
    assert kept(tmp_path / "here") == ()


async def test_a_snapshot_that_is_gone_by_now_is_said_so(etcd: EtcdHosts, snapshots: Snapshots) -> None:
    """And so is one that there is no place for here."""
    there = etcd.put("etcd-1", CRON, whole("cron"))
    (one,) = (await snapshots.survey()).snapshots
    there.unlink()
    with pytest.raises(ReachError, match="No such file"):
        await snapshots.fetch(one)
    with pytest.raises(InfrastructureError, match="can't be written: Not a directory"):
        await Snapshots(etcd.members, etcd.config, [].append).fetch(one)


async def test_a_name_means_a_snapshot_before_a_file(
    etcd: EtcdHosts, snapshots: Snapshots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is meant is known before anything is done; a file that is damaged is refused."""
    monkeypatch.chdir(tmp_path)
    etcd.put("etcd-1", CRON, whole("cron"))
    here = tmp_path / CRON
    here.write_bytes(whole("a file"))
    one = await snapshots.source(CRON)
    assert isinstance(one.origin, Snapshot)
    assert (await snapshots.brought(one)).read_bytes() == whole("cron")
    other = await snapshots.source(f"./{CRON}")
    assert (other.origin, other.taken, other.size) == (Path(CRON), one.taken, 1056)
    with pytest.raises(InfrastructureError, match="there is no snapshot nothing"):
        await snapshots.source("nothing")
    here.write_bytes(whole("a file")[:-1])
    with pytest.raises(InfrastructureError, match="is no whole snapshot"):
        await snapshots.brought(other)
    here.unlink()
    with pytest.raises(InfrastructureError, match="can't be read: No such file"):
        await snapshots.brought(other)
    etcd.hide("etcd-3")
    with pytest.raises(ReachError, match="etcd-3 can't be reached"):
        await snapshots.source(CRON)


async def test_all_members_are_restored_at_once(
    etcd: EtcdHosts, restoring: Restoring, file: Path, told: list[str]
) -> None:
    """From the very same file and under one mark; they are waited for, and nothing is left behind."""
    await restoring.check()
    assert etcd.restored() == {}
    await restoring.restore(file)
    assert etcd.restored() == dict.fromkeys(NAMES, whole("some"))
    for name, folder in etcd.folders.items():
        assert ((folder / "mark").read_text(), (folder / "patience").read_text()) == ("7f\n", "120\n")
        assert [one.name for one in (folder / "backups/etcd/restore").iterdir()] == []
        assert any(line.startswith(f"{name}: restores backups/etcd/restore/") for line in told)
    assert sorted(told[-3:]) == [f"{name} is well" for name in NAMES]


@pytest.mark.parametrize("program", ["restore", "healthy"])
async def test_a_member_without_the_programs_is_seen_before(
    etcd: EtcdHosts, restoring: Restoring, program: str
) -> None:
    """It is named, with the program that it lacks."""
    (etcd.folders["etcd-2"] / "programs" / program).chmod(0o644)
    with pytest.raises(ReachError, match=f"etcd-2 lacks programs/{program}: "):
        await restoring.check()


async def test_no_member_is_restored_unless_all_have_the_snapshot(
    etcd: EtcdHosts, restoring: Restoring, file: Path
) -> None:
    """One whose disk has no place for it holds back all."""
    etcd.put("etcd-2", "etcd/restore", b"in the way")
    with pytest.raises(
        RestoreError, match=r"etcd-2 did not get the snapshot; no member was restored"
    ) as failed:
        await restoring.restore(file)
    assert failed.value.failed == ("etcd-2",)
    assert etcd.restored() == {}


async def test_a_member_that_is_not_restored_is_named(
    etcd: EtcdHosts, restoring: Restoring, file: Path
) -> None:
    """With its last words; the others go on, and the next step brings all of them together again."""
    etcd.touch("etcd-2", "refuse")
    with pytest.raises(RestoreError) as failed:
        await restoring.restore(file)
    error = failed.value
    assert error.what == "etcd-2 was not restored; and etcd-1, etcd-3, restored, won't speak to it"
    assert error.why == "etcd-2: not restored: no room"
    assert "restore all of them again" in error.action
    assert set(etcd.restored()) == {"etcd-1", "etcd-3"}
    (etcd.folders["etcd-2"] / "refuse").unlink()
    await restoring.restore(file)
    assert set(etcd.restored()) == set(NAMES)


async def test_if_all_refuse_no_member_was_restored(
    etcd: EtcdHosts, restoring: Restoring, file: Path
) -> None:
    """All of them are named."""
    for name in NAMES:
        etcd.touch(name, "refuse")
    with pytest.raises(RestoreError, match="etcd-1, etcd-2, etcd-3 were not restored; no member was"):
        await restoring.restore(file)


async def test_a_member_that_does_not_become_well_is_named(
    etcd: EtcdHosts, restoring: Restoring, file: Path
) -> None:
    """Its log is the next thing to look at."""
    etcd.touch("etcd-3", "unwell")
    with pytest.raises(RestoreError, match="etcd-3: not healthy after 120 s: alone") as failed:
        await restoring.restore(file)
    assert failed.value.what == "every member was restored, and etcd-3 did not become well"
    assert failed.value.action == "see `tarmak cluster logs etcd-3 --unit etcd`"
