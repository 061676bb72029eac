"""The programs that the example site puts beside an etcd member: what they decide, and what they say."""

import hashlib
import importlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import pytest

PROGRAMS: Final = Path(__file__).parents[3] / "deploy/puppet/modules/profile/files/etcd"
NAMES: Final = ("member", "start", "healthy", "before_change", "restore", "snapshot")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The programs, imported from a copy: byte code beside them would become a part of the bundle."""
    folder = tmp_path_factory.mktemp("programs")
    shutil.copytree(PROGRAMS, folder, dirs_exist_ok=True)
    sys.path.insert(0, str(folder))
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    sys.path.remove(str(folder))
    for name in NAMES:
        del sys.modules[name]


@pytest.fixture
def member(programs: SimpleNamespace) -> ModuleType:
    return programs.member


@pytest.fixture
def settings(member: ModuleType, tmp_path: Path) -> Any:
    return member.Settings(
        name="etcd-1",
        endpoint="https://198.18.4.21:2379",
        members={"etcd-1": "https://198.18.4.21:2380", "etcd-2": "https://198.18.4.22:2380"},
        token="lab",
        data=str(tmp_path / "data"),
        snapshots=str(tmp_path / "snapshots"),
        keep=2,
        ca="ca",
        certificate="certificate",
        key="key",
    )


class Cluster:
    """Stands for `Member`: three members, of which `leader` leads and `silent` do not answer."""

    def __init__(
        self,
        member: ModuleType,
        settings: Any,
        *,
        leader: int,
        silent: tuple[int, ...] = (),
        deaf: bool = False,
    ) -> None:
        self.member, self.settings = member, settings
        self.leader, self.silent, self.deaf = leader, silent, deaf
        self.saved: list[Path] = []

    def health(self, endpoint: str = "") -> None:
        self.status(endpoint)

    def status(self, endpoint: str = "") -> Any:
        number = int(endpoint[-1]) if endpoint else 1
        if number in self.silent:
            raise self.member.EtcdError("etcdctl endpoint status: context deadline exceeded")
        return self.member.Status(id=number, version="3.4.23", leader=self.leader, applied=100 + number)

    def others(self, own: int) -> tuple[Any, ...]:
        return tuple(self._peer(number) for number in (1, 2, 3) if number != own)

    def move_leader(self, to: Any) -> None:
        self.leader = self.leader if self.deaf else to.id

    def save(self, path: Path) -> Any:
        self.saved.append(path)
        path.write_bytes(b"")
        return self.member.Snapshot(hash=0xFE5F00CD, revision=7, keys=3, size=20480)

    def _peer(self, number: int) -> Any:
        return self.member.Peer(id=number, name=f"etcd-{number}", urls=(f"https://{number}",), learner=False)


def give_away(programs: SimpleNamespace, cluster: Cluster) -> None:
    """Do what `before-change` does about the leadership."""
    well = programs.before_change.spared(cluster, cluster.others(1))
    programs.before_change.give_leadership_away(cluster, cluster.status(), well)


def test_a_leader_hands_over_to_the_member_that_is_furthest(
    programs: SimpleNamespace, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A member that leads gives its leadership to the one that has applied most, and says to whom."""
    cluster = Cluster(programs.member, settings, leader=1)
    give_away(programs, cluster)
    assert cluster.leader == 3
    assert capsys.readouterr().out == "etcd-1 led; etcd-3 leads now\n"


def test_a_member_that_follows_hands_nothing_over(
    programs: SimpleNamespace, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where another member leads, it goes on leading."""
    cluster = Cluster(programs.member, settings, leader=2)
    give_away(programs, cluster)
    assert (cluster.leader, capsys.readouterr().out) == (2, "etcd-1 does not lead\n")


def test_a_member_that_is_needed_is_not_ready(
    programs: SimpleNamespace, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A member must not be changed while the others would be no quorum without it."""
    cluster = Cluster(programs.member, settings, leader=2, silent=(3,))
    with pytest.raises(
        programs.member.EtcdError, match=r"etcd-1 can't be spared: .* 2 have to be well, and are: etcd-2"
    ):
        give_away(programs, cluster)
    assert capsys.readouterr().out == (
        "etcd-1 finds etcd-3 unwell: etcdctl endpoint status: context deadline exceeded\n"
    )


def test_an_only_member_is_ready(
    programs: SimpleNamespace, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cluster of one has nobody to spare it, and nobody to lead instead."""
    cluster = Cluster(programs.member, settings, leader=1)
    well = programs.before_change.spared(cluster, ())
    programs.before_change.give_leadership_away(cluster, cluster.status(), well)
    assert capsys.readouterr().out.startswith("etcd-1 is the only member")


def test_a_handover_that_does_not_happen_is_told(
    programs: SimpleNamespace, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it was asked for proves nothing: the member must have seen another one lead."""
    monkeypatch.setattr(programs.before_change, "until", lambda *_a, **_k: False)
    cluster = Cluster(programs.member, settings, leader=1, deaf=True)
    with pytest.raises(programs.member.EtcdError, match="etcd-1 still leads after etcd-3 was asked to"):
        give_away(programs, cluster)


def test_a_learner_counts_for_nothing(programs: SimpleNamespace, settings: Any) -> None:
    """A learner has no vote: it is no part of a quorum, and leads nobody."""
    cluster = Cluster(programs.member, settings, leader=1)
    second, third = cluster.others(1)
    learner = replace(third, id=4, name="etcd-4", learner=True)
    well = programs.before_change.spared(cluster, (second, third, learner))
    assert [peer.name for peer, _ in well] == ["etcd-2", "etcd-3"]


def test_the_newest_snapshots_are_kept(
    programs: SimpleNamespace, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A snapshot is named by its time and version; the newest remain, and other files are left alone."""
    folder = Path(settings.snapshots)
    folder.mkdir()
    for name in ("20260101T000000Z-v3.4.23.db", "20260102T000000Z-v3.4.23.db", "by-hand.txt"):
        (folder / name).touch()
    cluster = Cluster(programs.member, settings, leader=2)
    programs.before_change.keep_snapshot(cluster, cluster.status())
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["20260102T000000Z-v3.4.23.db", "by-hand.txt", cluster.saved[0].name]
    )
    assert capsys.readouterr().out.splitlines() == [
        f"etcd-1 kept {cluster.saved[0]}: revision 7, 3 keys, 20480 bytes, hash fe5f00cd",
        "etcd-1 removed 20260101T000000Z-v3.4.23.db, older than the newest 2",
    ]


def test_a_snapshots_name_says_when_and_of_which_version(member: ModuleType) -> None:
    """Names sort by time."""
    at = datetime(2026, 11, 25, 6, 58, 15, tzinfo=UTC)
    assert member.snapshot_name(at, "3.4.23") == "20261125T065815Z-v3.4.23.db"


@pytest.mark.parametrize(
    ("spoil", "whole"),
    [
        (lambda content: content, True),
        (lambda content: content[:-1], False),
        (lambda content: b"x" + content[1:], False),
        (lambda content: content[512:], False),
        (lambda content: content[-32:], False),
        (lambda _content: b"", False),
    ],
)
def test_a_snapshot_is_whole_if_its_checksum_is_right(
    member: ModuleType, tmp_path: Path, spoil: Any, *, whole: bool
) -> None:
    """A snapshot that was cut, or in which one byte is another, is none."""
    content = bytes(range(256)) * 16
    path = tmp_path / "snapshot.db"
    path.write_bytes(spoil(content + hashlib.sha256(content).digest()))
    assert member.is_whole(path) is whole


def test_a_damaged_snapshot_touches_nothing(programs: SimpleNamespace, settings: Any, tmp_path: Path) -> None:
    """A restore looks at its snapshot first."""
    data = Path(settings.data)
    data.mkdir()
    (tmp_path / "bad.db").write_bytes(b"bad")
    with pytest.raises(programs.member.EtcdError, match=r"bad\.db is no whole snapshot"):
        programs.restore.restore(settings, tmp_path / "bad.db")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["data"]


def test_a_restore_is_known_by_its_snapshot_and_its_mark(programs: SimpleNamespace, settings: Any) -> None:
    """Members of one restore have the same token, those of any other have another one."""
    snapshot = programs.member.Snapshot(hash=0xA1, revision=1, keys=1, size=512)
    assert programs.restore.token(settings, snapshot, "") == "lab-000000a1"
    assert programs.restore.token(settings, snapshot, "7f") == "lab-000000a1-7f"


def test_a_restore_takes_a_snapshot_and_a_mark(
    programs: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """And nothing else: usage is exit code 2."""
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(programs.restore.Settings, "load", lambda: settings)
    monkeypatch.setattr(programs.restore, "restore", lambda _, path, *, mark: asked.append((str(path), mark)))
    assert [programs.restore.main(words) for words in ([], ["a"], ["a", "m"], ["a", "m", "x"])] == [
        2,
        0,
        0,
        2,
    ]
    assert asked == [("a", ""), ("a", "m")]


def test_old_data_is_kept_aside(programs: SimpleNamespace, settings: Any, tmp_path: Path) -> None:
    """What the member had before a restore is there under another name, which is told."""
    data = Path(settings.data)
    assert programs.restore.set_aside(data) == "there was none before"
    data.mkdir()
    said = programs.restore.set_aside(data)
    (kept,) = tmp_path.glob("data.before-*")
    assert said == f"what it had is kept as {kept}"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", "it said nothing"),
        ("Error: unhealthy cluster\n", "Error: unhealthy cluster"),
        ('{"level":"warn","msg":"retrying","error":"deadline exceeded"}', "retrying: deadline exceeded"),
        ('{"level":"info","msg":"published"}', "published"),
        (
            "panic: page 7 already freed\n\ngoroutine 1 [running]:\nmain.go:31 +0x109",
            "panic: page 7 already freed",
        ),
    ],
)
def test_last_words_are_a_persons(member: ModuleType, said: str, words: str) -> None:
    """Of what a program said there remains what it means: no JSON, no stack."""
    assert member.last_words(said) == words


def test_a_program_that_fails_is_named(member: ModuleType) -> None:
    """A failure says which command it was, without its options, and how it ended."""
    with pytest.raises(member.EtcdError, match=r"^ls /nowhere: ls: .*No such file"):
        member.run("ls", "--all", "/nowhere")
    with pytest.raises(member.EtcdError, match="no-such-program can't be run: No such file or directory"):
        member.run("no-such-program")


def test_a_host_without_the_site_says_so(member: ModuleType, tmp_path: Path) -> None:
    """Settings that are missing, or are another version's, name their file and what to do."""
    path = tmp_path / "member.json"
    with pytest.raises(member.EtcdError, match=r"member\.json can't be read .*: converge this host first"):
        member.Settings.load(path)
    path.write_text(json.dumps({"name": "etcd-1"}))
    with pytest.raises(member.EtcdError, match="converge this host first"):
        member.Settings.load(path)


def test_a_lone_member_names_whom_it_misses(programs: SimpleNamespace, settings: Any) -> None:
    """A member that is not healthy says which of the others nothing listens for."""
    alone = replace(settings, members={"etcd-1": "https://127.0.0.1:1", "etcd-2": "https://127.0.0.1:1"})
    assert programs.healthy.silent(alone) == ["no connection to etcd-2"]


class Others:
    """Stands for `Member` at another endpoint: those that are `up` know the cluster as `listed`."""

    def __init__(self, up: set[str], listed: tuple[Any, ...]) -> None:
        self.up = up
        self.listed = listed
        self.did: list[str] = []

    def __call__(self, _: Any, endpoint: str) -> "Others":
        self.endpoint = endpoint
        return self

    def health(self) -> None:
        if self.endpoint not in self.up:
            raise self.error("no quorum")

    def members(self) -> tuple[Any, ...]:
        return self.listed

    def remove(self, peer: Any) -> None:
        self.did.append(f"remove {peer.id}")

    def add(self, name: str, url: str) -> None:
        self.did.append(f"add {name} {url}")

    error: Any = None


OTHER = "https://198.18.4.22:2379"


@pytest.mark.parametrize(
    ("own", "joins", "did"),
    [
        ({"name": "etcd-1", "urls": ("https://198.18.4.21:2379",)}, True, ["remove 1", "add"]),
        ({"name": "etcd-1", "urls": ()}, False, []),
        ({"name": "", "urls": ()}, True, []),
        (None, True, ["add"]),
    ],
    ids=["served", "makes the cluster with the others", "expected", "unknown"],
)
def test_a_member_without_data_starts_as_what_the_others_take_it_for(
    programs: SimpleNamespace,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    *,
    own: Any,
    joins: bool,
    did: list[str],
) -> None:
    """One that served is added anew; one that never did makes the cluster; one added already goes on."""
    peer, url = programs.member.Peer, "https://198.18.4.21:2380"
    listed = (
        peer(id=2, name="etcd-2", urls=(OTHER,), learner=False, peer_urls=("https://198.18.4.22:2380",)),
    )
    if own is not None:
        listed = (peer(id=1, learner=False, peer_urls=(url,), **own), *listed)
    others = Others({OTHER}, listed)
    monkeypatch.setattr(programs.start, "Member", others)
    assert programs.start.rejoins(settings) is joins
    assert others.did == [f"{word} etcd-1 {url}" if word == "add" else word for word in did]


def test_without_a_cluster_it_is_a_first_start(
    programs: SimpleNamespace, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is removed or added by one that can't ask a quorum."""
    others = Others(set(), ())
    others.error = programs.start.EtcdError
    monkeypatch.setattr(programs.start, "Member", others)
    assert programs.start.rejoins(settings) is False
    assert others.did == []


@pytest.mark.parametrize("has_data", [True, False])
def test_it_becomes_etcd(
    programs: SimpleNamespace, settings: Any, monkeypatch: pytest.MonkeyPatch, *, has_data: bool
) -> None:
    """A member with data asks nobody who it is."""
    become: list[Any] = []
    monkeypatch.setattr(programs.start.Settings, "load", lambda: settings)
    monkeypatch.setattr(programs.start, "rejoins", lambda _: True)
    monkeypatch.setenv("ETCD_INITIAL_CLUSTER_STATE", "new")
    monkeypatch.setattr(
        programs.start.os, "execv", lambda *words: become.append((words, os.environ[programs.start.STATE]))
    )
    if has_data:
        (Path(settings.data) / "member").mkdir(parents=True)
    programs.start.main()
    assert become == [(("/usr/bin/etcd", ["/usr/bin/etcd"]), "new" if has_data else "existing")]
