"""The commands about rollouts as scripts see them: what they ask, print, and end with."""

import io
import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from broker import ids
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout_views import CordonView
from orchestrator.operations import RolloutAction
from tests.unit.orchestrator.cli.program import Tarmak
from tests.unit.orchestrator.cli.rollouts import done, ends
from tests.unit.orchestrator.faces import V1, Memory, a_rollout, stepped

PAUSED, FAILED = RolloutState.PAUSED, RolloutState.FAILED


def test_rollouts_are_listed_newest_first(tarmak: Tarmak, memory: Memory) -> None:
    """Without steps; an empty list says how to begin one."""
    assert "no rollouts" in tarmak("rollout", "list").err
    memory.rollouts.views |= {"r-6": done(id=ids.rollout_id("r-6")), "r-7": a_rollout(7, reason="x")}
    lines = tarmak("rollout", "list").out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["r-7", "progressing", "222222222222", "1/2"],
        ["r-6", "succeeded", "222222222222", "2/2"],
    ]
    assert len(json.loads(tarmak("rollout", "list", "--limit", "1", "-o", "json").out)) == 1


def test_a_rollout_is_shown_with_a_line_for_each_instance(tarmak: Tarmak, memory: Memory) -> None:
    """For what waits the causal sentence and the next command; each cordon left, and how to lift it."""
    blocked = {"state": StepState.DRAINING, "reason": "pod shop/cart-0 not evicted", "command": "do x"}
    left = CordonView(
        instance=ids.instance_id("worker-1"), owner="r-7", reason="revert failed", command="lift it"
    )
    memory.rollouts.views["r-7"] = replace(stepped(a_rollout(), worker_3=blocked), cordons=(left,))
    said = tarmak("rollout", "show", "7")
    assert "pod shop/cart-0 not evicted; next: do x" in said.out
    assert "! worker-1 is still cordoned (by r-7): revert failed; lift it with: lift it" in said.out
    assert tarmak("rollout", "show").out.splitlines()[0] == "rollout:   r-7"
    found = json.loads(tarmak("rollout", "show", "r-7", "-o", "json").out)
    assert [step["instance"] for step in found["steps"]] == ["worker-1", "worker-2", "worker-3"]
    assert found["steps"][0]["from"] == V1


def test_one_that_goes_on_is_meant_before_the_newest(tarmak: Tarmak, memory: Memory) -> None:
    """Without an id; with two of them it is a usage error that names both."""
    memory.rollouts.views |= {"r-6": a_rollout(6), "r-7": done()}
    assert json.loads(tarmak("rollout", "show", "-o", "json").out)["id"] == "r-6"
    memory.rollouts.views["r-7"] = a_rollout(7)
    said = tarmak("rollout", "pause")
    assert (said.code, said.err.splitlines()[0]) == (2, "tarmak: 2 rollouts are under way: r-7, r-6")
    assert memory.rollouts.acts == []


def test_watching_ends_as_the_rollout_does(tarmak: Tarmak, memory: Memory) -> None:
    """A line for each change; jsonl has each whole view; 1 when it is paused."""
    first = memory.rollouts.views["r-7"] = a_rollout(7, "worker-1", "worker-2")
    going = stepped(first, worker_1=StepState.DRAINING)
    ends(memory, first, going, done())
    said = tarmak("rollout", "watch", "r-7")
    assert said.code == 0
    told = [line.partition(" ")[2] for line in said.err.splitlines()]
    assert told == [
        "rollout r-7 progressing, wave 1 of 2: 2 pending",
        "wave 1 of 2 (worker, canary): worker-1",
        "worker-1 draining",
        "worker-1 done",
        "wave 2 of 2 (worker): worker-2",
        "worker-2 done",
        "rollout r-7 succeeded, wave 2 of 2: 2 done",
    ]
    ends(memory, first, going, done(state=PAUSED, reason="x"))
    said = tarmak("rollout", "watch", "r-7", "-o", "jsonl")
    assert said.code == 1
    assert [json.loads(line)["state"] for line in said.out.splitlines()] == ["progressing"] * 2 + ["paused"]


@pytest.mark.parametrize(
    ("words", "action", "instances", "beyond"),
    [
        (("pause", "r-7"), RolloutAction.PAUSE, (), 0),
        (("pause",), RolloutAction.PAUSE, (), 0),
        (("resume", "7"), RolloutAction.RESUME, (), 0),
        (("resume", "--beyond-failed", "2"), RolloutAction.RESUME, (), 2),
        (("abort", "r-7"), RolloutAction.ABORT, (), 0),
        (("retry",), RolloutAction.RETRY, (), 0),
        (("retry", "r-7"), RolloutAction.RETRY, (), 0),
        (("retry", "r-7", "worker-1", "--beyond-failed", "1"), RolloutAction.RETRY, ("worker-1",), 1),
        (("retry", "worker-1", "worker-2"), RolloutAction.RETRY, ("worker-1", "worker-2"), 0),
        (("skip", "r-7", "worker-1", "worker-2"), RolloutAction.SKIP, ("worker-1", "worker-2"), 0),
        (("revert", "r-7", "--yes", "--no-wait"), RolloutAction.REVERT, (), 0),
    ],
)
def test_each_action_is_asked_as_it_was_said(
    tarmak: Tarmak,
    memory: Memory,
    *,
    words: tuple[str, ...],
    action: RolloutAction,
    instances: tuple[str, ...],
    beyond: int,
) -> None:
    """It answers at once with how the rollout stands."""
    memory.rollouts.views["r-7"] = a_rollout()
    said = tarmak("rollout", *words)
    assert said.code == 0
    assert said.out.startswith("rollout r-7 ")
    (request,) = memory.rollouts.acts
    assert (request.action, request.instances, request.beyond_failed) == (action, instances, beyond)
    assert request.requested_by


BACK = {"state": StepState.REVERTED, "back": True, "touched": True}


@pytest.mark.parametrize(
    ("state", "worker_1", "worker_2", "code"),
    [
        (FAILED, BACK, StepState.PENDING, 0),
        (FAILED, BACK, BACK, 0),
        (RolloutState.ABORTED, BACK, StepState.SKIPPED, 0),
        (FAILED, BACK, {"state": StepState.FAILED, "reason": "never begun"}, 0),
        (FAILED, BACK, {"state": StepState.FAILED, "touched": True}, 1),
        (FAILED, BACK, {"state": StepState.FAILED, "back": True}, 1),
        (FAILED, BACK, StepState.DONE, 1),
        (PAUSED, BACK, {"state": StepState.FAILED, "touched": True}, 1),
    ],
)
def test_a_revert_succeeds_when_all_that_was_touched_is_back(
    tarmak: Tarmak, memory: Memory, *, state: RolloutState, worker_1: Any, worker_2: Any, code: int
) -> None:
    """Whatever the rollout itself is called then: what counts is where its instances are."""
    first = memory.rollouts.views["r-7"] = a_rollout(7, "worker-1", "worker-2")
    ends(memory, replace(stepped(first, worker_1=worker_1, worker_2=worker_2), state=state))
    assert tarmak("rollout", "revert", "r-7", "--yes").code == code


@pytest.mark.parametrize(("answer", "asked"), [("y\n", 1), ("n\n", 0)])
def test_a_revert_is_confirmed_with_whom_it_takes_back(
    tarmak: Tarmak, memory: Memory, monkeypatch: pytest.MonkeyPatch, answer: str, asked: int
) -> None:
    """It names those that were touched."""
    memory.rollouts.views["r-7"] = stepped(a_rollout(), worker_2=StepState.DONE, worker_3={"touched": True})
    monkeypatch.setattr("orchestrator.cli.asking.at_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    said = tarmak("rollout", "revert", "r-7", "--no-wait")
    assert "takes 2 instances back to the bundle that each had: worker-2, worker-3" in said.err
    assert len(memory.rollouts.acts) == asked
