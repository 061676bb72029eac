"""Whatever Puppet says, and however much at once, the mesh can carry what is told of it."""

import asyncio
from dataclasses import replace
from pathlib import PurePath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.codec import decode, encode
from broker.limits import MAX_ITEMS
from broker.messages import Level, Live, LiveBody, LogLine, LogLines, Progress
from puppet_bridge.loglines import parse_line
from tests.unit.wing.wings import NOW, Wing, command, converge, new_id, result, run_id
from wing.events import Completed, WorkEnded
from wing.live import LINES_A_MESSAGE, MOST_LINES, PERIOD_S, LiveLog

RUN = run_id(1)
LINE = LogLine(at=NOW, level=Level.NOTICE, source="Puppet", message="said")
ANY_TEXT = st.text(st.characters(), max_size=40).flatmap(lambda text: st.sampled_from([text, text * 3_000]))
"""With lone surrogates, and longer than a message may be."""


class Mesh:
    """Takes what is sent, as bytes, the way that the wing sends it."""

    def __init__(self) -> None:
        self.sent: list[LiveBody] = []

    def take(self, body: LiveBody) -> None:
        message = decode(encode(Live(id=new_id(), at=NOW, body=body)))
        assert isinstance(message, Live)
        self.sent.append(message.body)

    @property
    def lines(self) -> list[LogLine]:
        return [line for body in self.sent if isinstance(body, LogLines) for line in body.lines]


@pytest.mark.looptime
async def test_a_burst_costs_a_few_messages() -> None:
    """Of 5,000 lines at once the newest are told, in order, in batches that a message can carry."""
    mesh = Mesh()
    live = LiveLog(RUN, mesh.take)
    for number in range(5_000):
        live.said(replace(LINE, message=str(number)))
    assert mesh.sent == []
    await asyncio.sleep(PERIOD_S)
    assert [line.message for line in mesh.lines] == [str(number) for number in range(4_800, 5_000)]
    assert len(mesh.sent) == MOST_LINES / LINES_A_MESSAGE


@pytest.mark.looptime
async def test_lines_are_gathered() -> None:
    """What comes within a fifth of a second goes out together, the next line begins another period."""
    mesh = Mesh()
    live = LiveLog(RUN, mesh.take)
    live.said(LINE)
    await asyncio.sleep(PERIOD_S / 2)
    live.said(LINE)
    await asyncio.sleep(PERIOD_S / 2)
    assert [len(body.lines) for body in mesh.sent if isinstance(body, LogLines)] == [2]
    live.said(LINE)
    await asyncio.sleep(PERIOD_S)
    assert len(mesh.sent) == 2


@pytest.mark.looptime
async def test_only_the_newest_progress_is_told() -> None:
    """Progress that is overtaken before it goes out is old news; at the end of a run nothing is left."""
    mesh = Mesh()
    live = LiveLog(RUN, mesh.take)
    for done in range(1, 8):
        live.progressed(Progress(run=RUN, execution=1, done=done, total=7))
    live.flush()
    assert [body.done for body in mesh.sent if isinstance(body, Progress)] == [7]
    await asyncio.sleep(2 * PERIOD_S)
    assert len(mesh.sent) == 1


@given(message=ANY_TEXT, name=ANY_TEXT, number=st.none() | st.integers())
@example(message="\U0001f600" * 9_000, name="\U0001f600" * 9_000, number=2**70)
def test_a_full_batch_fits_whatever_its_lines_hold(message: str, name: str, number: int | None) -> None:
    """Texts without end, halves of characters and impossible numbers cost their own line at most."""
    asyncio.run(_say_all(replace(LINE, message=message, source=name, file=name, line=number)))


async def _say_all(line: LogLine) -> None:
    mesh = Mesh()
    live = LiveLog(RUN, mesh.take)
    for _ in range(LINES_A_MESSAGE):
        live.said(line)
    live.progressed(Progress(run=RUN, execution=1, done=1, total=1, resource=line.source))
    live.flush()
    assert len(mesh.lines) == LINES_A_MESSAGE


BROKEN = (b"\xff\xfe\x80 broken", b'{"level":"err","message":"\xff"}', b'{"level":"err","message":"\\ud800"}')


@pytest.mark.parametrize("said", BROKEN)
@pytest.mark.looptime
async def test_what_is_no_utf_8_is_told_all_the_same(said: bytes) -> None:
    """A line of Puppet's in other bytes than UTF-8 reaches the mesh, with marks where they were."""
    mesh = Mesh()
    live = LiveLog(RUN, mesh.take)
    live.said(parse_line(said, bundle=PurePath("/b"), at=NOW))
    live.flush()
    assert len(mesh.lines) == 1
    assert mesh.lines[0].message


def test_an_answer_is_told_after_more_attempts_than_a_list_may_hold() -> None:
    """The exit codes of the last executions are told, and a broken reason is mended."""
    wing = Wing()
    order = command(converge())
    wing.receive(order)
    proof = replace(result(converge()), exit_codes=(6,) * MAX_ITEMS + (0,), reason="\ud800" * 9_000)
    wing.tell(WorkEnded(at=NOW, command=order.id, end=Completed(result=proof)))
    (entry,) = wing.machine.state.answered
    assert entry.id == order.id
