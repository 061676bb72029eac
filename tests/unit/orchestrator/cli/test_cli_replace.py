"""`tarmak upgrade --replace` as scripts see it: whose machines it makes when, and how it ends."""

import io
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from broker import ids
from orchestrator.cli import replacement
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout.reading import strategy_plain
from orchestrator.domain.rollout.strategy import Strategy
from orchestrator.domain.rollout_views import RolloutView
from orchestrator.infrastructure.errors import InfrastructureError, ReachError, RefusedError, StoppedError
from orchestrator.infrastructure.replacing import Found
from orchestrator.operations import RefusedError as Refusal
from orchestrator.operations import RolloutAction
from tests.unit.orchestrator.cli.program import Tarmak
from tests.unit.orchestrator.cli.rollouts import done, ends
from tests.unit.orchestrator.faces import V2, Memory, a_rollout, stepped

UPGRADE = ("upgrade", "--replace", "--instance", "worker-1,worker-2", "--yes")
RESUME = "tarmak upgrade --replace --resume r-7"
PLAIN = strategy_plain(Strategy(replace=True))


class Machines:
    """What makes machines, in memory: what it finds, what it was asked for, and how that fails."""

    def __init__(self) -> None:
        self.found: dict[str, Found] = {}
        self.made: list[tuple[list[str], list[str]]] = []
        self.refused: list[tuple[list[str], bool]] = []
        self.error: BaseException | None = None
        self.looks = 0

    def refuse(self, names: Sequence[str], *, begun: bool = False) -> None:
        self.refused.append((list(names), begun))

    def look(self, names: Sequence[str]) -> dict[str, Found]:
        self.looks += 1
        return {name: self.found.get(name, Found.OLD) for name in names}

    def make(self, old: Sequence[str], names: Sequence[str]) -> None:
        if self.error is not None:
            raise self.error
        self.made.append((list(old), list(names)))

    def late(self, names: Sequence[str]) -> InfrastructureError:
        return ReachError(what=f"{', '.join(names)} did not join")


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machines:
    made = Machines()
    work = SimpleNamespace(home=tmp_path, cluster=SimpleNamespace(digest=lambda: V2, name="shop"))
    monkeypatch.setattr(replacement, "_work", lambda _: work)
    monkeypatch.setattr(replacement, "working", lambda *_: nullcontext())
    monkeypatch.setattr(replacement.wiring, "replacing", lambda *_: made)
    return made


def waiting(**changes: Any) -> RolloutView:
    """Return r-7 as it is when worker-1 waits for its machine."""
    view = a_rollout(7, "worker-1", "worker-2", strategy=PLAIN)
    found = {"state": StepState.REPLACING, "replaced": False, **changes}
    return stepped(view, worker_1=found)


def test_a_machine_is_made_once_its_step_waits_for_it(
    tarmak: Tarmak, memory: Memory, machines: Machines
) -> None:
    """Once, however often it is looked at; the bundle is the description's, the strategy says `replace`."""
    drained = stepped(waiting(), worker_1=StepState.DRAINING)
    joined = waiting(replaced=True)
    ends(memory, drained, waiting(), waiting(), waiting(), joined, done(strategy=PLAIN))
    said = tarmak(*UPGRADE)
    assert said.code == 0, said
    assert machines.made == [(["worker-1"], ["worker-1"])]
    assert machines.refused == [(["worker-1", "worker-2"], False)]
    (request,) = memory.rollouts.requests
    assert (request.digest, request.strategy.replace) == (V2, True)
    assert "worker-1 replacing" in said.err
    assert "Ctrl-C pauses it" in said.err


def test_one_that_is_new_already_is_only_brought(tarmak: Tarmak, memory: Memory, machines: Machines) -> None:
    """Killed after Terraform had made it, nothing is made a second time."""
    machines.found = {"worker-1": Found.NEW}
    ends(memory, waiting(), waiting(), done(strategy=PLAIN))
    assert tarmak(*UPGRADE).code == 0
    assert machines.made == [([], ["worker-1"])]


def test_one_that_joins_while_it_is_looked_at_is_left_alone(
    tarmak: Tarmak, memory: Memory, machines: Machines
) -> None:
    """What looks like an old machine may be the new one, once it has an identity."""
    ends(memory, waiting(), waiting(replaced=True), done(strategy=PLAIN))
    assert tarmak(*UPGRADE).code == 0
    assert (machines.looks, machines.made) == (1, [])


def test_one_that_is_taken_back_keeps_the_machine_that_is_there(
    tarmak: Tarmak, memory: Memory, machines: Machines
) -> None:
    """On the way back only a machine that is missing is made."""
    back = replace(waiting(state=StepState.PENDING, back=True), state=RolloutState.REVERTING)
    ends(memory, back, back, back, done(strategy=PLAIN, state=RolloutState.ABORTED))
    assert tarmak(*UPGRADE).code == 1
    assert machines.made == []
    machines.found = {"worker-1": Found.GONE}
    ends(memory, back, back, done(strategy=PLAIN, state=RolloutState.ABORTED))
    tarmak(*UPGRADE)
    assert machines.made == [(["worker-1"], ["worker-1"])]


@pytest.mark.parametrize(
    ("error", "code", "what"),
    [
        (StoppedError(what="it was interrupted"), 130, "interrupted; rollout r-7 is paused"),
        (KeyboardInterrupt(), 130, "interrupted; rollout r-7 is paused"),
        (ReachError(what="worker-1 can't be reached"), 1, "paused: worker-1 can't be reached"),
        (RefusedError(what="Terraform would change more"), 2, "paused: Terraform would change more"),
    ],
)
def test_whatever_ends_it_pauses_the_rollout_and_says_how_it_goes_on(
    tarmak: Tarmak, memory: Memory, machines: Machines, *, error: BaseException, code: int, what: str
) -> None:
    """Nobody waits for hands that are gone."""
    machines.error = error
    ends(memory, waiting())
    said = tarmak(*UPGRADE)
    assert said.code == code
    assert [act.action for act in memory.rollouts.acts] == [RolloutAction.PAUSE]
    assert what in said.err
    assert RESUME in said.err.splitlines()[-1]


def test_a_machine_that_does_not_join_is_told_in_its_own_words(
    tarmak: Tarmak, memory: Memory, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a token, and a while; then the rollout is paused."""
    monkeypatch.setattr(replacement, "PATIENCE_S", -1.0)
    ends(memory, waiting())
    said = tarmak(*UPGRADE)
    assert said.code == 1
    assert "worker-1 did not join" in said.err
    assert len(machines.made) == 1


def test_a_paused_one_is_taken_up_again(tarmak: Tarmak, memory: Memory, machines: Machines) -> None:
    """By its id it is resumed; what failed for want of its machine is retried."""
    paused = replace(waiting(), state=RolloutState.PAUSED)
    memory.rollouts.views["r-7"] = paused
    ends(memory, paused, done(strategy=PLAIN))
    assert tarmak("upgrade", "--replace", "--resume", "r-7").code == 0
    assert [act.action for act in memory.rollouts.acts] == [RolloutAction.RESUME]
    assert machines.refused == [(["worker-1", "worker-2"], True)]
    failed = replace(waiting(state=StepState.FAILED), state=RolloutState.PAUSED)
    ends(memory, failed, done(strategy=PLAIN))
    tarmak("upgrade", "--replace", "--resume", "7")
    assert (memory.rollouts.acts[-1].action, memory.rollouts.acts[-1].instances) == (
        RolloutAction.RETRY,
        (ids.instance_id("worker-1"),),
    )


@pytest.mark.parametrize(
    ("view", "code", "said"),
    [
        (done(strategy=PLAIN), 1, "rollout r-7 has ended"),
        (a_rollout(7, "worker-1"), 2, "r-7 makes no machines anew"),
    ],
)
def test_what_can_not_be_taken_up_is_said(
    tarmak: Tarmak, memory: Memory, machines: Machines, *, view: RolloutView, code: int, said: str
) -> None:
    """Nothing is done then."""
    memory.rollouts.views["r-7"] = view
    found = tarmak("upgrade", "--replace", "--resume", "r-7")
    assert (found.code, said in found.err, machines.looks) == (code, True, 0)


def test_the_same_command_takes_its_rollout_up(
    tarmak: Tarmak, memory: Memory, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed outright, it is given again."""
    memory.rollouts.views["r-7"] = replace(waiting(), bundle=V2)

    async def preview(_request: object) -> RolloutView:
        raise Refusal(kind="in-a-rollout", status=409, title="it is in r-7", detail="", action="")

    monkeypatch.setattr(memory.rollouts, "preview", preview)
    ends(memory, *[replace(waiting(), bundle=V2)] * 4, done(strategy=PLAIN))
    said = tarmak(*UPGRADE)
    assert said.code == 0, said
    assert "rollout r-7 is under way, and taken up" in said.err
    assert machines.made == [(["worker-1"], ["worker-1"])]


def test_a_disk_that_is_nowhere_else_is_given_up_by_name_before_anything_begins(
    tarmak: Tarmak, memory: Memory, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--yes` is not enough; where nobody can type, the name is an option."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    words = ("upgrade", "--replace", "--instance", "etcd-1", "--yes")
    refused = tarmak(*words)
    assert (refused.code, memory.rollouts.requests) == (2, [])
    assert "--destroy-stateful etcd-1" in refused.err
    view = a_rollout(7, "etcd-1", strategy=PLAIN)
    ends(memory, stepped(replace(view, state=RolloutState.SUCCEEDED), etcd_1=StepState.DONE))
    assert tarmak(*words, "--destroy-stateful", "etcd-1").code == 0
    del machines


def test_nothing_begins_in_a_dry_run(tarmak: Tarmak, memory: Memory, machines: Machines) -> None:
    """The plan is the result."""
    said = tarmak(*UPGRADE, "--dry-run")
    assert (said.code, memory.rollouts.requests, machines.looks) == (0, [], 0)
    assert "replace: yes" in said.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("upgrade", "--role", "worker"), "Missing option '--bundle'"),
        (("upgrade", "--role", "worker", "--bundle", V2, "--resume", "r-7"), "--resume: without --replace"),
        (("upgrade", "cluster.yaml", "--role", "worker", "--bundle", V2), "FILE: without --replace"),
        ((*UPGRADE, "--approved", "f"), "--approved and --no-wait"),
        ((*UPGRADE, "--no-wait"), "--approved and --no-wait"),
    ],
)
def test_what_means_nothing_is_a_usage_error(
    tarmak: Tarmak, machines: Machines, words: Sequence[str], said: str
) -> None:
    """Exit 2, before anything was asked of anyone."""
    found = tarmak(*words)
    assert (found.code, said in found.err) == (2, True), found
    assert machines.refused == []


def test_a_strategy_that_replaces_needs_hands(tarmak: Tarmak, tmp_path: Path) -> None:
    """Without them it would drain, and wait for nobody."""
    file = tmp_path / "s.yaml"
    file.write_text("replace: true")
    said = tarmak("upgrade", "--role", "worker", "--bundle", V2, "--strategy", str(file))
    assert said.code == 2
    assert "say that it is meant with --replace" in said.err
