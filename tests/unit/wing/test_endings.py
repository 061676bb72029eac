"""How a run ends: its papers are told whole, and nothing is claimed that it did not prove."""

import hashlib

import pytest

from broker.messages import (
    CHUNK,
    Cancelled,
    Failed,
    FinalAnswer,
    Interrupted,
    RunChunk,
    RunWaiting,
    Succeeded,
    Verdict,
)
from tests.unit.wing.wings import NOW, V1, Wing, bodies, cancel, command, converge, new_id, result
from wing.effects import Leave, RecordObserved
from wing.entries import Waiting
from wing.events import (
    Completed,
    End,
    JournalRecovered,
    Paper,
    Process,
    ProcessStarted,
    RunWaited,
    Stopped,
    StopRequested,
    Unable,
    WorkEnded,
)
from wing.queue import _begun
from wing.step import Step

PROCESS = Process(pid=7, group=7, start=1, host_boot="b")


def test_papers_are_cut_into_chunks_and_named_by_their_digest() -> None:
    """Log and report come before the answer, which says how they go together; an empty one has a chunk."""
    wing = Wing()
    order = command(converge())
    wing.receive(order)
    log = b"0123456789" * (CHUNK // 4)
    papers = (Paper(name="log", content=log), Paper(name="report", content=b""))
    *chunks, answer = bodies(
        wing.tell(
            WorkEnded(at=NOW, command=order.id, end=Completed(result=result(converge()), papers=papers))
        )
    )
    assert isinstance(answer, Succeeded)
    assert answer.result is not None
    for attachment, paper in zip(answer.result.attachments, papers, strict=True):
        parts = [chunk for chunk in chunks if isinstance(chunk, RunChunk) and chunk.name == paper.name]
        assert [(part.index, part.count) for part in parts] == [
            (index, attachment.chunks) for index in range(attachment.chunks)
        ]
        assert b"".join(part.content for part in parts) == paper.content
        assert attachment.digest == f"sha256:{hashlib.sha256(paper.content).hexdigest()}"
        assert attachment.size == len(paper.content)
    assert [attachment.chunks for attachment in answer.result.attachments] == [3, 1]


@pytest.mark.parametrize(
    ("end", "answered"),
    [
        (Completed(result=result(converge(), verdict=Verdict.FAILED)), Failed),
        (Unable(reason="no bundle"), Failed),
        (Stopped(result=result(converge())), Interrupted),
        (Stopped(), Interrupted),
    ],
)
def test_what_was_not_proven_is_no_success(end: End, answered: type[FinalAnswer]) -> None:
    """There is no way from a failed, impossible or stopped run to `succeeded`."""
    wing = Wing()
    order = command(converge())
    wing.receive(order)
    *_, answer = bodies(wing.tell(WorkEnded(at=NOW, command=order.id, end=end)))
    assert isinstance(answer, answered)


def test_a_run_that_was_stopped_after_puppet_began_leaves_nothing_proven() -> None:
    """What was observed becomes `failed: interrupted`, whatever the account of the part that ran says."""
    wing = Wing()
    order = command(converge())
    wing.receive(order)
    wing.tell(ProcessStarted(at=NOW, command=order.id, process=PROCESS))
    effects = wing.tell(WorkEnded(at=NOW, command=order.id, end=Stopped(result=result(converge()))))
    (observed,) = [effect.observed for effect in effects if isinstance(effect, RecordObserved)]
    assert (observed.digest, observed.verdict) == (V1, Verdict.FAILED)
    assert observed.reason.startswith("interrupted")


@pytest.mark.parametrize("account", [None, result(converge(), verdict=Verdict.FAILED)])
def test_a_cancelled_run_gives_its_account(account: object) -> None:
    """What had been done by then comes with `cancelled`, and is what is observed, if Puppet ran at all."""
    wing = Wing()
    order, end = command(converge()), command(cancel())
    wing.receive(order)
    wing.receive(end)
    stopped = Stopped(result=account)  # type: ignore[arg-type] # one of the two above
    effects = wing.tell(WorkEnded(at=NOW, command=order.id, end=stopped))
    *_, answer = bodies(effects)
    assert isinstance(answer, Cancelled)
    assert (answer.result is None) == (account is None)
    assert any(isinstance(effect, RecordObserved) for effect in effects) == (account is not None)


def test_whom_a_run_waits_for_is_told() -> None:
    """A host whose Puppet is held by somebody else says by whom."""
    wing = Wing()
    order = command(converge())
    wing.receive(order)
    (waiting,) = bodies(wing.tell(RunWaited(at=NOW, command=order.id, reason="agent 99 has the lock")))
    assert isinstance(waiting, RunWaiting)
    assert waiting.reason == "agent 99 has the lock"


def test_news_of_what_is_not_under_way_changes_nothing() -> None:
    """A late word on a run that was answered, or was never known, is no event."""
    wing = Wing()
    stranger = new_id()
    for late in (
        ProcessStarted(at=NOW, command=stranger, process=PROCESS),
        RunWaited(at=NOW, command=stranger, reason="late"),
        WorkEnded(at=NOW, command=stranger, end=Stopped()),
        JournalRecovered(at=NOW),
    ):
        before = wing.machine
        assert wing.tell(late) == ()
        assert wing.machine == before


def test_the_last_run_to_end_lets_a_stopping_wing_leave() -> None:
    """A stop waits for what is under way, all of it, and then is one."""
    wing = Wing()
    order = command(converge())
    wing.receive(order)
    assert Leave() not in wing.tell(StopRequested(at=NOW))
    assert Leave() in wing.tell(WorkEnded(at=NOW, command=order.id, end=Stopped()))


def test_what_is_answered_at_once_can_not_be_begun() -> None:
    """A cancel in the queue would be a fault of ours, which must not pass for work."""
    step = Step(state=Wing().machine.state, at=NOW, new_id=new_id)
    with pytest.raises(AssertionError, match="Cancel is answered at once"):
        _begun(step, Waiting(command=command(cancel())))
