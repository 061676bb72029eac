"""What every journal of an orchestrator keeps, whether on disk or in memory."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.ids import Epoch, Role
from broker.messages import Converge, RunChunk, Trouble
from orchestrator.adapters.sql.journal import SqlJournal
from orchestrator.domain.model import Bundle, Cordon, Delivery, Event, Papers
from orchestrator.domain.stream import Stream
from orchestrator.domain.views import ChangeView, RunState
from orchestrator.ports import EventQuery, JournalError, RunQuery
from orchestrator.records import Batch, HeldFact, Numbered
from tests.contract.journal.places import CLUSTER, INSTANCE, TICKET, Place, committed
from tests.unit.orchestrator.domain.playbook import BOOT, DIGEST, NOW, A, Wing, number, result, run

CHANGE = ChangeView(
    resource="File[/x]", property="content", before="a", after="b", diff="-a\n+b", file="site.pp", line=3
)


def event(cursor: int, **more: Any) -> Numbered:
    return Numbered(cursor=cursor, event=replace(Event(id=number(cursor), kind="test", at=NOW), **more))


async def test_each_leader_has_a_higher_epoch(place: Place) -> None:
    """The fence rises at every start."""
    await place.expired()
    again = await (await place.reopened()).leads("o_1")
    assert again.epoch == Epoch(2)


async def test_what_is_open_is_there_after_a_restart(place: Place) -> None:
    """Instances, runs, commands, streams, wishes and bundles are as they were committed."""
    wanted = run(command=number(5))
    delivery = Delivery(
        id=number(5),
        instance=A,
        boot=BOOT,
        body=Converge(run=wanted.id, digest=DIGEST, size=1, url="https://x"),
        caused_by=None,
        created_at=NOW,
        not_after=NOW,
        sends=2,
        next_at=NOW,
    )
    stream = Stream(boot=BOOT, handled=7, head=b"h" * 32, announced=12, gone=((9, 10),))
    bundle = Bundle(
        digest=DIGEST,
        size=3,
        packed=2,
        name="site",
        version=None,
        roles=(Role("worker"),),
        pushed_at=NOW,
        pushed_by="ann",
    )
    again = await committed(
        place,
        instances={A: INSTANCE},
        tickets=[TICKET],
        runs={wanted.id: wanted},
        deliveries={delivery.id: delivery},
        streams={(A, BOOT): stream},
        role_desired={Role("worker"): DIGEST},
        bundles=[bundle],
        events=[event(4)],
    )
    loaded = await again.journal.load()
    assert list(loaded.instances) == [INSTANCE]
    assert (list(loaded.runs), list(loaded.deliveries)) == ([wanted], [delivery])
    assert list(loaded.streams) == [(A, stream)]
    assert (list(loaded.tickets), list(loaded.bundles)) == ([TICKET], [bundle])
    assert (loaded.role_desired, loaded.cursor) == ({"worker": DIGEST}, 4)


async def test_an_instance_keeps_its_cordon_and_what_it_was_taken_to(place: Place) -> None:
    """A cordon of ours is lifted, and an automatic run not repeated, by whoever leads next."""
    kept = replace(INSTANCE, cordon=Cordon(owner="r-7", since=NOW), tried=DIGEST)
    again = await committed(place, instances={A: kept})
    assert list((await again.journal.load()).instances) == [kept]


async def test_an_answered_command_is_gone(place: Place) -> None:
    """What was dropped is not sent again by a new process."""
    delivery = Delivery(
        id=number(5),
        instance=A,
        boot=BOOT,
        body=Converge(run=run().id, digest=DIGEST, size=1, url="https://x"),
        caused_by=None,
        created_at=NOW,
        not_after=NOW,
    )
    await committed(place, instances={A: INSTANCE}, deliveries={delivery.id: delivery})
    again = await committed(place, dropped={delivery.id})
    assert (await again.journal.load()).deliveries == []


async def test_facts_behind_a_gap_are_kept_until_it_is_closed(place: Place) -> None:
    """A held fact survives a restart, and goes when the stream has passed it."""
    wing = Wing()
    wing.say(Trouble(what="a", detail=""))
    held = wing.say(Trouble(what="b", detail=""))
    again = await committed(
        place, instances={A: INSTANCE}, streams={(A, BOOT): Stream(boot=BOOT)}, held=[(A, held)]
    )
    assert (await again.journal.load()).held == [HeldFact(instance=A, boot=BOOT, seq=2, payload=held.payload)]
    again = await committed(again, streams={(A, BOOT): Stream(boot=BOOT, handled=2)})
    assert (await again.journal.load()).held == []


async def test_a_revoked_instance_is_known_but_not_enrolled(place: Place) -> None:
    """Its facts' numbers must not be taken for new ones when it comes back."""
    again = await committed(place, instances={A: INSTANCE}, revoked={A})
    loaded = await again.journal.load()
    assert (list(loaded.instances), list(loaded.former)) == ([], [INSTANCE])


async def test_papers_take_the_place_of_their_parts(place: Place) -> None:
    """Parts are there in order until the run's papers are filed; then those are."""
    ended = run(state=RunState.SUCCEEDED, result=result(run()), papers_due=True)
    parts = [
        RunChunk(run=ended.id, name="log", index=index, count=2, content=b"%d" % index) for index in (1, 0)
    ]
    again = await committed(
        place, instances={A: INSTANCE}, tickets=[TICKET], runs={ended.id: ended}, chunks=parts
    )
    assert list((await again.journal.load()).papers_due) == [ended]
    assert list(await again.archive.chunks(ended.id, "log")) == [(0, b"0"), (1, b"1")]
    papers = Papers(run=ended.id, changes=(CHANGE,), left_out=2, log=b"01")
    again = await committed(again, runs={ended.id: replace(ended, papers_due=False)}, papers=[papers])
    assert await again.archive.papers(ended.id) == papers
    assert list(await again.archive.chunks(ended.id, "log")) == []
    assert (await again.journal.load()).papers_due == []


async def test_runs_are_listed_newest_first_in_pages(place: Place) -> None:
    """A page begins behind the last id of the one before; filters narrow it."""
    runs = [run(index, state=RunState.FAILED if index == 2 else RunState.QUEUED) for index in range(1, 5)]
    await committed(place, instances={A: INSTANCE}, tickets=[TICKET], runs={item.id: item for item in runs})
    page = await place.archive.runs(RunQuery(limit=2))
    assert list(page) == [runs[3], runs[2]]
    assert list(await place.archive.runs(RunQuery(before=page[-1].id))) == [runs[1], runs[0]]
    assert list(await place.archive.runs(RunQuery(states=(RunState.FAILED,)))) == [runs[1]]
    assert list(await place.archive.runs(RunQuery(ticket="other"))) == []
    assert await place.archive.run(runs[0].id) == runs[0]
    assert await place.archive.ticket("t") == TICKET


async def test_the_tail_is_paged_by_cursor(place: Place) -> None:
    """Events come in the order of their cursors, after the one that the reader has."""
    events = [event(index, kind="a" if index % 2 else "b", body={"n": index}) for index in range(1, 6)]
    await committed(place, events=events)
    assert list(await place.archive.events(EventQuery(cursor=2, limit=2))) == events[2:4]
    assert list(await place.archive.events(EventQuery(kinds=("b",)))) == [events[1], events[3]]
    assert list(await place.archive.events(EventQuery(instances=(A,)))) == []
    assert list(await place.archive.events(EventQuery(since=NOW + timedelta(seconds=1)))) == []


async def test_forgetting_keeps_what_is_open_and_the_newest_cursor(place: Place) -> None:
    """Old events and final runs go; an open run stays, and cursors never begin again."""
    old, still = run(1, state=RunState.FAILED), run(2)
    await committed(
        place,
        instances={A: INSTANCE},
        tickets=[TICKET],
        runs={old.id: old, still.id: still},
        events=[event(1), event(2)],
    )
    await place.journal.forget(NOW + timedelta(days=1))
    assert list(await place.archive.runs(RunQuery())) == [still]
    assert [item.cursor for item in await place.archive.events(EventQuery())] == [2]
    assert (await place.journal.load()).cursor == 2


async def test_a_journal_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """The error names the file and says what to do; nothing is overwritten."""
    file = tmp_path / "journal.sqlite"
    file.write_bytes(b"this is no database, and long enough to be read as one's header" * 20)
    with pytest.raises(JournalError, match="restore it from a backup"):
        async with SqlJournal(f"sqlite+aiosqlite:///{file}", CLUSTER):
            pass
    assert file.read_bytes().startswith(b"this is no database")


async def test_a_journal_of_a_newer_tarmak_is_refused(tmp_path: Path) -> None:
    """A schema that this version does not know is left alone."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'journal.sqlite'}"
    async with SqlJournal(url, CLUSTER) as journal, journal.readers.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(JournalError, match="newer Tarmak"):
        async with SqlJournal(url, CLUSTER):
            pass


async def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """When one part can't be written, the others are not there either."""
    async with SqlJournal(f"sqlite+aiosqlite:///{tmp_path / 'j'}", CLUSTER) as journal:
        await journal.lead(holder="o_1", at=NOW)
        await journal.commit(Batch(events=[event(1)]))
        with pytest.raises(JournalError):
            await journal.commit(Batch(instances={A: INSTANCE}, events=[event(1)]))
        assert (await journal.load()).instances == []
