"""`tarmak cluster snapshot`, as an operator gives it: a real Terraform, and a real sshd for each member."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.infrastructure.lock import working
from orchestrator.infrastructure.places import Home
from tests.integration.etcd_hosts import NAMES, PLACES, EtcdHosts, etcd_hosts, whole
from tests.integration.operating import Said, Tarmak, operator, short_folder, typed
from tests.integration.terraform_site import terraform

CRON = "etcd-20261125T070001Z"
LATER = "etcd-20261125T073001Z"
SNAPSHOT = ("cluster", "snapshot", "--programs", PLACES.programs, "--backups", PLACES.backups)


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdHosts]:
    """Three members."""
    with etcd_hosts(tmp_path / "etcd") as running:
        yield running


@pytest.fixture
def data() -> Iterator[Path]:
    """Where clusters are."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def tarmak(
    etcd: EtcdHosts,
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Tarmak]:
    """The commands, where nobody can be asked. Connections end with the cluster, and so before its hosts."""
    assert etcd.hosts
    terraform()
    run = operator(tmp_path, data, monkeypatch, capsys)
    yield run
    run("cluster", "destroy", "--yes", *losing())


@pytest.fixture
def home(tarmak: Tarmak, etcd: EtcdHosts, data: Path) -> Home:
    """The directory of the cluster that is made of them."""
    describe(etcd)
    applied = tarmak("cluster", "apply", "--yes", "--hosts-only")
    assert applied.code == 0, applied.err
    return Home(data / "tarmak/clusters/shop")


def describe(etcd: EtcdHosts) -> None:
    """Write the cluster; its bastion is the first of its hosts by another name, and is never reached."""
    pools = []
    for role, hosts in (("bastion", etcd.hosts[:1]), ("etcd", etcd.hosts)):
        described = [
            {
                "name": host.name if role == "etcd" else "bastion-1",
                "address": host.address if role == "etcd" else "localhost",
                "user": host.user,
                "port": host.port,
                "host_key": etcd.known[host.name],
            }
            for host in hosts
        ]
        pools.append({"name": role, "hosts": described})
    provider = {"kind": "static", "identity": str(etcd.identity)}
    Path("cluster.yaml").write_text(json.dumps({"name": "shop", "provider": provider, "pools": pools}))


def losing() -> list[str]:
    return [word for name in NAMES for word in ("--destroy-stateful", name)]


def hide(home: Home, name: str) -> None:
    """Have a host not be reached any more."""
    before, host, after = home.ssh_config.read_text().partition(f"Host {name}\n")
    port = next(line for line in after.splitlines() if "Port" in line)
    home.ssh_config.write_text(before + host + after.replace(port, "    Port 1", 1))
    for socket in (home.path / "ssh").iterdir():
        subprocess.run(
            ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "x"], capture_output=True, check=True
        )


def names(said: Said) -> list[tuple[str, str, bool]]:
    return [(one["instance"], one["name"], one["kept"]) for one in json.loads(said.out)]


def test_snapshots_outlive_their_cluster(tarmak: Tarmak, etcd: EtcdHosts, home: Home) -> None:
    """Taken, listed, brought here, kept over an end to all, and restored into what is made anew."""
    taken = tarmak(*SNAPSHOT, "take", "--instance", "etcd-2")
    assert taken.code == 0, taken.err
    file = Path(taken.out.strip())
    assert file.parent == home.snapshots / "etcd-2"
    assert file.read_bytes() == whole("etcd-2")
    assert "is taken: revision 7, 5 keys" in taken.err
    (listed,) = json.loads(tarmak(*SNAPSHOT, "list", "-o", "json").out)
    assert listed == {
        "name": file.name,
        "instance": "etcd-2",
        "taken": listed["taken"],
        "version": "3.4.23",
        "size": 1056,
        "kept": True,
        "path": f"backups/etcd/{file.name}",
        "file": str(file),
    }
    head, row = tarmak(*SNAPSHOT, "list").out.splitlines()
    assert head.split() == ["NAME", "INSTANCE", "TAKEN", "VERSION", "SIZE", "KEPT"]
    assert row.split() == [file.name, "etcd-2", listed["taken"], "3.4.23", "1.0", "KiB", "here"]
    ended = tarmak("cluster", "destroy", "--yes", *losing())
    assert ended.err.endswith(f"nothing is left of shop but what is kept in {home.snapshots}\n")
    assert list(home.path.iterdir()) == [home.snapshots]
    for folder in etcd.folders.values():
        shutil.rmtree(folder / "backups", ignore_errors=True)
    assert tarmak("cluster", "apply", "--yes", "--hosts-only").code == 0
    restored = tarmak(*SNAPSHOT, "restore", file.name, "--yes-restore", "shop")
    assert restored.code == 0, restored.err
    assert etcd.restored() == dict.fromkeys(NAMES, whole("etcd-2"))
    assert "etcd-1: restores backups/etcd/restore/" in restored.err
    assert restored.err.endswith("etcd of shop is restored on every member; start the API servers again\n")


def test_the_newest_is_fetched_or_all(tarmak: Tarmak, etcd: EtcdHosts, home: Home) -> None:
    """Each is named on stdout; one that can't be had keeps back no other."""
    assert "there are no snapshots to fetch" in tarmak(*SNAPSHOT, "fetch").err
    assert tarmak(*SNAPSHOT, "list").err.startswith("no snapshots; take one")
    etcd.put("etcd-1", CRON, whole("old"))
    etcd.put("etcd-2", CRON, whole("other"))
    etcd.put("etcd-1", LATER, whole("new"))
    assert tarmak(*SNAPSHOT, "fetch").out == f"{home.snapshots}/etcd-1/{LATER}\n"
    listed = tarmak(*SNAPSHOT, "list", "-o", "json")
    assert names(listed) == [("etcd-1", LATER, True), ("etcd-1", CRON, False), ("etcd-2", CRON, False)]
    assert tarmak(*SNAPSHOT, "fetch", CRON).code == 1
    assert tarmak(*SNAPSHOT, "fetch", f"etcd-2/{CRON}").out == f"{home.snapshots}/etcd-2/{CRON}\n"
    etcd.put("etcd-3", f"etcd/{CRON}.db", b"damaged")
    every = tarmak(*SNAPSHOT, "fetch", "--all")
    assert (every.code, len(every.out.splitlines())) == (1, 3)
    assert f"{CRON}.db is no whole snapshot" in every.err
    assert tarmak(*SNAPSHOT, "fetch", CRON, "--all").code == 2


def test_a_host_that_can_t_be_reached_is_said(tarmak: Tarmak, etcd: EtcdHosts, home: Home) -> None:
    """Others are listed and fetched from, with exit code 1; nothing is restored without it."""
    etcd.put("etcd-1", CRON, whole("some"))
    hide(home, "etcd-2")
    listed = tarmak(*SNAPSHOT, "list", "-o", "json")
    assert (listed.code, names(listed)) == (1, [("etcd-1", CRON, False)])
    assert listed.err.startswith("etcd-2 can't be reached as ")
    fetched = tarmak(*SNAPSHOT, "fetch")
    assert (fetched.code, fetched.out) == (1, f"{home.snapshots}/etcd-1/{CRON}\n")
    assert tarmak(*SNAPSHOT, "fetch", CRON).code == 0
    restored = tarmak(*SNAPSHOT, "restore", CRON, "--yes-restore", "shop")
    assert restored.code == 1
    assert restored.err.startswith("tarmak: etcd-2 can't be reached as ")
    assert etcd.restored() == {}


def test_a_host_without_the_site_s_programs_is_said(tarmak: Tarmak, etcd: EtcdHosts, home: Home) -> None:
    """With what to do, and before anything is done."""
    where = ("--programs", "/nowhere/etcd")
    taken = tarmak("cluster", "snapshot", *where, "take", "--instance", "etcd-1")
    assert taken.code == 1
    assert taken.err.splitlines() == [
        "tarmak: etcd-1 lacks /nowhere/etcd/snapshot",
        "  why: it comes with the site's role etcd, which was not applied there",
        "  do:  converge it with that role: docs/operations/etcd.md",
    ]
    assert tarmak("cluster", "snapshot", *where, "list").code == 1
    assert not home.snapshots.exists()
    etcd.put("etcd-1", CRON, whole("some"))
    (etcd.folders["etcd-3"] / "programs" / "restore").unlink()
    refused = tarmak(*SNAPSHOT, "restore", CRON, "--yes-restore", "shop")
    assert (refused.code, "etcd-3 lacks programs/restore" in refused.err) == (1, True)
    assert etcd.restored() == {}


def test_a_restore_is_agreed_to_by_the_cluster_s_name(tarmak: Tarmak, etcd: EtcdHosts, home: Home) -> None:
    """Where nobody can be asked it has to be given, and no other and no `--yes` stands for it."""
    etcd.put("etcd-1", CRON, whole("some"))
    refused = tarmak(*SNAPSHOT, "restore", CRON)
    assert refused.code == 2
    assert (
        f"this takes etcd of shop (etcd-1, etcd-2, etcd-3) back to etcd-1/{CRON} (2026-11-25" in refused.err
    )
    assert "--yes-restore shop says that it is meant" in refused.err
    wrong = tarmak(*SNAPSHOT, "restore", CRON, "--yes-restore", "lab")
    assert (wrong.code, "--yes-restore lab is for another cluster" in wrong.err) == (2, True)
    assert tarmak(*SNAPSHOT, "restore", CRON, "--yes").code == 2
    assert etcd.restored() == {}
    assert not home.snapshots.exists()


@pytest.mark.parametrize(("answer", "code"), [("shop\n", 0), ("y\n", 1)])
def test_on_a_terminal_the_cluster_s_name_is_typed(
    etcd: EtcdHosts, home: Home, tmp_path: Path, answer: str, code: int
) -> None:
    """Anything else leaves all as it is."""
    assert home.applied.exists()
    (tmp_path / "mine.db").write_bytes(whole("mine"))
    said = typed(answer, (*SNAPSHOT, "restore", "mine.db"))
    assert said.code == code, said
    assert etcd.restored() == (dict.fromkeys(NAMES, whole("mine")) if code == 0 else {})


def test_a_restore_that_fails_says_where_and_what_to_do(
    tarmak: Tarmak, etcd: EtcdHosts, home: Home, tmp_path: Path
) -> None:
    """In three lines, with exit code 1."""
    assert home.applied.exists()
    (tmp_path / "mine.db").write_bytes(whole("mine"))
    etcd.touch("etcd-2", "refuse")
    failed = tarmak(*SNAPSHOT, "restore", "mine.db", "--yes-restore", "shop")
    assert failed.code == 1
    assert failed.err.splitlines()[-3:] == [
        "tarmak: etcd-2 was not restored; and etcd-1, etcd-3, restored, won't speak to it",
        "  why: etcd-2: not restored: no room",
        "  do:  mend that, and restore all of them again with this same command",
    ]
    (tmp_path / "mine.db").write_bytes(b"damaged")
    damaged = tarmak(*SNAPSHOT, "restore", "mine.db", "--yes-restore", "shop")
    assert (damaged.code, "mine.db is no whole snapshot" in damaged.err) == (1, True)


def test_a_restore_works_alone_on_its_cluster(tarmak: Tarmak, etcd: EtcdHosts, home: Home) -> None:
    """What another command has planned or does is not disturbed."""
    etcd.put("etcd-1", CRON, whole("some"))
    with working(home, "tarmak cluster apply"):
        busy = tarmak(*SNAPSHOT, "restore", CRON, "--yes-restore", "shop")
    assert (busy.code, "another command works on this cluster" in busy.err) == (1, True)
    assert etcd.restored() == {}


def test_a_cluster_without_etcd_has_no_snapshots(tarmak: Tarmak, etcd: EtcdHosts) -> None:
    """That is said, whatever is asked for."""
    describe(etcd)
    described = json.loads(Path("cluster.yaml").read_text())
    described["pools"] = described["pools"][:1]
    Path("cluster.yaml").write_text(json.dumps(described))
    assert tarmak("cluster", "apply", "--yes", "--hosts-only").code == 0
    for words in (("list",), ("take",), ("fetch",), ("restore", CRON, "--yes-restore", "shop")):
        said = tarmak(*SNAPSHOT, *words)
        assert said.code == 1
        assert said.err.startswith("tarmak: shop has no instance of the role etcd")
