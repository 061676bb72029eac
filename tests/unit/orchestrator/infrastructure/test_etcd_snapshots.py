"""Snapshots of etcd: what their names say, what hosts list, and which one a name means."""

from datetime import UTC, datetime

import pytest

from orchestrator.infrastructure.errors import InfrastructureError, ReachError
from orchestrator.infrastructure.etcd_snapshots import Snapshot, chosen, described, listed, together

AT = datetime(2026, 11, 25, 6, 59, 31, tzinfo=UTC)
WRITTEN_S = datetime(2027, 1, 1, tzinfo=UTC).timestamp()


def snapshot(name: str, instance: str = "etcd-1", *, size: int = 544, file: str | None = None) -> Snapshot:
    """Return a snapshot that is here if it has a file, and on its host else."""
    path = None if file else f"/b/{name}"
    return described(instance=instance, name=name, size=size, written_s=WRITTEN_S, path=path, file=file)


@pytest.mark.parametrize(
    ("name", "taken", "version"),
    [
        ("20261125T065931Z-v3.4.23.db", AT, "3.4.23"),
        ("20261125T065931Z-v3.6.0-rc.1+ds.db", AT, "3.6.0-rc.1+ds"),
        ("20261125T065931Z.db", AT, None),
        ("etcd-20261125T065931Z", AT, None),
        ("20269925T065931Z-v3.4.23.db", datetime(2027, 1, 1, tzinfo=UTC), "3.4.23"),
        ("before the move.db", datetime(2027, 1, 1, tzinfo=UTC), None),
    ],
)
def test_a_name_says_when_and_of_which_version(name: str, taken: datetime, version: str | None) -> None:
    """One that says no time was taken when its file was written."""
    one = snapshot(name)
    assert (one.taken, one.version) == (taken, version)


def test_a_list_is_parted_by_nothing_that_a_name_can_hold() -> None:
    """Neither spaces nor newlines nor what looks like fields make two of one."""
    said = "544\x001.5\x00/b/etcd/a 7\n8 /c.db\x001024\x002.0\x00/b/etcd-20261125T065931Z\x00"
    odd, cron = listed("etcd-1", said)
    assert (odd.name, odd.path, odd.size) == ("c.db", "/b/etcd/a 7\n8 /c.db", 544)
    assert odd.taken == datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=UTC)
    assert (cron.title, cron.size, cron.taken) == ("etcd-1/etcd-20261125T065931Z", 1024, AT)
    assert listed("etcd-1", "") == ()


@pytest.mark.parametrize(
    "said",
    [
        "544\x001.5\x00/b/a.db",
        "544\x001.5\x00",
        "many\x001.5\x00/b/a.db\x00",
        "544\x00never\x00/b/a.db\x00",
        "544\x00nan\x00/b/a.db\x00",
        "544\x001e99\x00/b/a.db\x00",
        "544\x001.5\x00/b/..\x00",
        "544\x001.5\x00/b/.a.db\x00",
        "544\x001.5\x00/b/\x00",
    ],
)
def test_what_is_no_list_is_refused(said: str) -> None:
    """A host's words become the names of files here, so none of them is believed half."""
    with pytest.raises(ReachError, match="what etcd-1 says of its snapshots can't be read"):
        listed("etcd-1", said)


def test_the_newest_come_first() -> None:
    """Those of one second by their instances."""
    names = ["20261125T065931Z.db", "20261126T065931Z.db", "etcd-20261126T065931Z"]
    there = [snapshot(name, instance) for name in names for instance in ("etcd-2", "etcd-1")]
    assert [one.title for one in together(there, ())] == [
        "etcd-1/20261126T065931Z.db",
        "etcd-1/etcd-20261126T065931Z",
        "etcd-2/20261126T065931Z.db",
        "etcd-2/etcd-20261126T065931Z",
        "etcd-1/20261125T065931Z.db",
        "etcd-2/20261125T065931Z.db",
    ]


def test_what_is_on_a_host_and_here_is_one() -> None:
    """If it is here in full; what the host has no more is here all the same."""
    there = [snapshot("a.db"), snapshot("b.db"), snapshot("c.db", "etcd-2")]
    here = [
        snapshot("a.db", file="/h/a.db"),
        snapshot("b.db", size=7, file="/h/b.db"),
        snapshot("c.db", file="/h/c.db"),
    ]
    assert {one.title: (one.path, one.file, one.size) for one in together(there, here)} == {
        "etcd-1/a.db": ("/b/a.db", "/h/a.db", 544),
        "etcd-1/b.db": ("/b/b.db", None, 544),
        "etcd-1/c.db": (None, "/h/c.db", 544),
        "etcd-2/c.db": ("/b/c.db", None, 544),
    }


def test_a_name_means_one_snapshot() -> None:
    """That of several is asked for with its instance; a misspelt one is named."""
    there = [snapshot("a.db"), snapshot("a.db", "etcd-2"), snapshot("b.db")]
    assert chosen("b.db", there) == there[2]
    assert chosen("etcd-2/a.db", there) == there[1]
    with pytest.raises(
        InfrastructureError, match=r"a\.db is the name of 2.*say which: etcd-1/a\.db, etcd-2/a"
    ):
        chosen("a.db", there)
    with pytest.raises(InfrastructureError, match=r"no snapshot etcd-1/x\.db: did you mean 'etcd-1/.\.db'"):
        chosen("etcd-1/x.db", there)
