"""What the commands decide without asking anyone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import ids
from orchestrator.cli import amounts, choice, options, output, place
from orchestrator.cli.choice import Share
from orchestrator.cli.stop import Code, StopError
from orchestrator.domain.views import Selector
from orchestrator.nearest import nearest
from tests.unit.orchestrator.faces import NOW, V1, V2, a_bundle, an_instance

W1, W2, E1 = (ids.instance_id(name) for name in ("worker-1", "worker-2", "etcd-1"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("1m5", 65)],
)
def test_durations_are_written_as_people_do(text: str, seconds: int) -> None:
    """Seconds without a unit, or days to seconds put together."""
    assert amounts.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "10 m", "m", "1.5h", "ten", "99999999999"])
def test_what_is_no_duration_is_a_usage_error(text: str) -> None:
    """Nothing, no time at all and more than a year are no durations."""
    with pytest.raises(StopError) as caught:
        amounts.seconds(text)
    assert caught.value.code is Code.USAGE


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("0", 0),
        ("4711", 4711),
        ("10m", NOW - timedelta(minutes=10)),
        ("2026-01-02T03:04:05Z", NOW),
        ("2026-01-02T04:04:05+01:00", NOW),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
    ],
)
def test_since_is_a_cursor_a_moment_or_so_long_ago(text: str, begin: object) -> None:
    """A bare number is a cursor; without a zone a moment is UTC."""
    assert amounts.since(text, now=NOW) == begin


def test_times_are_shown_in_their_largest_unit() -> None:
    """As kubectl's AGE."""
    assert amounts.ago(None, now=NOW) == "-"
    assert [amounts.brief(each) for each in (-1, 0.4, 59, 61, 7300, 90_000)] == [
        "0s",
        "0s",
        "59s",
        "1m",
        "2h",
        "1d",
    ]
    assert [amounts.size(each) for each in (0, 1023, 1536, 5 * 1024**3)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
    ]


def test_a_new_fleet_takes_the_newest_bundle_for_its_role() -> None:
    """Where nothing is desired it is the newest bundle that names the role, or none at all."""
    bundles = [a_bundle(V2, roles=(ids.role("etcd"),)), a_bundle(V1)]
    fleet = [an_instance("worker-1"), an_instance("etcd-1"), an_instance("worker-2")]
    assert choice.shares(fleet, bundles, None) == (
        Share(digest=V1, instances=(W1, W2), chosen=(W1, W2)),
        Share(digest=V2, instances=(E1,), chosen=(E1,)),
    )


def test_what_is_desired_is_taken_before_what_is_new() -> None:
    """A bundle that was pushed meanwhile changes nothing for who has a desired one."""
    fleet = [an_instance("worker-1", desired=V1), an_instance("worker-2")]
    assert choice.shares(fleet, [a_bundle(V2), a_bundle(V1)], None) == (
        Share(digest=V1, instances=(W1,)),
        Share(digest=V2, instances=(W2,), chosen=(W2,)),
    )


def test_a_named_bundle_is_for_all() -> None:
    """With --bundle nothing is chosen."""
    fleet = [an_instance("worker-1", desired=V1), an_instance("worker-2")]
    assert choice.shares(fleet, [], V2) == (Share(digest=V2, instances=(W1, W2)),)


def test_without_a_bundle_for_the_role_nothing_is_guessed() -> None:
    """It is an error that names the instance and its role."""
    with pytest.raises(StopError, match="worker-1") as caught:
        choice.shares([an_instance("worker-1")], [a_bundle(roles=(ids.role("etcd"),))], None)
    assert "role worker" in caught.value.why


def test_only_leaving_what_it_stands_on_disturbs_an_instance() -> None:
    """A first converge, and proving again what was proved, need no confirmation."""
    fleet = [
        an_instance("worker-1", observed=V1),
        an_instance("worker-2", observed=V2),
        an_instance("etcd-1"),
    ]
    parts = choice.shares(fleet, [], V2)
    assert choice.disturbed(fleet, parts) == (W1,)


def test_selectors_are_read_from_options() -> None:
    """Lists are split at commas and put together."""
    selector = options.demanded(["worker"], ["worker-1,worker-2", "etcd-1"], ["zone=a"])
    assert selector == Selector(
        roles=(ids.role("worker"),), instances=(W1, W2, E1), labels={"zone": "a"}, everything=False
    )
    assert options.demanded([], [], [], everything=True) == Selector(everything=True)
    assert options.selected([], [], []) is None


@pytest.mark.parametrize(
    ("roles", "instances", "labels", "everything"),
    [
        ([], [], [], False),
        (["worker"], [], [], True),
        (["Worker"], [], [], False),
        ([], ["a_b"], [], False),
        ([], [""], [], False),
        ([], [], ["zone"], False),
    ],
)
def test_what_selects_nothing_is_a_usage_error(
    roles: list[str], instances: list[str], labels: list[str], *, everything: bool
) -> None:
    """Nothing, both at once, and names that can't be."""
    with pytest.raises(StopError) as caught:
        options.demanded(roles, instances, labels, everything=everything)
    assert caught.value.code is Code.USAGE


@given(st.text())
def test_no_text_of_a_host_moves_the_cursor(text: str) -> None:
    """What is printed of a host's text is one line without control characters."""
    shown = output.printable(text)
    assert all(each.isprintable() for each in shown)
    assert all(each.isprintable() or each == "\t" for line in output.printable_lines(text) for each in line)


def test_the_nearest_name_is_named() -> None:
    """A near one is meant; without one all are listed."""
    assert nearest("rolle", ["role", "label"]) == "did you mean 'role'?"
    assert nearest("x", ["role", "label"]) == "known are label, role"
    assert nearest("x", []) == "none are known here"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("TARMAK_URL", raising=False)
    file = tmp_path / "tarmak" / "config.toml"
    file.parent.mkdir()
    return file


CONTEXTS = 'context = "a"\n[contexts.a]\nurl = "unix:///a"\n[contexts.b]\nurl = "unix:///b"\n'


def test_the_url_is_found_in_order(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--url, then TARMAK_URL, then the context, then this machine's own."""
    assert place.client_for(None).url == "unix:///run/tarmak/orchestrator.sock"
    config.write_text(CONTEXTS)
    assert place.client_for(None).url == "unix:///a"
    monkeypatch.setenv("TARMAK_URL", "unix:///environment")
    assert place.client_for(None).url == "unix:///environment"
    assert place.client_for("unix:///given").url == "unix:///given"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("context = ", "config.toml"),
        ("contexte = 'a'", "context"),
        ("context = 'c'\n[contexts.a]\nurl = 'unix:///a'", "'c'"),
        ("context = 'a'\n[contexts.a]\nurll = 'unix:///a'", "url"),
        ("context = 'a'\n[contexts.a]", "no url"),
        ("context = 'a'\n[contexts.a]\nurl = 'http://x'", "http://x"),
    ],
)
def test_a_wrong_context_is_a_usage_error(config: Path, text: str, word: str) -> None:
    """The file, the key and the nearest known one are named."""
    config.write_text(text)
    with pytest.raises(StopError) as caught:
        place.client_for(None)
    assert caught.value.code is Code.USAGE
    assert word in f"{caught.value.what} {caught.value.action}"
