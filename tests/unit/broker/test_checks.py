"""A message that holds what is not of its form can't be made, on either side."""

from datetime import UTC, datetime

import pytest

from broker import ids
from broker.errors import InvalidIdError
from broker.ids import Boot, Digest, Epoch, MessageId, OrchestratorName, RunId
from broker.messages import (
    CHAIN_START,
    Accepted,
    Attachment,
    Backlog,
    Fact,
    Live,
    Lost,
    Observed,
    Pong,
    Presence,
    Progress,
    Replay,
    RunChunk,
    Standing,
    Started,
    Verdict,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = MessageId("01a205a0-75c6-724d-a0de-719b51947d97")
RUN = RunId("01a205a0-75c6-724d-a0de-719b51947d98")
BOOT = Boot("1-0a1b2c3d")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "A", "x" * 65, "log\n", "-x"])
def test_the_name_of_an_attachment_is_a_plain_file_name(name: str) -> None:
    """Readers keep attachments as files, so a name leads nowhere but to its file."""
    with pytest.raises(ValueError, match="name"):
        RunChunk(run=RUN, name=name, index=0, count=1, content=b"")
    with pytest.raises(ValueError, match="name"):
        Attachment(name=name, digest=Digest(f"sha256:{'0' * 64}"), size=1, chunks=1)


def test_ids_are_checked_wherever_they_stand() -> None:
    """An id of the wrong form is refused with the name of its field."""
    for make, field in (
        (lambda: Accepted(command=MessageId("x")), "command"),
        (lambda: Started(command=ID, run=RunId("../x")), "run"),
        (lambda: Lost(boot=Boot("0-0a1b2c3d"), connection=1), "boot"),
        (lambda: Pong(boot=Boot("1-0A1B2C3D"), received_at=NOW), "boot"),
        (lambda: Observed(digest=Digest("x"), verdict=Verdict.APPLIED, run=RUN, at=NOW), "digest"),
        (lambda: Presence(id=MessageId("x"), at=NOW, body=Lost(boot=BOOT, connection=1)), "id"),
        (
            lambda: Live(id=ID, at=NOW, caused_by=MessageId("x"), body=Pong(boot=BOOT, received_at=NOW)),
            "caused_by",
        ),
    ):
        with pytest.raises(InvalidIdError) as refused:
            make()
        assert refused.value.field == field


def test_numbers_have_their_least_value() -> None:
    """What is counted from 1 is never 0, and nothing is counted below 0."""
    for make, field in (
        (lambda: Fact(id=ID, at=NOW, boot=BOOT, seq=0, prev=CHAIN_START, body=Accepted(command=ID)), "seq"),
        (lambda: Replay(boot=BOOT, first=0), "first"),
        (lambda: Backlog(boot=BOOT, first=1, last=0), "last"),
        (lambda: Progress(run=RUN, execution=1, done=-1, total=1), "done"),
        (lambda: Lost(boot=BOOT, connection=0), "connection"),
        (
            lambda: Standing(boot=BOOT, connection=1, epoch=Epoch(0), head_seq=0, head=b"short"),
            "head",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{field}: "):
            make()


def test_orchestrators_and_instances_never_share_a_name() -> None:
    """An orchestrator's name holds an underscore, and an instance's id can't."""
    assert ids.orchestrator_name("orchestrator_1") == OrchestratorName("orchestrator_1")
    with pytest.raises(InvalidIdError):
        ids.orchestrator_name("orchestrator-1")
    with pytest.raises(InvalidIdError):
        ids.instance_id("orchestrator_1")


def test_a_boots_count_is_the_number_before_the_dash() -> None:
    """The count of a boot is read from its name."""
    assert ids.boot_count(ids.boot("9999999999-0a1b2c3d")) == 9_999_999_999
