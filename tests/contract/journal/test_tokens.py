"""What every journal keeps of tokens: until they are withdrawn, or long over."""

from dataclasses import replace
from datetime import timedelta

from broker.ids import InstanceId, Role
from orchestrator.domain.joining import JoinToken
from tests.contract.journal.places import Place, committed
from tests.unit.orchestrator.domain.playbook import NOW

TOKEN = JoinToken(
    id="0123456789ab",
    instance=InstanceId("worker-9"),
    role=Role("worker"),
    pool="large",
    labels={"zone": "a"},
    node="node-9",
    addresses=("worker-9", "198.18.4.49"),
    secret_hash="0" * 64,
    made_by="ann",
    made_at=NOW,
    expires_at=NOW + timedelta(hours=1),
)


async def test_a_token_is_kept_as_it_was_last_written(place: Place) -> None:
    """All of it; that it is used as well."""
    again = await committed(place, tokens={TOKEN.id: TOKEN})
    assert list((await again.journal.load()).tokens) == [TOKEN]
    used = replace(TOKEN, used_at=NOW + timedelta(minutes=1), keys="f" * 64)
    again = await committed(again, tokens={TOKEN.id: used})
    assert list((await again.journal.load()).tokens) == [used]


async def test_a_withdrawn_token_is_gone(place: Place) -> None:
    """And the others stay."""
    other = replace(TOKEN, id="ba9876543210")
    again = await committed(place, tokens={TOKEN.id: TOKEN, other.id: other})
    again = await committed(again, withdrawn={TOKEN.id})
    assert list((await again.journal.load()).tokens) == [other]


async def test_a_token_that_is_long_over_is_forgotten(place: Place) -> None:
    """By the time at which it stopped being good."""
    again = await committed(place, tokens={TOKEN.id: TOKEN})
    await again.journal.forget(TOKEN.expires_at)
    assert list((await again.journal.load()).tokens) == [TOKEN]
    await again.journal.forget(TOKEN.expires_at + timedelta(seconds=1))
    assert list((await again.journal.load()).tokens) == []
