"""What a wing believes of what the mesh hands it."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from broker.client import Received
from broker.codec import encode
from broker.ids import Boot, Epoch
from broker.messages import CHAIN_START, Command, Heartbeat, Offline, Ping, Presence, PresenceBody, Standing
from broker.signing import Keyring, SigningKey
from broker.topics import Topics
from tests.unit.wing.wings import BOOT, NOW, OTHER_BOOT, WORKER, command, new_id
from wing.events import CommandReceived, Drop, ForeignBirthSeen, ForeignStopSeen, GarbageReceived
from wing.inbox import Ear

LEADER = SigningKey.generate()
OWN = SigningKey.generate()
STRANGER = SigningKey.generate()
TOPICS = Topics(WORKER.cluster)
PRESENCE = TOPICS.presence(WORKER.role, WORKER.instance)
COMMAND = TOPICS.command(WORKER.role, WORKER.instance)


@pytest.fixture
def ear() -> Ear:
    return Ear(
        orchestrators=Keyring({"orchestrator_1": LEADER.public}),
        own=OWN.public,
        presence_topic=PRESENCE,
        boot=BOOT,
        since=NOW,
    )


def presence(boot: Boot, *, said: datetime, retained: bool = True, key: SigningKey = OWN) -> Received:
    standing = Standing(boot=boot, connection=1, epoch=Epoch(0), head_seq=0, head=CHAIN_START)
    return written(Heartbeat(standing=standing), said=said, retained=retained, key=key)


def written(body: PresenceBody, *, said: datetime, retained: bool, key: SigningKey) -> Received:
    payload = encode(Presence(id=new_id(), at=said, body=body))
    signature = key.sign(payload)
    return Received(topic=PRESENCE, payload=payload, signature=signature, retained=retained, at=NOW)


def told(received: Received, key: SigningKey | None = LEADER, **changes: object) -> Received:
    signature = None if key is None else key.sign(received.payload)
    return replace(received, signature=signature, **changes)  # type: ignore[arg-type] # a test's shorthand


def an_order() -> tuple[Command, Received]:
    order = command(Ping())
    return order, Received(topic=COMMAND, payload=encode(order), signature=None, retained=False, at=NOW)


@pytest.mark.parametrize("retained", [True, False])
def test_another_host_shows_itself_in_our_presence(ear: Ear, retained: bool) -> None:  # noqa: FBT001
    """A birth said after our start by a boot that is not ours is another host's, retained or live."""
    heard = ear.heard(presence(Boot("9-deadbeef"), said=NOW + timedelta(seconds=1), retained=retained))
    assert heard == ForeignBirthSeen(at=NOW, boot=Boot("9-deadbeef"))


def test_what_we_and_our_past_have_said_shows_nobody(ear: Ear) -> None:
    """Our own echo, and what the broker kept of an earlier boot, are no second host."""
    assert ear.heard(presence(OTHER_BOOT, said=NOW - timedelta(hours=1))) is None
    assert ear.heard(presence(BOOT, said=NOW + timedelta(seconds=1), retained=False)) is None


def test_a_clone_is_noticed_though_its_original_was_our_past(ear: Ear) -> None:
    """A host copied with its journal knows the original's boot; it still lives if it speaks after us."""
    assert ear.heard(presence(BOOT, said=NOW + timedelta(seconds=1))) is None
    heard = ear.heard(presence(OTHER_BOOT, said=NOW + timedelta(seconds=2)))
    assert isinstance(heard, ForeignBirthSeen)


def test_a_forged_presence_stops_nobody(ear: Ear) -> None:
    """Only our own key speaks in our name, so a hostile broker can't make up a second host."""
    heard = ear.heard(presence(Boot("9-deadbeef"), said=NOW + timedelta(seconds=1), key=STRANGER))
    assert isinstance(heard, GarbageReceived)
    assert heard.why is Drop.FOREIGN_PRESENCE


def test_that_another_host_was_stopped_is_told(ear: Ear) -> None:
    """Another boot's `offline` ends a conflict, if our own key says so; our own is an echo."""
    rival, later = Boot("9-deadbeef"), NOW + timedelta(seconds=1)
    for boot, key in ((rival, OWN), (BOOT, OWN), (rival, STRANGER)):
        offline = written(Offline(boot=boot, connection=1), said=later, retained=True, key=key)
        heard = ear.heard(offline)
        if key is STRANGER:
            assert isinstance(heard, GarbageReceived)
        else:
            assert heard == (None if boot == BOOT else ForeignStopSeen(at=NOW, boot=boot))


def test_a_command_counts_only_signed_by_an_orchestrator(ear: Ear) -> None:
    """Signed by whom we were enrolled with it is a command; unsigned or by a stranger it is refused by id."""
    order, received = an_order()
    assert ear.heard(told(received)) == CommandReceived(at=NOW, command=order)
    for key in (None, STRANGER):
        heard = ear.heard(told(received, key))
        assert isinstance(heard, GarbageReceived)
        assert (heard.why, heard.id) == (Drop.UNSIGNED, order.id)


def test_a_retained_command_is_none(ear: Ear) -> None:
    """A command is never retained: someone has planted it."""
    _, received = an_order()
    heard = ear.heard(told(received, retained=True))
    assert isinstance(heard, GarbageReceived)
    assert heard.why is Drop.RETAINED


@pytest.mark.parametrize(
    ("payload", "why"),
    [(b"\xc1", Drop.MALFORMED), (b"", Drop.MALFORMED)],
)
def test_signed_rubbish_is_counted(ear: Ear, payload: bytes, why: Drop) -> None:
    """What is no message is dropped by its reason, on either topic."""
    received = Received(topic=COMMAND, payload=payload, signature=None, retained=False, at=NOW)
    heard = ear.heard(told(received))
    assert isinstance(heard, GarbageReceived)
    assert heard.why is why
    heard = ear.heard(told(replace(received, topic=PRESENCE), OWN))
    assert isinstance(heard, GarbageReceived)
    assert heard.why is why


def test_what_is_not_of_its_topic_is_dropped(ear: Ear) -> None:
    """Presence where commands come, and a command where presence stands, mean nothing."""
    ours = presence(BOOT, said=NOW)
    heard = ear.heard(told(replace(ours, topic=COMMAND, retained=False)))
    assert isinstance(heard, GarbageReceived)
    assert heard.why is Drop.NOT_A_COMMAND
    _, received = an_order()
    assert isinstance(ear.heard(told(replace(received, topic=PRESENCE), OWN)), GarbageReceived)
