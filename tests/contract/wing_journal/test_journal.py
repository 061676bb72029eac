"""What every journal of a wing keeps, and in which order, whether on disk or in memory."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from broker.client import Signature
from broker.ids import Boot, Epoch
from broker.messages import Backlog, FactBody, Failed, Observed, Succeeded, Trouble, Truncated, Verdict
from tests.unit.wing.wings import NOW, V1, Wing, command, converge, drain, new_id, order_id, result, run_id
from wing.effects import (
    Act,
    DropFacts,
    ForgetBan,
    ForgetEntry,
    RecordAck,
    RecordBan,
    RecordEntry,
    RecordEpoch,
    RecordFact,
    RecordObserved,
)
from wing.entries import Answered, Underway, Waiting
from wing.events import Process
from wing.facts import FactLog, FactRef
from wing.journal import SqliteJournal
from wing.memory import MemoryJournal
from wing.ports import Bound, Journal, JournalUnwritableError

TROUBLE = Trouble(what="a test", detail="told")
SMALL = Bound(octets=1024 * 1024, facts=32)
Reopen = Callable[[Journal], Journal]


def sign(payload: bytes) -> Signature:
    """Sign as nobody would."""
    return Signature(key="0" * 16, value=payload[:4])


def entropy(size: int) -> bytes:
    """Return what only looks random."""
    return b"\xab" * size


@pytest.fixture(params=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Journal, Reopen]]:
    """A fresh journal, and how to open it again after its wing's death."""
    if request.param == "memory":
        memory = MemoryJournal(sign=sign, entropy=entropy, bound=SMALL)
        yield memory, lambda journal: journal
        return
    journals = []

    def open_again(before: Journal | None = None) -> Journal:
        if before is not None:
            before.close()
        path = tmp_path / "journal.sqlite"
        journals.append(SqliteJournal.open(path, sign=sign, entropy=entropy, bound=SMALL))
        return journals[-1]

    yield open_again(), open_again
    journals[-1].close()


def recorded(log: FactLog, count: int = 1, body: FactBody = TROUBLE) -> tuple[FactLog, list[RecordFact]]:
    """Return the chain after `body` was told `count` times, and the records of that."""
    records = []
    for _ in range(count):
        log, fact = log.append(body, fact_id=new_id(), at=NOW, caused_by=None)
        records.append(RecordFact(fact=fact))
    return log, records


def test_each_boot_is_counted(opened: tuple[Journal, Reopen]) -> None:
    """A boot is a count, that goes on after a restart, and a random part."""
    journal, reopen = opened
    assert journal.open_boot().boot == Boot("1-abababab")
    assert reopen(journal).open_boot().boot == Boot("2-abababab")


def test_everything_recorded_is_there_after_a_restart(opened: tuple[Journal, Reopen]) -> None:
    """Epoch, entries in their order, bans, what was observed and unacked facts survive the wing."""
    journal, reopen = opened
    boot = journal.open_boot().boot
    waiting = Waiting(command=command(converge(1)))
    process = Process(pid=7, group=7, start=99, host_boot="a")
    underway = Underway(command=command(converge(2)), process=process, cancelled_by=new_id())
    draining = Underway(command=command(drain()), process=process)
    failed = Failed(command=new_id(), reason="a test", result=result(converge(3), verdict=Verdict.FAILED))
    log, facts = recorded(FactLog(boot=boot), 1, failed)
    answer = FactRef(boot=boot, seq=1)
    answered = Answered(work=run_id(3), not_after=NOW, answer=answer, said=failed, acked=True)
    done = Succeeded(command=new_id())
    facts += recorded(log, 1, done)[1]
    answer = FactRef(boot=boot, seq=2)
    lifted = Answered(work=order_id(2), not_after=NOW, answer=answer, said=done)
    observed = Observed(digest=V1, verdict=Verdict.CONVERGED, run=run_id(3), at=NOW, reason="")
    journal.write([RecordEntry(entry=Waiting(command=underway.command)), *facts, RecordEpoch(epoch=Epoch(4))])
    journal.write([RecordEntry(entry=waiting), RecordEntry(entry=answered), RecordEntry(entry=underway)])
    journal.write([RecordEntry(entry=draining), RecordEntry(entry=lifted)])
    journal.write([RecordObserved(observed=observed), RecordBan(work=run_id(9), by=waiting.id, at=NOW)])
    remembered = reopen(journal).open_boot()
    assert remembered.entries == (underway, waiting, answered, draining, lifted)
    assert (remembered.epoch, remembered.observed) == (4, observed)
    assert (remembered.bans[run_id(9)].by, remembered.bans[run_id(9)].at) == (waiting.id, NOW)
    assert remembered.backlog == (Backlog(boot=boot, first=1, last=2),)


def test_facts_come_back_byte_by_byte_with_their_signature(opened: tuple[Journal, Reopen]) -> None:
    """A replay sends the very payload that was chained and signed."""
    journal, _ = opened
    boot = journal.open_boot().boot
    _, records = recorded(FactLog(boot=boot), 5)
    journal.write(records)
    found = journal.facts(boot, 2, 3)
    assert [fact.payload for fact in found] == [record.fact.payload for record in records[1:4]]
    assert found[0].signature == sign(records[1].fact.payload)


def test_an_ack_prunes_all_but_what_answers_a_remembered_command(opened: tuple[Journal, Reopen]) -> None:
    """Acked facts go; `accepted` and the final answer stay until their command is forgotten."""
    journal, reopen = opened
    boot = journal.open_boot().boot
    wing = Wing()
    order = command(converge())
    records = [effect for effect in wing.receive(order) if not isinstance(effect, Act)]
    journal.write(records)
    journal.write([RecordAck(boot=Boot("3-0000aaaa"), seq=2)])
    (accepted,) = journal.facts(Boot("3-0000aaaa"), 1, 10)
    assert journal.answers(order.id) == (accepted,)
    assert reopen(journal).open_boot().backlog == ()
    assert boot != accepted.ref.boot


def test_a_forgotten_command_takes_its_acked_answers_along(opened: tuple[Journal, Reopen]) -> None:
    """Nothing of a forgotten command is kept but what nobody has acked yet."""
    journal, reopen = opened
    journal.open_boot()
    wing = Wing()
    order = command(converge())
    journal.write([effect for effect in wing.receive(order) if not isinstance(effect, Act)])
    journal.write([RecordAck(boot=Boot("3-0000aaaa"), seq=1), ForgetEntry(command=order.id)])
    assert journal.answers(order.id) == ()
    assert [fact.ref.seq for fact in journal.facts(Boot("3-0000aaaa"), 1, 10)] == [2]
    assert reopen(journal).open_boot().entries == ()


def test_a_lifted_ban_is_gone(opened: tuple[Journal, Reopen]) -> None:
    """A ban lasts until it is forgotten."""
    journal, reopen = opened
    journal.open_boot()
    journal.write([RecordBan(work=run_id(1), by=new_id(), at=NOW + timedelta(seconds=1))])
    journal.write([ForgetBan(work=run_id(1))])
    assert reopen(journal).open_boot().bans == {}


def test_within_its_bound_nothing_has_to_go(opened: tuple[Journal, Reopen]) -> None:
    """A journal that has room says so."""
    journal, _ = opened
    boot = journal.open_boot().boot
    journal.write(recorded(FactLog(boot=boot), 32)[1])
    room = journal.room()
    assert (room.surplus, room.full) == ((), False)


def test_past_its_bound_the_oldest_go_by_a_sixteenth(opened: tuple[Journal, Reopen]) -> None:
    """What goes is the oldest, and enough of it that a few facts tell of many lost ones."""
    journal, reopen = opened
    boot = journal.open_boot().boot
    journal.write(recorded(FactLog(boot=boot), 33)[1])
    room = journal.room()
    assert room.surplus == (Backlog(boot=boot, first=1, last=2),)
    journal.write([DropFacts(span=span) for span in room.surplus])
    assert journal.room().surplus == ()
    assert reopen(journal).open_boot().backlog == (Backlog(boot=boot, first=3, last=33),)


def test_full_of_final_answers_nothing_can_go(opened: tuple[Journal, Reopen]) -> None:
    """Answers are never truncated: a journal that holds little else is full."""
    journal, _ = opened
    boot = journal.open_boot().boot
    wing = Wing()
    for number in range(40):
        accepted = [e for e in wing.receive(command(converge(number))) if isinstance(e, RecordFact)]
        journal.write([record for record in accepted if record.fact.answers])
    assert boot
    room = journal.room()
    assert (room.surplus, room.full) == ((), True)


def test_what_tells_of_truncated_facts_stays(opened: tuple[Journal, Reopen]) -> None:
    """A `truncated` is not truncated itself, or nothing would explain its gap; an ack lets it go."""
    journal, reopen = opened
    boot = journal.open_boot().boot
    told = Truncated(boot=boot, first=1, last=9)
    log, fact = FactLog(boot=boot).append(told, fact_id=new_id(), at=NOW, caused_by=None)
    journal.write([RecordFact(fact=fact), *recorded(log, 33)[1]])
    room = journal.room()
    assert min(span.first for span in room.surplus) == 2
    journal.write([DropFacts(span=Backlog(boot=boot, first=1, last=34))])
    assert [kept.ref.seq for kept in journal.facts(boot, 1, 99)] == [1]
    journal.write([RecordAck(boot=boot, seq=34)])
    assert reopen(journal).open_boot().backlog == ()


def test_an_unwritable_journal_has_done_nothing(tmp_path: Path) -> None:
    """All of a transaction happens or none of it, and the error names the file."""
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal.open(path, sign=sign)
    boot = journal.open_boot().boot
    _, records = recorded(FactLog(boot=boot), 2)
    journal._db.execute("PRAGMA query_only = ON")
    with pytest.raises(JournalUnwritableError, match=r"journal\.sqlite"):
        journal.write(records)
    journal._db.execute("PRAGMA query_only = OFF")
    assert journal.facts(boot, 1, 10) == ()
    journal.close()


def test_an_unreadable_journal_is_set_aside_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A corrupt file is kept beside a fresh journal, whose boot no command was meant for."""
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"this was a journal once" * 1000)
    journal = SqliteJournal.open(path, sign=sign)
    assert journal.open_boot().boot.startswith("1-")
    journal.close()
    assert (tmp_path / "journal.sqlite.unreadable-1").read_bytes().startswith(b"this was")
    assert "set aside" in caplog.text


def test_a_newer_wings_journal_is_refused(tmp_path: Path) -> None:
    """A downgraded wing says what to do instead of misreading what it doesn't know."""
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal.open(path, sign=sign)
    journal._db.execute("PRAGMA user_version = 99")
    journal.close()
    with pytest.raises(JournalUnwritableError, match="upgrade the wing"):
        SqliteJournal.open(path, sign=sign)
