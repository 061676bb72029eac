"""`tarmak drain`, `uncordon` and `why` as scripts see them."""

import io
import json
import sys

import pytest

from broker import ids
from broker.messages import DrainPolicy
from orchestrator.domain.rollout_views import WhyView
from orchestrator.domain.views import RunState
from tests.unit.orchestrator.cli.program import Tarmak
from tests.unit.orchestrator.faces import Memory, a_run, run_id


def test_a_drain_tells_what_goes_and_what_is_blocked(tarmak: Tarmak, memory: Memory) -> None:
    """A line for each change, and how to let pods come again."""
    memory.drains.news = [
        {"state": RunState.QUEUED, "total": None, "reason": "worker-2 is away, and one may be"},
        {"state": RunState.RUNNING, "total": 3, "reason": ""},
        {"evicted": 2, "blocked": ("shop/cart-0: budget shop/cart has 2 healthy, needs 2",)},
        {"evicted": 3, "blocked": (), "state": RunState.SUCCEEDED},
    ]
    said = tarmak("drain", "worker-1", "--yes", "--force", "--drain-timeout", "5m")
    assert said.code == 0
    assert said.err.splitlines() == [
        "worker-1: queued: worker-2 is away, and one may be",
        "worker-1: 0 of 3 pods are gone",
        "worker-1: 2 of 3 pods are gone",
        "worker-1: blocked: shop/cart-0: budget shop/cart has 2 healthy, needs 2",
        "worker-1: 3 of 3 pods are gone",
        "worker-1 stays cordoned until `tarmak uncordon worker-1`",
    ]
    assert "pods gone: 3 of 3" in said.out
    ((instance, policy, confirmed, by),) = memory.drains.asked
    assert (instance, policy, confirmed) == ("worker-1", DrainPolicy(force=True, timeout_s=300), True)
    assert by


def test_a_drain_that_fails_names_what_is_left(tarmak: Tarmak, memory: Memory) -> None:
    """Exit 1 with the reason and each pod."""
    memory.drains.news = [
        {"state": RunState.FAILED, "reason": "time is over", "left": ("shop/cart-0: budget",)}
    ]
    said = tarmak("drain", "worker-1", "--yes")
    assert said.code == 1
    assert said.err.splitlines()[-3:] == [
        "tarmak: drain of worker-1 failed",
        "  why: time is over; shop/cart-0: budget",
        "  do:  see `tarmak why worker-1`",
    ]
    assert "left:" in said.out


@pytest.mark.parametrize(
    ("answers", "flags", "confirmed"),
    [
        ("y\n", (), [False]),
        ("n\n", (), []),
        ("y\nn\n", ("--disable-eviction",), []),
        ("y\ny\n", ("--disable-eviction",), [False]),
    ],
)
def test_a_person_is_asked_before_a_drain(
    tarmak: Tarmak,
    memory: Memory,
    *,
    monkeypatch: pytest.MonkeyPatch,
    answers: str,
    flags: tuple[str, ...],
    confirmed: list[bool],
) -> None:
    """And once more before budgets are passed over."""
    monkeypatch.setattr("orchestrator.cli.asking.at_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answers))
    said = tarmak("drain", "worker-1", "--no-wait", *flags)
    assert [asked[2] for asked in memory.drains.asked] == confirmed
    assert said.code == (0 if confirmed else 1)


@pytest.mark.parametrize(("answers", "confirmed"), [("y\ny\n", [False, True]), ("y\nn\n", [False])])
def test_a_drain_that_is_an_outage_is_confirmed_as_one(
    tarmak: Tarmak, memory: Memory, monkeypatch: pytest.MonkeyPatch, answers: str, confirmed: list[bool]
) -> None:
    """The daemon names the outage, and a person agrees to it or not."""
    memory.drains.outage = "worker-1 is the only worker"
    monkeypatch.setattr("orchestrator.cli.asking.at_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answers))
    said = tarmak("drain", "worker-1", "--no-wait")
    assert "worker-1 is the only worker" in said.err
    assert [asked[2] for asked in memory.drains.asked] == confirmed


def test_waiting_for_a_drain_ends_with_a_word_on_what_goes_on(
    tarmak: Tarmak, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After --timeout with exit 1, by Ctrl-C with 130."""
    said = tarmak("uncordon", "worker-1", "--timeout", "1s")
    assert said.code == 1
    assert "the uncordon of worker-1 goes on; it has not ended within 1s" in said.err

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestrator.cli.drain.waited", interrupted)
    said = tarmak("drain", "worker-1", "--yes")
    assert said.code == 130
    assert "interrupted; the drain of worker-1 goes on in the daemon" in said.err
    assert len(memory.drains.asked) == 2


def test_an_uncordon_is_waited_for(tarmak: Tarmak, memory: Memory) -> None:
    """Its view is printed, in any form."""
    memory.drains.news = [{"state": RunState.SUCCEEDED}]
    said = tarmak("uncordon", "worker-1", "-o", "json")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)["action"] == "uncordon"
    assert "uncordon: d-1" in tarmak("uncordon", "worker-1", "--no-wait").out


def test_why_is_a_sentence_and_the_next_command(tarmak: Tarmak, memory: Memory) -> None:
    """For one, or for whatever waits or failed; nothing is said of what is well; always exit 0."""
    memory.rollouts.whys = [
        WhyView(subject="worker-1", cause="drain blocked", sentence="worker-1 waits for x", command="do y"),
        WhyView(subject="r-7", cause="window closed", sentence="its window opens at 22:00", command=None),
    ]
    said = tarmak("why")
    assert (said.code, said.err) == (0, "")
    assert said.out == "worker-1 waits for x\n  next: do y\nr-7: its window opens at 22:00\n"
    assert tarmak("why", "worker-1").out == "worker-1 waits for x\n  next: do y\n"
    assert tarmak("why", "worker-2").err == "worker-2: nothing waits or has failed\n"
    memory.rollouts.whys = []
    assert tarmak("why").err == "nothing waits or has failed\n"
    assert json.loads(tarmak("why", "-o", "json").out) == []
    assert memory.rollouts.asked == [None, "worker-1", "worker-2", None, None]


def test_runs_of_a_rollout_name_it(tarmak: Tarmak, memory: Memory) -> None:
    """Where there is one; a list without any has no such column."""
    memory.runs.views[run_id(1)] = a_run(1)
    assert "ROLLOUT" not in tarmak("run", "list").out
    memory.runs.views[run_id(2)] = a_run(2, rollout=ids.rollout_id("r-7"))
    assert [line.split()[7] for line in tarmak("run", "list").out.splitlines()] == ["ROLLOUT", "r-7", "-"]
    assert "rollout:" in tarmak("run", "show", run_id(2)).out
