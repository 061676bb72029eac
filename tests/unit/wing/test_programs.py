"""`wing converge` and `wing status`, as far as they need neither Puppet nor a mesh."""

import argparse
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w

from broker.messages import Converge, RunOutcome, Verdict
from broker.signing import SigningKey
from tests.unit.wing.wings import NOW, V1, Wing, command, converge, fresh, result, run_id
from wing import bootstrap
from wing.__main__ import main
from wing.bootstrap import _told
from wing.config import DEFAULT_PATH
from wing.effects import Act
from wing.events import Completed, End, Process, ProcessStarted, Stopped, Unable, WorkEnded
from wing.journal import JOURNAL, SqliteJournal


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose wing has never run."""
    (tmp_path / "signing.pem").write_bytes(SigningKey.generate().to_pem())
    place = {"host": "h", "port": 1, "ca": "ca", "certificate": "c", "key": "k"}
    signing = {"key": "signing.pem", "orchestrators": {"o_1": SigningKey.generate().public.to_base64()}}
    wing = {"cluster": "prod", "instance": "worker-1", "role": "worker", "state_dir": "state"}
    file = tmp_path / "wing.toml"
    file.write_text(tomli_w.dumps({**wing, "broker": place, "signing": signing}))
    return file


@pytest.fixture
def journal(config: Path) -> SqliteJournal:
    """The journal of a wing that has converged, runs something and has something waiting."""
    state = config.parent / "state"
    state.mkdir()
    kept = SqliteJournal.open(state / JOURNAL, sign=SigningKey.generate().sign)
    remembered = kept.open_boot()
    wing = Wing(machine=fresh(remembered))
    orders = [
        replace(order, target=replace(order.target, boot=remembered.boot))
        for order in (command(converge(number), epoch=7) for number in (1, 2, 3))
    ]
    for order in orders:
        wing.receive(order)
        if order is orders[0]:
            end = Completed(result=result(converge(1), verdict=Verdict.FAILED, reason="Exec[/bin/false]"))
            wing.tell(WorkEnded(at=NOW, command=order.id, end=end))
    wing.tell(
        ProcessStarted(at=NOW, command=orders[1].id, process=Process(pid=1, group=1, start=1, host_boot="b"))
    )
    kept.write([effect for effect in wing.effects if not isinstance(effect, Act)])
    return kept


def test_status_tells_what_the_wing_remembers(
    config: Path, journal: SqliteJournal, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the running wing, which holds the journal open, and without counting a boot."""
    for _ in range(2):
        assert main(["status", "--config", str(config)]) == 0
    journal.close()
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    told = {name: rest for name, rest in (line for line in lines if len(line) == 2) if name[0].isalpha()}
    assert told["boot"].startswith("1-")
    assert told["epoch"] == "7"
    assert told["observed"].startswith(f"failed on {V1} at {NOW.isoformat()}: Exec[/bin/false]")
    assert told["queue"] == "2"
    assert told["unacked"].endswith("facts")
    text = " ".join(" ".join(line) for line in lines)
    assert f"is under way, run {run_id(2)}" in text
    assert f"waits, run {run_id(3)}, until" in text


def test_status_of_a_wing_that_never_ran(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to tell, and the exit code says so."""
    assert main(["status", "--config", str(config)]) == 1
    assert "this wing has never run" in capsys.readouterr().out


def test_status_of_a_wing_that_was_asked_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wing that has not converged yet says `nothing yet`."""
    (config.parent / "state").mkdir()
    fresh_one = SqliteJournal.open(config.parent / "state" / JOURNAL, sign=SigningKey.generate().sign)
    fresh_one.open_boot()
    fresh_one.close()
    assert main(["status", "--config", str(config)]) == 0
    assert "observed  nothing yet" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to look like one" * 20])
def test_status_of_a_broken_journal(config: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    """A file that is no journal is an error that names it."""
    broken = config.parent / "state" / JOURNAL
    broken.parent.mkdir()
    broken.write_bytes(content)
    assert main(["status", "--config", str(config)]) == 2
    assert str(broken) in capsys.readouterr().err


@pytest.mark.parametrize("command_line", [["status"], ["run"], []], ids=["status", "run", "default"])
def test_a_missing_configuration_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command_line: list[str]
) -> None:
    """Every command says which file it wanted, and ends with the code of a wrong configuration."""
    missing = tmp_path / "wing.toml"
    assert main([*command_line, "--config", str(missing)]) == 2
    assert f"wing: {missing}: No such file" in capsys.readouterr().err


ORDER = converge()


@pytest.mark.parametrize(
    ("end", "noop", "code"),
    [
        (Completed(result=result(ORDER)), False, 0),
        (Completed(result=result(ORDER, verdict=Verdict.APPLIED)), False, 1),
        (Completed(result=result(ORDER, verdict=Verdict.FAILED, reason="why")), False, 1),
        (Completed(result=replace(result(ORDER, verdict=None), outcome=RunOutcome.CHANGED)), True, 0),
        (Completed(result=replace(result(ORDER, verdict=None), outcome=RunOutcome.FAILED)), True, 1),
        (Unable(reason="no Puppet"), False, 1),
        (Stopped(), False, 130),
    ],
)
def test_only_what_is_proven_ends_with_0(end: End, noop: bool, code: int) -> None:  # noqa: FBT001
    """0 means converged, or a noop without a failure; everything else doesn't."""
    assert _told(end, noop=noop) == code


def asked(tmp_path: Path, bundle: str, digest: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(
        config=DEFAULT_PATH,
        bundle=bundle,
        digest=digest,
        noop=False,
        role="bastion",
        instance="host-1",
        state_dir=tmp_path,
        root=tmp_path,
    )


def test_a_bundle_elsewhere_is_named_by_its_url(tmp_path: Path) -> None:
    """The digest comes from the URL's own name, unless it is given."""
    url = f"https://mesh.example/bundles/{V1}"
    order = bootstrap._order(asked(tmp_path, url), tmp_path)
    assert (order.digest, order.url) == (V1, url)
    assert isinstance(order, Converge)
    assert bootstrap._order(asked(tmp_path, "s3://b/x.tar.gz", V1), tmp_path).digest == V1


@pytest.mark.parametrize(
    ("bundle", "digest"), [("https://mesh.example/no-digest", None), ("nowhere.tar.gz", "sha256:short")]
)
def test_a_bundle_without_a_digest_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bundle: str, digest: str | None
) -> None:
    """What can't be verified is not run, and the exit code is that of a wrong usage."""
    assert bootstrap.converge(asked(tmp_path, bundle, digest)) == 2
    assert "wing: " in capsys.readouterr().err
