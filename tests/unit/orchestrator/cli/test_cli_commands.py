"""The commands as scripts see them: what is printed where, and the exit code."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker import ids
from orchestrator.cli.main import COMMANDS
from orchestrator.domain.views import LiveView, PlanFailure, RunState
from tests.unit.orchestrator.cli.program import Tarmak
from tests.unit.orchestrator.faces import (
    CHANGE,
    NOW,
    V1,
    V2,
    Memory,
    a_run,
    an_event,
    an_instance,
    run_id,
)


def test_a_table_is_for_people(tarmak: Tarmak) -> None:
    """A heading, a line an instance, no colours in a pipe."""
    said = tarmak("instances")
    heading, *lines = said.out.splitlines()
    assert heading.split()[:4] == ["INSTANCE", "ROLE", "PRESENCE", "OUTCOME"]
    assert [line.split()[0] for line in lines] == ["worker-1", "worker-2", "etcd-1"]
    assert "\x1b" not in said.out


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("json", json.loads),
        ("yaml", yaml.safe_load),
        ("jsonl", lambda text: [json.loads(line) for line in text.splitlines()]),
    ],
)
def test_other_forms_are_for_programs(tarmak: Tarmak, form: str, read: Callable[[str], Any]) -> None:
    """JSON, JSON lines and YAML hold the same."""
    found = read(tarmak("instances", "--role", "worker", "-o", form).out)
    assert [each["id"] for each in found] == ["worker-1", "worker-2"]
    assert found[0]["presence"] == "online"


def test_one_instance_is_shown_whole(tarmak: Tarmak) -> None:
    """All that is known, and a problem for one that is not there."""
    assert "10.0.0.1" in tarmak("instance", "show", "worker-1").out
    said = tarmak("instance", "show", "worker-9")
    assert said.code == 1
    assert said.err.splitlines() == [
        "tarmak: No such instance",
        "  why: worker-9",
        "  do:  Look at the list.",
    ]


def test_a_ping_names_the_slowest_and_who_is_silent(tarmak: Tarmak, memory: Memory) -> None:
    """Silence of one is exit 1, with its name."""
    assert tarmak("ping", "--all").code == 0
    memory.fleet.silent.add("etcd-1")
    said = tarmak("ping", "--all", "--timeout", "5s")
    assert said.code == 1
    assert "slowest worker-2 with 12.5 ms" in said.err
    assert "1 of 3 did not answer: etcd-1" in said.err


def test_status_exits_1_when_something_needs_a_person(tarmak: Tarmak, memory: Memory) -> None:
    """Each problem is shown as it stands."""
    assert tarmak("status").code == 0
    memory.fleet.problems = ("worker-1: interrupted; run it again",)
    said = tarmak("status")
    assert said.code == 1
    assert "! worker-1: interrupted; run it again" in said.out


def test_status_lets_a_person_acknowledge_a_restored_journal(tarmak: Tarmak, memory: Memory) -> None:
    """The problem names the flag; with it who looked is written down, and all is well."""
    memory.fleet.problems = ("the journal was restored; look, then: tarmak status --acknowledge",)
    assert tarmak("status").code == 1
    assert tarmak("status", "--acknowledge").code == 0
    assert memory.fleet.acknowledged_by


def test_converge_proves_and_says_so(tarmak: Tarmak, memory: Memory) -> None:
    """A new fleet takes the newest bundle without a question; each step of a run is a line; exit 0."""
    said = tarmak("converge", "--all")
    assert said.code == 0, said
    assert f"taking {V1.removeprefix('sha256:')[:12]}, the newest bundle" in said.err
    assert "worker-1: succeeded converged" in said.err
    assert [line.split()[2] for line in said.out.splitlines()[1:]] == ["succeeded"] * 3
    (request,) = memory.runs.requests
    assert (request.digest, request.noop, request.timeout_s) == (V1, False, 1800)


def test_converge_tells_each_failure(tarmak: Tarmak, memory: Memory) -> None:
    """One that fails makes exit 1, with its reason, in three lines on stderr."""
    failure = {"state": RunState.FAILED, "outcome": "failed", "reason": "Exec[breaks] failed (site.pp:3)"}
    memory.runs.endings["worker-2"] = [{"state": RunState.RUNNING}, failure]
    said = tarmak("converge", "--role", "worker")
    assert said.code == 1
    assert "1 of 2 runs did not succeed" in said.err
    assert "worker-2: Exec[breaks] failed (site.pp:3)" in said.err
    assert "Exec[breaks]" in said.out


@pytest.mark.parametrize("state", [RunState.CANCELLED, RunState.INTERRUPTED])
def test_only_success_is_success(tarmak: Tarmak, memory: Memory, state: RunState) -> None:
    """A run that was cancelled or interrupted is no success either."""
    memory.runs.endings["etcd-1"] = [{"state": state, "reason": "gone"}]
    assert tarmak("converge", "--role", "etcd").code == 1


def test_no_wait_ends_at_once(tarmak: Tarmak, memory: Memory) -> None:
    """The runs are shown as they were set going."""
    memory.runs.endings["etcd-1"] = [{"state": RunState.FAILED}]
    said = tarmak("converge", "--role", "etcd", "--no-wait", "-o", "json")
    assert said.code == 0
    assert [run["state"] for run in json.loads(said.out)] == ["queued"]


def test_a_timeout_ends_the_waiting_only(tarmak: Tarmak, memory: Memory) -> None:
    """Exit 1 names who still runs, and that it goes on."""
    memory.runs.endings["etcd-1"] = [{"state": RunState.RUNNING}] * 100
    said = tarmak("converge", "--role", "etcd", "--timeout", "1s")
    assert said.code == 1
    assert "still going: etcd-1" in said.err
    assert "they go on" in said.err


def test_taking_an_instance_elsewhere_is_confirmed(tarmak: Tarmak, memory: Memory) -> None:
    """Without a terminal and without --yes it is a usage error, and nothing happens; a dry run is free."""
    memory.fleet.put(an_instance("worker-1", observed=V2, desired=V2))
    said = tarmak("converge", "--all", "--bundle", V1[:15])
    assert said.code == 2
    assert "worker-1" in said.err
    assert "--yes" in said.err
    assert memory.runs.requests == []
    assert tarmak("converge", "--all", "--bundle", V1, "--dry-run").code == 0
    assert tarmak("converge", "--all", "--bundle", V1, "--yes").code == 0
    assert [request.noop for request in memory.runs.requests] == [True, False]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_a_person_is_asked(
    tarmak: Tarmak, memory: Memory, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    """On a terminal only a yes goes on."""
    memory.fleet.put(an_instance("worker-1", observed=V2))
    monkeypatch.setattr("orchestrator.cli.asking.at_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert tarmak("converge", "--instance", "worker-1", "--bundle", V1).code == code
    assert len(memory.runs.requests) == (1 if code == 0 else 0)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("converge",), 2),
        (("converge", "--instance", "worker-7"), 1),
        (("converge", "--label", "zone=z"), 1),
        (("converge", "--all", "--bundle", "abc"), 2),
        (("converge", "--all", "--bundle", "abcdef"), 1),
        (("converge", "--all", "--timeout", "soon"), 2),
        (("ping",), 2),
        (("run", "show", "12"), 2),
        (("run", "show", "zzzz"), 1),
        (("bundle", "show", "zzzz"), 1),
        (("instance", "show", "A"), 2),
        (("instances", "--url", "http://x"), 2),
        (("instances", "--url", "unix:///nowhere/x.sock"), 3),
        (("nonsense",), 2),
        (("instances", "-o", "xml"), 2),
        (("instances", "--rolle", "x"), 2),
    ],
)
def test_errors_are_short_and_have_their_code(tarmak: Tarmak, words: tuple[str, ...], code: int) -> None:
    """At most three lines on stderr, nothing on stdout, no traceback."""
    said = tarmak(*words)
    assert said.code == code, said
    assert said.out == ""
    assert 1 <= len(said.err.splitlines()) <= 3
    assert said.err.startswith("tarmak: ")


def test_interrupting_says_that_the_runs_go_on(tarmak: Tarmak, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the waiting with 130; the runs are the orchestrator's."""
    answers = iter([[a_run(1, state=RunState.RUNNING)]])

    def interrupted(*_: object) -> list[Any]:
        for answer in answers:
            return answer
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestrator.cli.watch._runs", interrupted)
    said = tarmak("converge", "--role", "etcd")
    assert said.code == 130
    assert "1 of 1 runs go on without you" in said.err


def test_a_plan_shows_identical_changes_once(tarmak: Tarmak, memory: Memory) -> None:
    """How many share them, the diff and the hash; 4 with --exit-code if there are any."""
    memory.runs.plans["*"] = memory.plan_of()
    said = tarmak("plan", "--all", "--bundle", V1)
    assert said.code == 0
    assert "1 instance, 1 change: worker-1" in said.out
    assert "+new" in said.out
    assert "diff hash: sha256:abc" in said.out
    assert tarmak("plan", "--all", "--bundle", V1, "--exit-code").code == 4
    memory.runs.plans["*"] = memory.plan_of(groups=(), unchanged=(ids.instance_id("worker-1"),))
    assert tarmak("plan", "--all", "--bundle", V1, "--exit-code").code == 0
    assert all(request.noop for request in memory.runs.requests)


def test_a_plan_that_is_not_whole_is_a_failure(tarmak: Tarmak, memory: Memory) -> None:
    """An instance that could not say what would change is named, and --exit-code does not hide it."""
    failed = (PlanFailure(instance=ids.instance_id("etcd-1"), reason="syntax error"),)
    memory.runs.plans["*"] = memory.plan_of(failed=failed)
    said = tarmak("plan", "--all", "--bundle", V1, "--exit-code")
    assert said.code == 1
    assert "failed: etcd-1: syntax error" in said.out


def test_runs_are_listed_and_named_by_a_part(tarmak: Tarmak, memory: Memory) -> None:
    """The end of an id, as the list shows it, is enough where only one fits."""
    memory.runs.views[run_id(0xABCDE)] = a_run(0xABCDE, changes=(CHANGE,))
    memory.runs.views[run_id(2)] = a_run(2, state=RunState.FAILED)
    listed = tarmak("run", "list").out
    assert "0000000abcde" in listed
    assert [
        run["id"] for run in json.loads(tarmak("run", "list", "--state", "failed", "-o", "json").out)
    ] == [run_id(2)]
    shown = tarmak("run", "show", "0abcde").out
    assert "File[/tmp/x] content  (site.pp:3)" in shown
    assert tarmak("run", "show", "0198c0de").code == 2


def test_a_runs_log_is_printed_when_it_is_whole(tarmak: Tarmak, memory: Memory) -> None:
    """Each line with its level and place; escape sequences of a host don't reach the terminal."""
    memory.runs.views[run_id(1)] = a_run(1, log_complete=True)
    memory.runs.logs[run_id(1)] = [
        {
            "at": "t",
            "level": "err",
            "source": "Puppet",
            "message": "a\x1b[2Jb\nc",
            "file": "site.pp",
            "line": 3,
        }
    ]
    assert tarmak("run", "logs", run_id(1)).out == "t err: Puppet: a·[2Jb (site.pp:3)\n    c\n"
    assert json.loads(tarmak("run", "logs", run_id(1), "-o", "jsonl").out)["level"] == "err"


def test_the_lines_that_trace_each_resource_are_shown_when_asked_for(tarmak: Tarmak, memory: Memory) -> None:
    """A log says what mattered; two lines a resource for progress only with --trace, and always in data."""
    memory.runs.views[run_id(1)] = a_run(1, log_complete=True)
    memory.runs.logs[run_id(1)] = [
        {"at": "t", "level": level, "source": "/File[x]", "message": message}
        for level, message in (
            ("info", "Starting to evaluate the resource (1 of 2)"),
            ("notice", "created"),
            ("info", "Evaluated in 0.01 seconds"),
        )
    ]
    assert tarmak("run", "logs", run_id(1)).out == "t notice: /File[x]: created\n"
    assert len(tarmak("run", "logs", run_id(1), "--trace").out.splitlines()) == 3
    assert len(tarmak("run", "logs", run_id(1), "-o", "jsonl").out.splitlines()) == 3


def test_a_running_runs_log_is_followed_until_its_end(tarmak: Tarmak, memory: Memory) -> None:
    """Live lines come as they are said; without -f the command says how."""
    memory.runs.views[run_id(1)] = a_run(1, state=RunState.RUNNING)
    said = tarmak("run", "logs", run_id(1))
    assert said.code == 1
    assert f"logs -f {run_id(1)}" in said.err
    line = {"at": "t", "level": "notice", "source": "Puppet", "message": "hello"}
    memory.tail.lines.append(
        LiveView(
            kind="log_lines",
            at=NOW,
            instance=ids.instance_id("worker-1"),
            role=ids.role("worker"),
            run=run_id(1),
            body={"lines": [line]},
        )
    )
    memory.runs.views[run_id(1)] = a_run(1, state=RunState.RUNNING)
    seen = iter([a_run(1, state=RunState.RUNNING), a_run(1)])

    async def run(_: str) -> Any:
        return next(seen, a_run(1))

    memory.runs.run = run  # type: ignore[method-assign]
    memory.tail.stored.append(an_event(1))
    said = tarmak("run", "logs", "-f", run_id(1))
    assert said.code == 0


def test_a_run_is_cancelled_by_name(tarmak: Tarmak, memory: Memory) -> None:
    """The request carries who asked."""
    memory.runs.views[run_id(1)] = a_run(1, state=RunState.RUNNING)
    assert tarmak("run", "cancel", run_id(1)).code == 0
    ((cancelled, who),) = memory.runs.cancelled
    assert cancelled == run_id(1)
    assert who


def test_events_in_a_pipe_are_json_lines(tarmak: Tarmak, memory: Memory) -> None:
    """What there is, in order, and the end; a cursor begins behind it."""
    memory.tail.stored += [an_event(1), an_event(2), an_event(3)]
    found = [json.loads(line) for line in tarmak("events", "--since", "1").out.splitlines()]
    assert [event["cursor"] for event in found] == [2, 3]
    assert set(found[0]) >= {
        "cursor",
        "id",
        "kind",
        "at",
        "instance",
        "role",
        "boot",
        "seq",
        "caused_by",
        "body",
    }
    assert "accepted" in tarmak("events", "-o", "table").out
    assert len(json.loads(tarmak("events", "-o", "json").out)) == 3
    assert len(list(yaml.safe_load_all(tarmak("events", "-o", "yaml").out))) == 3


def test_bundles_are_listed_and_shown(tarmak: Tarmak) -> None:
    """By any beginning of their digest."""
    assert "1111111111" in tarmak("bundle", "list").out
    assert V1 in tarmak("bundle", "show", "1111").out


def test_a_bundle_is_built_and_pushed(tarmak: Tarmak, memory: Memory, tmp_path: Path) -> None:
    """The digest alone is on stdout; the same tree has the same one; verify proves the archive."""
    source = tmp_path / "site"
    (source / "manifests").mkdir(parents=True)
    (source / "manifests" / "site.pp").write_text("notify { 'x': }\n")
    archive = tmp_path / "site.tar.gz"
    built = tarmak("bundle", "build", str(source), "--out", str(archive), "--no-validate")
    assert built.code == 0, built
    assert ids.digest(built.out.strip())
    assert tarmak("bundle", "verify", str(archive)).out == built.out
    assert tarmak("bundle", "verify", str(archive), "--digest", V1).code == 1
    assert tarmak("bundle", "push", str(archive)).out.strip() == V1
    assert tarmak("bundle", "push", str(source), "--no-validate").code == 0
    assert memory.bundles.received == [archive.read_bytes()] * 2


def test_a_directory_that_is_no_bundle_is_explained(tarmak: Tarmak, tmp_path: Path) -> None:
    """In at most three lines, with exit 1; a broken archive too."""
    (tmp_path / "empty").mkdir()
    said = tarmak("bundle", "push", str(tmp_path / "empty"))
    assert (said.code, said.out) == (1, "")
    assert len(said.err.splitlines()) <= 3
    (tmp_path / "archive").write_bytes(b"no gzip")
    assert tarmak("bundle", "verify", str(tmp_path / "archive")).code == 1


HEAVY = (
    "aiohttp",
    "sqlalchemy",
    "pydantic",
    "rich",
    "yaml",
    "asyncio",
    "cryptography",
    "puppet_bridge.bundle",
)
ASK = (
    "import sys; from orchestrator.cli.main import main_with; code = main_with({words}); print({names}, code)"
)


@pytest.mark.parametrize("words", [["--help"], ["status"], ["instances"]])
def test_a_command_imports_nothing_heavy(tarmak: Tarmak, words: list[str]) -> None:
    """A question to the daemon has 0.3 s: neither an HTTP stack, nor a database, nor a colour library."""
    assert tarmak
    names = f"sorted(set({HEAVY!r}) & set(sys.modules))"
    code = ASK.format(words=words, names=names)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "[] 0", said


@pytest.mark.parametrize(("words", "code"), [(["status"], 0), (["why"], 0), (["upgrade", "--all"], 2)])
def test_a_command_imports_no_other_commands(tarmak: Tarmak, words: list[str], code: int) -> None:
    """However many commands there are, each starts as if it were alone."""
    assert tarmak
    others = tuple(f"orchestrator.cli.{name}" for name in set(COMMANDS.values()) - {COMMANDS[words[0]]})
    names = f"sorted(set({(*others, 'orchestrator.domain.rollout.reading')!r}) & set(sys.modules))"
    program = ASK.format(words=words, names=names)
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == f"[] {code}", said


def test_every_command_is_in_the_help(tarmak: Tarmak) -> None:
    """And each that is there is known by its word; a help of one is its own."""
    listed = tarmak("--help").out.partition("Commands:")[2].splitlines()
    assert {line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "} == set(COMMANDS)
    for name in COMMANDS:
        assert tarmak(name, "--help").out.startswith(f"Usage: tarmak {name}")


def test_a_reader_that_has_had_enough_is_no_error(tarmak: Tarmak, memory: Memory) -> None:
    """`tarmak events | head -1` ends quietly."""
    assert tarmak
    memory.tail.stored += [an_event(number) for number in range(1, 3000)]
    program = "from orchestrator.cli.main import main; main()"
    command = f"'{sys.executable}' -c \"$0\" events | head -1"
    shell = ["bash", "-c", f"set -o pipefail; {command}", program]
    said = subprocess.run(shell, capture_output=True, check=False)
    assert (said.returncode, said.stderr) == (0, b"")
    assert said.stdout.count(b"\n") == 1
