"""`tarmak upgrade` as scripts see it: what it asks, prints and ends with, and each of its flags."""

import io
import json
import sys
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker import ids
from broker.messages import Drainer, DrainPolicy, OnTimeout
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout.strategy import Amount, OnFailure, Strategy, Window
from orchestrator.domain.views import Selector
from tests.unit.orchestrator.cli.program import Tarmak
from tests.unit.orchestrator.cli.rollouts import done, ends
from tests.unit.orchestrator.faces import V2, Memory, a_bundle, a_rollout, stepped

PAUSED, FAILED = RolloutState.PAUSED, RolloutState.FAILED
UPGRADE = ("upgrade", "--role", "worker", "--bundle", V2)


def test_an_upgrade_shows_its_plan_begins_and_waits(tarmak: Tarmak, memory: Memory) -> None:
    """The plan and each change are told on stderr, the end is a table on stdout; exit 0."""
    memory.rollouts.planned = {"needs": ("worker: at most 1 of 2 away",), "expected_s": 600.0}
    first = a_rollout(7, "worker-1", "worker-2")
    ends(memory, first, stepped(first, worker_1=StepState.CONVERGING), done())
    said = tarmak(*UPGRADE, "--yes")
    assert said.code == 0, said
    assert "plan: 2 instances to bundle 222222222222" in said.err
    assert "worker-1 (canary)" in said.err
    assert "needs: worker: at most 1 of 2 away" in said.err
    assert "expected: about 10m" in said.err
    assert "worker-1 converging" in said.err
    assert "rollout r-7 succeeded, wave 2 of 2: 2 done" in said.err
    assert [line.split()[:3] for line in said.out.splitlines()[-2:]] == [
        ["worker-1", "1", "done"],
        ["worker-2", "2", "done"],
    ]
    (request,) = memory.rollouts.requests
    assert request == replace(memory.rollouts.previews[0], confirmed=True)
    assert (request.digest, request.strategy, request.approved) == (V2, Strategy(), None)
    assert request.selector == Selector(roles=(ids.role("worker"),))


@pytest.mark.parametrize(
    ("state", "words"), [(PAUSED, "is paused"), (FAILED, "failed"), (RolloutState.ABORTED, "was aborted")]
)
def test_an_upgrade_that_does_not_succeed_says_why_and_what_next(
    tarmak: Tarmak, memory: Memory, state: RolloutState, words: str
) -> None:
    """Exit 1, with the reason and the next command in the last three lines on stderr."""
    command = "tarmak rollout retry r-7 worker-1"
    ends(memory, done(state=state, reason="worker-1 failed: Exec[x] failed", command=command))
    said = tarmak(*UPGRADE, "--yes")
    assert said.code == 1
    assert said.err.splitlines()[-3:] == [
        f"tarmak: rollout r-7 {words}: 2 done",
        "  why: worker-1 failed: Exec[x] failed",
        f"  do:  {command}",
    ]


def test_an_end_without_words_is_told_by_its_steps(tarmak: Tarmak, memory: Memory) -> None:
    """What failed is the reason, and where to look is the next command."""
    failed = stepped(done(state=FAILED), worker_2={"state": StepState.FAILED, "reason": "Exec[x] failed"})
    ends(memory, failed)
    said = tarmak(*UPGRADE, "--yes")
    assert said.err.splitlines()[-2:] == [
        "  why: worker-2: Exec[x] failed",
        "  do:  see `tarmak rollout show r-7` and `tarmak why r-7`",
    ]


def test_a_plan_shows_what_its_drains_would_meet(tarmak: Tarmak, memory: Memory) -> None:
    """Each warning is a line of its own, before anything is asked; none of them keeps it from beginning."""
    memory.rollouts.planned = {
        "warnings": ("budget shop/cart allows no disruption", "wave 1 (worker-1): full")
    }
    ends(memory, done())
    dry = tarmak(*UPGRADE, "--dry-run")
    assert "! budget shop/cart allows no disruption\n! wave 1 (worker-1): full\n" in dry.out
    said = tarmak(*UPGRADE, "--yes")
    assert said.code == 0
    assert "! budget shop/cart allows no disruption\n! wave 1 (worker-1): full\n" in said.err


def test_without_a_terminal_an_upgrade_needs_its_yes(tarmak: Tarmak, memory: Memory) -> None:
    """The plan is shown, nothing is begun, exit 2; a dry run needs none, and prints the plan alone."""
    said = tarmak(*UPGRADE)
    assert said.code == 2
    assert said.err.splitlines()[-2:] == ["tarmak: this upgrades 2 instances", "  do:  confirm with --yes"]
    plan = tarmak(*UPGRADE, "--dry-run", "-o", "json")
    assert (plan.code, plan.err) == (0, "")
    assert json.loads(plan.out)["id"] is None
    assert "to bundle" in tarmak(*UPGRADE, "--dry-run").out
    assert memory.rollouts.requests == []


@pytest.mark.parametrize(
    ("outages", "answers", "code", "confirmed"),
    [
        ((), "y\n", 0, [False]),
        (("vault goes down",), "y\n", 0, [True]),
        (("vault goes down",), "n\n", 1, []),
        ((), "", 1, []),
    ],
)
def test_a_person_agrees_to_the_plan_and_to_its_outages(
    tarmak: Tarmak,
    memory: Memory,
    *,
    monkeypatch: pytest.MonkeyPatch,
    outages: tuple[str, ...],
    answers: str,
    code: int,
    confirmed: list[bool],
) -> None:
    """Only a yes begins it; an outage that the plan did not name is not agreed to."""
    monkeypatch.setattr("orchestrator.cli.asking.at_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answers))
    memory.rollouts.planned = {"confirmations": outages}
    ends(memory, done())
    said = tarmak(*UPGRADE)
    assert said.code == code
    assert [request.confirmed for request in memory.rollouts.requests] == confirmed
    assert all(outage in said.err for outage in outages)


@pytest.mark.parametrize(("answers", "begun"), [("y\nn\n", 0), ("y\ny\n", 1)])
def test_deleting_past_budgets_is_a_question_of_its_own(
    tarmak: Tarmak, memory: Memory, monkeypatch: pytest.MonkeyPatch, answers: str, begun: int
) -> None:
    """A yes to the plan is none to --disable-eviction."""
    monkeypatch.setattr("orchestrator.cli.asking.at_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answers))
    ends(memory, done())
    said = tarmak(*UPGRADE, "--disable-eviction")
    assert "past every disruption budget" in said.err
    assert len(memory.rollouts.requests) == begun


def test_what_disrupts_nothing_is_not_asked_about(tarmak: Tarmak, memory: Memory) -> None:
    """Where all have the bundle already, the rollout only says so."""
    skipped = tuple(
        stepped(
            a_rollout(7, "worker-1", "worker-2"), worker_1=StepState.SKIPPED, worker_2=StepState.SKIPPED
        ).steps
    )
    memory.rollouts.planned = {"steps": skipped}
    ends(memory, done())
    said = tarmak(*UPGRADE)
    assert said.code == 0
    assert "have it already: worker-1, worker-2" in said.err


def test_no_wait_says_how_to_watch(tarmak: Tarmak, memory: Memory) -> None:
    """The rollout as it was begun, at once."""
    ends(memory, done(state=FAILED))
    said = tarmak(*UPGRADE, "--yes", "--no-wait", "-o", "json")
    assert said.code == 0
    assert json.loads(said.out)["state"] == "progressing"
    assert "tarmak rollout watch r-7" in said.err


def test_a_timeout_ends_the_waiting_only_for_rollouts_too(tarmak: Tarmak, memory: Memory) -> None:
    """Exit 1, and the rollout goes on."""
    said = tarmak(*UPGRADE, "--yes", "--timeout", "1s")
    assert said.code == 1
    assert "has not ended within 1s; it goes on in the daemon" in said.err
    assert memory.rollouts.acts == []


def test_interrupting_says_that_the_rollout_goes_on(
    tarmak: Tarmak, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the watching with 130, and says how to pause what goes on."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestrator.cli.following.wait", interrupted)
    said = tarmak(*UPGRADE, "--yes")
    assert said.code == 130
    assert said.err.splitlines()[-2:] == [
        "tarmak: interrupted; rollout r-7 goes on in the daemon",
        "  do:  pause it with `tarmak rollout pause r-7`, look with `tarmak rollout watch r-7`",
    ]
    assert memory.rollouts.acts == []


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        (("--max-unavailable", "30%"), {"max_unavailable": Amount(value=30, percent=True)}),
        (("--canary", "0"), {"canary": 0}),
        (("--soak", "90"), {"soak_s": 90}),
        (("--canary-soak", "2m"), {"canary_soak_s": 120}),
        (("--max-failures", "20%"), {"max_failures": Amount(value=20, percent=True)}),
        (("--min-finished", "5"), {"min_finished": 5}),
        (("--progress-deadline", "1h"), {"progress_deadline_s": 3600}),
        (("--health-passes", "5"), {"passes": 5}),
        (("--health-interval", "5s"), {"interval_s": 5}),
        (("--health-timeout", "1m"), {"health_timeout_s": 60}),
        (("--on-failure", "revert"), {"on_failure": OnFailure.REVERT}),
        (("--no-prefetch",), {"prefetch": False}),
        (("--no-drain",), {"drain": None}),
        (("--drain-timeout", "5m"), {"drain": DrainPolicy(timeout_s=300)}),
        (("--delete-emptydir-data",), {"drain": DrainPolicy(delete_emptydir_data=True)}),
        (("--force",), {"drain": DrainPolicy(force=True)}),
        (("--no-ignore-daemonsets",), {"drain": DrainPolicy(ignore_daemonsets=False)}),
        (("--grace-period", "0"), {"drain": DrainPolicy(grace_period_s=0)}),
        (("--skip-wait-for-delete-timeout", "30s"), {"drain": DrainPolicy(skip_wait_s=30)}),
        (("--critical",), {"drain": DrainPolicy(critical=True)}),
        (("--disable-eviction",), {"drain": DrainPolicy(disable_eviction=True)}),
        (
            ("--on-drain-timeout", "delete", "--delete-selector", "app=a", "--delete-selector", "app=b"),
            {"drain": DrainPolicy(on_timeout=OnTimeout.DELETE, delete_selectors=("app=a", "app=b"))},
        ),
        (("--run-timeout", "10m"), {"run_timeout_s": 600}),
        (("--window", "always"), {"window": None}),
        (
            ("--window", "sat-mon,wed 22:00-04:00 Europe/Berlin"),
            {
                "window": Window(
                    begin=time(22), end=time(4), days=("sat", "sun", "mon", "wed"), zone="Europe/Berlin"
                )
            },
        ),
        (("--window", "01:30-05:00"), {"window": Window(begin=time(1, 30), end=time(5))}),
    ],
)
def test_each_flag_is_a_field_of_the_strategy(
    tarmak: Tarmak, memory: Memory, flags: tuple[str, ...], changes: dict[str, Any]
) -> None:
    """It changes that field alone."""
    assert tarmak(*UPGRADE, "--dry-run", *flags).code == 0
    assert memory.rollouts.previews[0].strategy == Strategy(**changes)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--max-unavailable", "0"), "--max-unavailable: '0' is neither a count from 1, such as 2, nor"),
        (("--max-unavailable", "200%"), "--max-unavailable: '200%' is more than 100%"),
        (("--canary", "-1"), "Invalid value for '--canary'"),
        (("--canary", "one"), "Invalid value for '--canary'"),
        (("--soak", "soon"), "--soak: 'soon' is no length of time"),
        (("--canary-soak", "-1"), "--canary-soak: '-1' is no length of time"),
        (("--max-failures", "none"), "--max-failures: 'none' is neither"),
        (("--min-finished", "0"), "Invalid value for '--min-finished'"),
        (("--progress-deadline", "0"), "--progress-deadline: '0' is not from 1s"),
        (("--health-passes", "0"), "Invalid value for '--health-passes'"),
        (("--health-interval", "0"), "--health-interval: '0' is not from 1s"),
        (("--health-timeout", "x"), "--health-timeout: 'x' is no length of time"),
        (("--on-failure", "stop"), "--on-failure: 'stop' is none of pause, revert"),
        (("--window", ""), "--window: '' is no window"),
        (("--window", "mon-fri"), "--window: 'mon-fri' is no window"),
        (("--window", "mon-die 22:00-04:00"), "--window: 'mon-die' are no days"),
        (("--window", "22:00-25:00"), "--window: '25:00' is no time of a day"),
        (("--window", "22:00"), "--window: '22:00' is no window"),
        (("--window", "22:00-04:00 Mars"), "--window: 'Mars' is no time zone"),
        (("--window", "22:00-04:00 Europe/Berlin x"), "--window: '22:00-04:00 Europe/Berlin x' is no window"),
        (("--window", "04:00-04:00"), "--window: it begins when it ends"),
        (("--no-drain", "--force"), "--no-drain goes with no flag about draining (--force)"),
        (("--drain-timeout", "0"), "--drain-timeout: '0' is not from 1s"),
        (("--grace-period", "-1"), "--grace-period: '-1' is no length of time"),
        (("--skip-wait-for-delete-timeout", "x"), "--skip-wait-for-delete-timeout: 'x' is no"),
        (("--on-drain-timeout", "fail"), "--on-drain-timeout: 'fail' is none of uncordon, keep, delete"),
        (("--on-drain-timeout", "delete"), "--delete-selector: empty"),
        (("--run-timeout", "2d"), "--run-timeout: '2d' is not from 1s to 1d"),
        (("--timeout", "soon"), "'soon' is no duration"),
        (("--strategy", "/nowhere/s.yaml"), "/nowhere/s.yaml: "),
        (("--max-unavailible", "1"), "No such option: --max-unavailible"),
        (("--all",), "--all goes with no other selector"),
    ],
)
def test_a_wrong_flag_is_named_and_nobody_is_asked(
    tarmak: Tarmak, memory: Memory, flags: tuple[str, ...], message: str
) -> None:
    """Exit 2 in at most three lines, before anything goes to the daemon."""
    said = tarmak(*UPGRADE, *flags)
    assert (said.code, said.out) == (2, ""), said
    assert said.err.startswith(f"tarmak: {message}"), said.err
    assert len(said.err.splitlines()) <= 3
    assert memory.rollouts.previews == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("upgrade", "--bundle", V2), 2),
        (("upgrade", "--all"), 2),
        (("upgrade", "--all", "--bundle", "abc"), 2),
        (("upgrade", "--all", "--bundle", "abcdef"), 1),
        (("upgrade", "--role", "vault", "--bundle", V2), 1),
        (("rollout",), 2),
        (("rollout", "show", "seven"), 2),
        (("rollout", "show", "r-8"), 1),
        (("rollout", "show"), 1),
        (("rollout", "watch", "r-7", "--timeout", "x"), 2),
        (("rollout", "pause", "7", "8"), 2),
        (("rollout", "resume", "r-7", "--beyond-failed", "-1"), 2),
        (("rollout", "abort"), 2),
        (("rollout", "revert"), 2),
        (("rollout", "retry", "r-7", "A_b"), 2),
        (("rollout", "skip", "r-7"), 2),
        (("rollout", "skip", "worker-1", "worker-2"), 2),
        (("drain",), 2),
        (("drain", "A_b", "--yes"), 2),
        (("drain", "worker-1", "--yes", "--drain-timeout", "x"), 2),
        (("drain", "worker-1", "--yes", "--timeout", "x"), 2),
        (("drain", "worker-1"), 2),
        (("uncordon", "A_b"), 2),
        (("why", "--rolle"), 2),
    ],
)
def test_what_can_not_be_meant_does_nothing(
    tarmak: Tarmak, memory: Memory, words: tuple[str, ...], code: int
) -> None:
    """A usage error, or a refusal of the daemon's; nothing was begun, done or drained."""
    said = tarmak(*words)
    assert (said.code, said.out) == (code, ""), said
    assert memory.rollouts.requests == []
    assert memory.rollouts.acts == []
    assert memory.drains.asked == []


def test_flags_go_before_the_file(tarmak: Tarmak, memory: Memory, tmp_path: Path) -> None:
    """What no flag says is the file's, also within health and drain; a drain's flag drains after all."""
    file = tmp_path / "strategy.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "canary": 2,
                "soak": "5s",
                "health": {"passes": 7, "interval": "9s"},
                "drain": {"drainer": "command", "timeout": "1m"},
                "window": {"begin": "22:00", "end": "04:00"},
            }
        )
    )
    flags = ("--soak", "1s", "--health-passes", "4", "--drain-timeout", "2m", "--window", "always")
    assert tarmak(*UPGRADE, "--dry-run", "--strategy", str(file), *flags).code == 0
    drain = DrainPolicy(drainer=Drainer.COMMAND, timeout_s=120)
    assert memory.rollouts.previews[0].strategy == Strategy(
        canary=2, soak_s=1, passes=4, interval_s=9, drain=drain
    )
    file.write_text("drain: none\n")
    assert tarmak(*UPGRADE, "--dry-run", "--strategy", str(file)).code == 0
    assert tarmak(*UPGRADE, "--dry-run", "--strategy", str(file), "--force").code == 0
    file.write_text("")
    assert tarmak(*UPGRADE, "--dry-run", "--strategy", str(file)).code == 0
    found = [request.strategy.drain for request in memory.rollouts.previews[1:]]
    assert found == [None, DrainPolicy(force=True), DrainPolicy()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_unavailble: 1", "max_unavailble: unknown; did you mean 'max_unavailable'?"),
        ("health: {roles: {worker: {http: [{url: x}]}}}", "health.roles.worker.http[0].url: 'x' is neither"),
        ("window: {begin: 22:00, end: 04:00}", "window.begin: 1320 is no time of a day"),
        ("- 1", "holds no mapping of fields"),
        ("a: [", "is no YAML"),
        ("a: \x00", "is no YAML"),
    ],
)
def test_a_wrong_file_names_the_field(
    tarmak: Tarmak, memory: Memory, tmp_path: Path, text: str, message: str
) -> None:
    """The file, the path within it, what stands there; exit 2."""
    file = tmp_path / "strategy.yaml"
    file.write_text(text)
    said = tarmak(*UPGRADE, "--strategy", str(file))
    assert said.code == 2
    assert said.err.startswith(f"tarmak: {file}")
    assert message in said.err
    assert len(said.err.splitlines()) <= 3
    assert memory.rollouts.previews == []


def test_a_bundle_may_be_named_by_its_name(tarmak: Tarmak, memory: Memory) -> None:
    """NAME where one has it, NAME@VERSION otherwise; several that fit are an error."""
    memory.bundles.views.append(a_bundle(V2, version="2"))
    for name in ("site@2", "2222"):
        assert tarmak("upgrade", "--all", "--bundle", name, "--dry-run").code == 0
    assert [request.digest for request in memory.rollouts.previews] == [V2, V2]
    said = tarmak("upgrade", "--all", "--bundle", "site", "--dry-run")
    assert (said.code, said.err.splitlines()[0]) == (2, "tarmak: 'site' fits 2 bundles")


def test_the_approved_hash_goes_along(tarmak: Tarmak, memory: Memory) -> None:
    """What a person has read is what may be changed."""
    assert tarmak(*UPGRADE, "--dry-run", "--approved", "abc").code == 0
    assert memory.rollouts.previews[0].approved == "abc"
