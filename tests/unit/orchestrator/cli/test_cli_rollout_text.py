"""Rollouts as people read them: each sentence, and what is left out where there is no room."""

import io
import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from broker import ids
from orchestrator.cli import amounts, rollout_text, tactics
from orchestrator.cli.rollout_log import Lines
from orchestrator.cli.rollout_show import screen, showing
from orchestrator.cli.stop import Code, StopError
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout_views import RolloutView
from tests.unit.orchestrator.faces import NOW, a_rollout, a_step, stepped

BLOCKED = {
    "state": StepState.DRAINING,
    "reason": "pod shop/cart-0 not evicted: budget shop/cart has 2 healthy, needs 2",
    "command": "tarmak rollout skip r-7 worker-3",
}


@pytest.mark.parametrize(
    ("length_s", "text"),
    [(-1, "0s"), (0.9, "0s"), (59, "59s"), (252, "4m12s"), (7500, "2h5m"), (3600, "1h"), (356_400, "4d3h")],
)
def test_a_length_of_time_has_two_units(length_s: float, text: str) -> None:
    """Enough to see that it moves."""
    assert amounts.spent(length_s) == text


def test_what_waits_says_since_when_why_and_what_next() -> None:
    """One causal sentence that ends in the next safe command."""
    step = a_step("worker-3", **BLOCKED)
    assert rollout_text.step_line(step, NOW + timedelta(seconds=252)) == (
        "worker-3 draining 4m12s: pod shop/cart-0 not evicted: budget shop/cart has 2 healthy, needs 2; "
        "next: tarmak rollout skip r-7 worker-3"
    )
    back = a_step("worker-1", StepState.CONVERGING, back=True, since=None)
    assert rollout_text.step_line(back, NOW) == "worker-1 converging (on its way back)"


@pytest.mark.parametrize(
    ("reason", "command", "text"),
    [
        ("", None, ""),
        ("x\n\x1b[2Jy", None, "x [2Jy"),
        ("", "do", "next: do"),
        ("x", "do", "x; next: do"),
        ("scale it up or: tarmak x", "tarmak x", "scale it up or: tarmak x"),
    ],
)
def test_a_command_is_named_once(reason: str, command: str | None, text: str) -> None:
    """A sentence that has it already is left as it is; what a host said moves no cursor."""
    assert rollout_text.advised(reason, command) == text


def test_many_instances_are_counted() -> None:
    """The first by name, the others by number."""
    some = tuple(ids.instance_id(f"worker-{number}") for number in range(1, 101))
    assert rollout_text.names(some[:8]) == ", ".join(some[:8])
    assert rollout_text.names(some) == f"{', '.join(some[:7])} and 93 more"


def test_a_plan_leaves_out_what_has_the_bundle_already() -> None:
    """Its waves have those that go; a wave of none that goes is none."""
    view = stepped(a_rollout(), worker_1=StepState.SKIPPED)
    view = replace(view, waves=tuple(replace(wave, expected_s=90.0) for wave in view.waves))
    lines = list(rollout_text.plan_lines(view))
    assert lines == [
        "plan: 2 instances to bundle 222222222222",
        "  WAVE  ROLE    EXPECTED  INSTANCES",
        "  2     worker  1m30s     worker-2, worker-3",
        "  have it already: worker-1",
        "  expected: not known, for want of past runs",
        "  strategy: as by default",
    ]


def test_of_a_strategy_the_unusual_is_said() -> None:
    """By the fields' paths, in words."""
    plain = {
        **a_rollout().strategy,
        "canary": 0,
        "prefetch": False,
        "drain": "none",
        "window": {"days": ["mon"], "begin": "22:00", "end": "04:00", "zone": "UTC"},
        "health": {
            "passes": 3,
            "roles": {"worker": {}, "etcd": {"http": [{"url": "http://x", "ca": None}]}},
        },
    }
    assert rollout_text.strategy_words(plain) == (
        "canary: 0, health.roles.worker: none, health.roles.etcd.http: url=http://x ca=none, drain: none, "
        "prefetch: no, window.days: mon, window.begin: 22:00, window.end: 04:00, window.zone: UTC"
    )


def test_who_asked_is_tarmak_where_nobody_did() -> None:
    """An automatic rollout has nobody's name."""
    assert rollout_text.by(a_rollout()) == "root"
    assert rollout_text.by(a_rollout(automatic=True, requested_by="")) == "tarmak itself"


Told = Callable[..., list[str]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Return the lines of a log, without their times, for the views that it is shown one after the other."""

    def tell(*views: RolloutView, apart_s: int = 4) -> list[str]:
        moments = (NOW + timedelta(seconds=apart_s * number) for number in itertools.count())
        lines = Lines(lambda: next(moments))
        for view in views:
            lines.update(view)
        return [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]

    return tell


BUDGET = {"reason": "pod a not evicted: 1 healthy, needs 1", "command": "tarmak rollout skip r-7 worker-1"}
NO_ROOM = {"reason": "1 of 4 is not available (worker-9)", "command": "tarmak instances"}


def test_a_log_has_each_change_once(told: Told) -> None:
    """What lasts is no change, nor what passes by itself; the way back is one, and the end has its reason."""
    view = a_rollout(7, "worker-1")
    steps: list[dict[str, Any]] = [
        {"state": StepState.SOAKING, "reason": "watched until 42"},
        {"state": StepState.SOAKING, "reason": "watched until 43"},
        {"state": StepState.CONVERGING, "back": True},
    ]
    failed = {"state": StepState.FAILED, "reason": "Exec[x]", "command": "tarmak run show x"}
    ended = replace(stepped(view, worker_1=failed), state=RolloutState.FAILED, wave=2)
    assert told(view, *(stepped(view, worker_1=step) for step in steps), ended) == [
        "rollout r-7 progressing, wave 1 of 1: 1 pending",
        "wave 1 of 1 (worker, canary): worker-1",
        "worker-1 soaking",
        "worker-1 converging (on its way back)",
        "worker-1 failed: Exec[x]; next: tarmak run show x",
        "rollout r-7 failed, wave 1 of 1: 1 failed",
    ]


def test_a_log_says_why_when_it_lasts(told: Told) -> None:
    """Once, with how long, and anew when the cause is another; lengths of time are no part of a cause."""
    view = a_rollout(7, "worker-1")
    draining = {"state": StepState.DRAINING, **BUDGET}
    views = [
        stepped(view, worker_1=draining),
        stepped(view, worker_1={**draining, "reason": f"{BUDGET['reason']} for 42s"}),
        stepped(view, worker_1={**draining, "reason": f"{BUDGET['reason']} for 43s"}),
        stepped(view, worker_1={**draining, "reason": "another"}),
        stepped(view, worker_1={**draining, "reason": "another"}),
    ]
    why = f"{BUDGET['reason']} for 43s; next: {BUDGET['command']}"
    assert told(*views)[3:] == [
        f"worker-1 draining 8s: {why}",
        f"worker-1 draining 16s: another; next: {BUDGET['command']}",
    ]
    assert len(told(*views, apart_s=0)) == 3


def test_a_log_says_why_a_wave_waits_once_for_all_of_it(told: Told) -> None:
    """While one of it moves, that others wait is no news; nor is that later waves do."""
    view = stepped(
        a_rollout(7, *(f"worker-{number}" for number in range(1, 5)), wave=2),
        worker_1=StepState.DONE,
        worker_2=NO_ROOM,
        worker_3=NO_ROOM,
        worker_4={"wave": 3, "reason": "its wave 3 opens after wave 2"},
    )
    moving = stepped(view, worker_2={"state": StepState.CONVERGING, "reason": "", "command": None})
    moving = stepped(moving, worker_3={"reason": "2 of 4 are not available"})
    assert told(view, view, view, moving, moving)[2:] == [
        "worker-2, worker-3 waiting: 1 of 4 is not available (worker-9); next: tarmak instances",
        "worker-2 converging",
    ]


def test_a_log_begins_with_what_matters(told: Told) -> None:
    """Who begins to watch late is told what failed and what is on its way, and the others' number."""
    view = stepped(a_rollout(wave=2), worker_1=StepState.DONE, worker_2=StepState.FAILED)
    assert told(view) == [
        "rollout r-7 progressing, wave 2 of 2: 1 failed, 1 done, 1 pending",
        "wave 2 of 2 (worker): worker-2, worker-3",
        "worker-2 failed",
    ]


def test_to_look_at_the_rollout_is_no_advice_in_it() -> None:
    """Whoever reads the line does so."""
    step = a_step("worker-1", reason="its wave 2 opens after wave 1", command="tarmak rollout show r-7")
    assert rollout_text.step_why(step) == "its wave 2 opens after wave 1"


def test_the_live_view_has_room_for_what_matters() -> None:
    """Failed ones first, then those on their way; the rest is counted."""
    names = [f"worker-{number}" for number in range(1, 101)]
    states = {f"worker_{number}": StepState.DRAINING for number in range(3, 50)}
    view = stepped(
        a_rollout(7, *names, reason="x", expected_s=60.0),
        worker_1=StepState.DONE,
        worker_60=StepState.FAILED,
        **states,
    )
    shown = [line.plain for line in screen(view, NOW + timedelta(seconds=30), room=5)]
    assert shown[0].startswith(
        "rollout r-7 progressing, wave 1 of 2: 1 failed, 1 done, 47 draining, 51 pending"
    )
    assert shown[1].endswith("2 of 100, 30s of about 1m")
    assert shown[2:4] == ["x", "✗ worker-60 failed 30s"]
    assert shown[-1] == "  and 43 more"
    assert len(shown) == 9


def test_the_live_view_says_why_nothing_moves() -> None:
    """One instance stands for all that wait for the same."""
    blocked = {"reason": "1 of 3 is not available (worker-9)", "command": "tarmak instances"}
    view = stepped(a_rollout(wave=2), worker_1=StepState.DONE, worker_2=blocked, worker_3=blocked)
    shown = [line.plain for line in screen(view, NOW, room=5)]
    assert shown[2:] == [
        "· worker-2 pending 0s: 1 of 3 is not available (worker-9); next: tarmak instances",
    ]


def test_on_a_terminal_the_view_is_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn on stderr, and taken away at the end: the result follows on stdout."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with showing() as show:
        show.update(stepped(a_rollout(), worker_1=StepState.DRAINING))
    assert "worker-1 draining" in terminal.getvalue()


@pytest.mark.parametrize(
    ("text", "days"),
    [("mon", ["mon"]), ("fri-mon,wed", ["fri", "sat", "sun", "mon", "wed"]), ("SAT-SUN", ["sat", "sun"])],
)
def test_days_may_go_over_the_weeks_end(text: str, days: list[str]) -> None:
    """Ranges and single ones."""
    assert tactics.window_of(f"{text} 22:00-04:00")["window"]["days"] == days


def test_flags_that_are_not_given_say_nothing() -> None:
    """Only what was given goes over the file."""
    assert tactics.given({"canary": None, "drain.force": None, "drain.delete_selectors": []}) == {}
    assert tactics.given({"canary": 0, "drain.force": False}) == {"canary": 0, "drain": {"force": False}}
    with pytest.raises(StopError) as caught:
        tactics.without_drain({"drain": {"force": False}})
    assert caught.value.code is Code.USAGE
