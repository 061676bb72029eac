"""Orders through real children: what they tell, how they end, and that nothing of them is left."""

import asyncio
import os
import select
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.messages import (
    Checked,
    CommandCheck,
    Drain,
    Drainer,
    DrainFinished,
    DrainPolicy,
    DrainStarted,
    Health,
    HealthChecks,
    NodeCheck,
    OrderBody,
    OrderFact,
    Uncordon,
)
from puppet_bridge.children import python_command, python_environment
from puppet_bridge.processes import look
from tests.unit.wing.wings import drain_started, new_id, order_id
from wing.config import DrainConfig
from wing.effects import RunOrder
from wing.errand import Errand, ErrandError, OrderEnd, Place, errand_line, line_errand, line_word, word_line
from wing.errands import Errands
from wing.events import Done, Process, Stopped, Unable
from wing.ports import JournalUnwritableError

PATIENCE_MS = 60_000


@dataclass
class Watcher:
    """Keeps what it is told; may be unable to record a process."""

    unwritable: bool = False
    processes: list[Process] = field(default_factory=list)
    facts: list[OrderFact] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def process_started(self, process: Process) -> None:
        if self.unwritable:
            raise JournalUnwritableError(path="/journal", reason="disk full")
        self.processes.append(process)

    def told(self, fact: OrderFact) -> None:
        self.facts.append(fact)
        self.news.set()


def python(code: str) -> tuple[str, ...]:
    """Return the command of a child that is a few lines of Python."""
    return (sys.executable, "-c", code)


def errands(**place: object) -> Errands:
    """Return errands of a place."""
    return Errands(place=Place(node="worker-1", **place), host_boot="b")  # type: ignore[arg-type]


def drain(**policy: object) -> Drain:
    """Return the order to drain by a policy."""
    return Drain(order=order_id(1), owner="r-7", policy=DrainPolicy(**policy))  # type: ignore[arg-type]


async def carried_out(
    how: Errands, order: OrderBody, watcher: Watcher | None = None, cancel: asyncio.Event | None = None
) -> OrderEnd:
    """Have an order carried out."""
    asked = RunOrder(command=new_id(), order=order)
    end = await how.carry_out(asked, watcher or Watcher(), cancel or asyncio.Event())
    assert isinstance(end, OrderEnd)
    return end


async def test_without_anything_to_drain_with_a_drain_is_done_at_once() -> None:
    """No child is started, and the account says that nothing was to go."""
    watcher = Watcher()
    assert await carried_out(errands(), drain(), watcher) == Done()
    started, finished = watcher.facts
    assert isinstance(started, DrainStarted)
    assert (started.drainer, started.total) == (Drainer.NONE, 0)
    assert isinstance(finished, DrainFinished)
    assert watcher.processes == []
    assert await carried_out(errands(), Uncordon(order=order_id(2), owner="r-7")) == Done()


@pytest.mark.parametrize(
    ("drainer", "key"), [(Drainer.KUBERNETES, "kubeconfig"), (Drainer.COMMAND, "command")]
)
async def test_what_is_asked_for_and_not_configured_is_refused(drainer: Drainer, key: str) -> None:
    """Nothing else is done instead of it."""
    end = await carried_out(errands(), drain(drainer=drainer))
    assert isinstance(end, Unable)
    assert f"drain.{key} is not configured" in end.reason


async def test_a_kubeconfig_comes_before_a_command() -> None:
    """What is configured says how an instance is emptied, unless the policy does."""
    config = DrainConfig(kubeconfig=Path("/no/such/kubeconfig"), node="worker-1", command=("true",))
    how = Errands.configured(config, "b")
    end = await carried_out(how, drain())
    assert isinstance(end, Unable)
    assert "/no/such/kubeconfig" in end.reason
    assert await carried_out(how, drain(drainer=Drainer.COMMAND)) == Done()
    assert await carried_out(how, drain(drainer=Drainer.NONE)) == Done()


async def test_the_sites_own_command_drains() -> None:
    """It is told which node and in whose name, its output is in the account, and its exit code decides."""
    code = "import os; print('emptied', os.environ['TARMAK_NODE'], os.environ['TARMAK_OWNER'])"
    watcher = Watcher()
    assert await carried_out(errands(command=python(code)), drain(), watcher) == Done()
    started, finished = watcher.facts
    assert isinstance(started, DrainStarted)
    assert started.drainer is Drainer.COMMAND
    assert isinstance(finished, DrainFinished)
    assert finished.output == "emptied worker-1 r-7"
    assert [process.host_boot for process in watcher.processes] == ["b"]


def hook(folder: Path, name: str, says: str) -> None:
    """Put a program there that says something."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho {says} $TARMAK_NODE\n")
    (folder / name).chmod(0o755)


async def test_the_hosts_own_program_drains_where_none_is_configured(tmp_path: Path) -> None:
    """It may come at any time, as with a run of Puppet; a configured command goes before it."""
    hooks = tmp_path / "hooks"
    how = Errands.configured(DrainConfig(node="worker-1", hooks=hooks), "b")
    assert await carried_out(how, drain()) == Done()
    hook(hooks, "drain", "spared")
    watcher = Watcher()
    assert await carried_out(how, drain(), watcher) == Done()
    started, finished = watcher.facts
    assert (isinstance(started, DrainStarted) and started.drainer) is Drainer.COMMAND
    assert (isinstance(finished, DrainFinished) and finished.output) == "spared worker-1"
    other = Errands.configured(DrainConfig(node="w", hooks=hooks, command=("false",)), "b")
    assert await carried_out(other, drain()) == Unable(reason="the drain command ended with 1")


async def test_the_hosts_own_program_undoes_a_drain(tmp_path: Path) -> None:
    """The uncordon's program runs beside the drain's; its failure is the uncordon's."""
    hooks = tmp_path / "hooks"
    how = Errands.configured(DrainConfig(node="worker-1", hooks=hooks), "b")
    hook(hooks, "drain", "spared")
    uncordon = Uncordon(order=order_id(2), owner="r-7")
    assert await carried_out(how, uncordon) == Done()
    hook(hooks, "uncordon", "back")
    (hooks / "uncordon").write_text("#!/bin/sh\necho not yet; exit 3\n")
    end = await carried_out(how, uncordon)
    assert isinstance(end, Unable)
    assert "not yet" in end.reason


async def test_a_command_that_fails_fails_the_drain() -> None:
    """Its exit code and last line are the reason."""
    end = await carried_out(errands(command=python("import sys; sys.exit('still busy')")), drain())
    assert end == Unable(reason="the drain command ended with 1: still busy")
    end = await carried_out(errands(command=("/no/such/drainer",)), drain())
    assert isinstance(end, Unable)
    assert "can't be started" in end.reason


async def test_a_command_that_takes_too_long_is_ended() -> None:
    """The policy's time is the command's."""
    end = await carried_out(errands(command=("sleep", "1000")), drain(timeout_s=1))
    assert end == Unable(reason="the drain command not done within 1 s")


async def test_the_uncordon_command_undoes_it(tmp_path: Path) -> None:
    """It is run at each uncordon."""
    undo = tmp_path / "undone"
    how = errands(command=("true",), uncordon_command=("touch", str(undo)))
    assert await carried_out(how, Uncordon(order=order_id(2), owner="r-7")) == Done()
    assert undo.exists()
    how = errands(command=("true",), uncordon_command=("false",))
    end = await carried_out(how, Uncordon(order=order_id(2), owner="r-7"))
    assert end == Unable(reason="the uncordon command ended with 1")


async def test_a_cancelled_order_leaves_nothing_behind(tmp_path: Path) -> None:
    """The child and all that it started are ended, and the end is `Stopped`."""
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    code = f"import os, time; open({str(pipe)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    cancel, watcher = asyncio.Event(), Watcher()
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(carried_out(errands(command=python(code)), drain(), watcher, cancel))
        pid = int(await asyncio.to_thread(pipe.read_text))
        cancel.set()
    assert draining.result() == Stopped()
    assert look(pid) is None
    assert look(watcher.processes[0].pid) is None
    assert isinstance(watcher.facts[-1], DrainFinished)


async def test_nothing_begins_unrecorded(tmp_path: Path) -> None:
    """A child that the journal does not know must not do anything."""
    made = tmp_path / "made"
    end = await carried_out(errands(command=("touch", str(made))), drain(), Watcher(unwritable=True))
    assert isinstance(end, Unable)
    assert "could not be recorded" in end.reason
    assert not made.exists()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "import sys; sys.stdin.readline(); sys.exit('no memory left')",
            "the child ended with 1: no memory left",
        ),
        ("input(); print('hello')", "the child can't be understood"),
        ('input(); print(\'{"fact":"accepted.v1","body":{}}\')', "the child can't be understood"),
    ],
)
async def test_a_child_that_does_not_say_how_it_ended_has_failed(code: str, reason: str) -> None:
    """Its last words are the reason."""
    how = replace(errands(command=("true",)), drain_child=python(code))
    end = await carried_out(how, drain())
    assert isinstance(end, Unable)
    assert reason in end.reason


def test_an_orphaned_child_ends_with_what_it_started(tmp_path: Path) -> None:
    """When its wing is killed, nothing goes on in its name."""
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    code = f"import os, time; open({str(pipe)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    place = Place(node="worker-1", command=python(code))
    order = drain(drainer=Drainer.COMMAND)
    with subprocess.Popen(
        python_command("wing.drain_child"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=python_environment(),
        start_new_session=True,
    ) as child:
        assert child.stdin is not None
        child.stdin.write(errand_line(Errand(command=new_id(), place=place, drain=order)))
        child.stdin.flush()
        orphan = os.pidfd_open(int(pipe.read_text()))
        child.stdin.close()
        child.wait()
    ended = select.poll()
    ended.register(orphan, select.POLLIN)
    assert ended.poll(PATIENCE_MS)
    os.close(orphan)


async def test_health_is_looked_at_by_a_child() -> None:
    """The checks that are given, so often in a row; without a kubeconfig the node passes and says why."""
    checks = HealthChecks(node=NodeCheck(), commands=(CommandCheck(command=("echo", "fine")),))
    order = Health(order=order_id(1), checks=checks, passes=2, interval_s=1, since=datetime.now(UTC))
    watcher = Watcher()
    assert await carried_out(errands(), order, watcher) == Done()
    last = watcher.facts[-2:]
    assert all(isinstance(fact, Checked) and fact.passed and fact.passes == 2 for fact in last)
    assert {fact.saw for fact in last if isinstance(fact, Checked)} == {
        "not looked at: no kubeconfig is configured",
        "ended with 0: fine",
    }


async def test_health_that_fails_names_the_check() -> None:
    """A command that can't succeed, and a node whose kubeconfig is no file."""
    checks = HealthChecks(node=NodeCheck(), commands=(CommandCheck(command=("false",)),))
    order = Health(order=order_id(1), checks=checks, passes=1, interval_s=1, timeout_s=1)
    end = await carried_out(errands(kubeconfig="/no/such/kubeconfig"), order)
    assert isinstance(end, Unable)
    assert "command false: ended with 1" in end.reason
    assert "node: kubeconfig /no/such/kubeconfig" in end.reason


async def test_looking_at_health_can_be_cancelled() -> None:
    """Nobody waits for the order's time."""
    checks = HealthChecks(commands=(CommandCheck(command=("false",)),))
    order = Health(order=order_id(1), checks=checks, timeout_s=1000)
    cancel, watcher = asyncio.Event(), Watcher()
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(carried_out(errands(), order, watcher, cancel))
        await watcher.news.wait()
        cancel.set()
    assert looking.result() == Stopped()


async def test_a_kubeconfig_that_can_not_be_used_fails_the_drain() -> None:
    """It is read for each drain, and named."""
    end = await carried_out(errands(kubeconfig="/no/such/kubeconfig"), drain())
    assert isinstance(end, Unable)
    assert "/no/such/kubeconfig" in end.reason


async def test_a_selector_that_is_none_fails_the_drain_before_anything_happens(tmp_path: Path) -> None:
    """Nobody finds out at the end of the time that nothing could have been deleted."""
    how = errands(kubeconfig=str(tmp_path / "kubeconfig"))
    end = await carried_out(how, drain(delete_selectors=("no selector",)))
    assert isinstance(end, Unable)
    assert "no label selector" in end.reason


def test_what_goes_over_the_pipes_comes_back_as_it_was() -> None:
    """Errands, facts and ends survive their lines."""
    errand = Errand(command=new_id(), place=Place(node="n", kubeconfig="/k"), drain=drain(force=True))
    assert line_errand(errand_line(errand)) == errand
    fact = drain_started(new_id(), drain(), pods=("a/b",))
    for word in (fact, Done(), Stopped(), Unable(reason="no")):
        assert line_word(word_line(word)) == word
    with pytest.raises(ErrandError):
        line_errand(b"{}\n")


def test_the_parent_stays_light() -> None:
    """Importing the wing's side loads none of the libraries that the children are for."""
    code = (
        "import sys, wing.work\n"
        "heavy = {'aiohttp', 'kubernetes_asyncio', 'yaml', 'wing.kubernetes', 'wing.probes'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        (sys.executable, "-P", "-c", code),
        env=python_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
