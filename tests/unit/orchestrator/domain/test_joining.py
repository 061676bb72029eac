"""Whom a token lets in: its host, once, in time, by its own keys."""

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.ids import InstanceId, Role
from orchestrator.domain.joining import (
    Admitted,
    JoinToken,
    Shown,
    TokenState,
    TurnedAway,
    hash_of,
    judge,
    keys_of,
    make_secret,
    parse,
)
from tests.unit.orchestrator.domain.playbook import NOW

SHOWN = Shown(id="0123456789ab", secret=make_secret(bytes(range(32))), authority="f" * 64)
TOKEN = JoinToken(
    id=SHOWN.id,
    instance=InstanceId("worker-9"),
    role=Role("worker"),
    pool="",
    labels={"zone": "a"},
    node=None,
    addresses=("198.18.4.49",),
    secret_hash=hash_of(SHOWN.secret),
    made_by="ann",
    made_at=NOW,
    expires_at=NOW + timedelta(hours=1),
)
OURS = keys_of(b"tls", b"signing")
THEIRS = keys_of(b"tls", b"another")


def test_a_token_is_read_as_it_was_written() -> None:
    """With the line's end that a file or a terminal adds; its secret is in no repr."""
    assert parse(f"{SHOWN.text()}\n") == SHOWN
    assert SHOWN.secret not in repr(SHOWN)
    assert TOKEN.secret_hash not in repr(TOKEN)


@pytest.mark.parametrize(
    "text", ["", "tmk1", "tmk2.a.b.c", SHOWN.text()[:-1], SHOWN.text() + "0", f"x{SHOWN.text()}"]
)
def test_what_is_no_token_is_none(text: str) -> None:
    """Nothing is guessed of what a half-copied one may have been."""
    assert parse(text) is None


def test_the_first_to_show_it_in_time_spends_it() -> None:
    """Up to its last moment; what it spends names the keys that did."""
    verdict = judge(TOKEN, SHOWN, OURS, TOKEN.expires_at, authority=SHOWN.authority)
    assert verdict == Admitted(token=replace(TOKEN, used_at=TOKEN.expires_at, keys=OURS), again=False)
    assert verdict.token.state(NOW) is TokenState.USED


def test_the_same_keys_may_ask_again() -> None:
    """The answer may have been lost; when it was spent stays."""
    used = replace(TOKEN, used_at=NOW, keys=OURS)
    verdict = judge(used, SHOWN, OURS, NOW + timedelta(minutes=5), authority=SHOWN.authority)
    assert verdict == Admitted(token=used, again=True)


def test_a_token_of_another_authority_is_foreign() -> None:
    """Whatever else of it is right; who shows it is told nothing."""
    verdict = judge(TOKEN, replace(SHOWN, authority="0" * 64), OURS, NOW, authority=SHOWN.authority)
    assert verdict == TurnedAway(reason="foreign: a token of another authority", told=False)


@pytest.mark.parametrize(
    ("token", "secret", "keys", "after_s", "reason", "told"),
    [
        (None, SHOWN.secret, OURS, 0, "unknown token", False),
        (TOKEN, make_secret(bytes(32)), OURS, 0, "wrong secret", False),
        (TOKEN, SHOWN.secret, OURS, 3601, "late: it was good until 2026-01-01 01:00:00 UTC", True),
        (
            replace(TOKEN, used_at=NOW, keys=OURS),
            SHOWN.secret,
            THEIRS,
            5,
            "used at 2026-01-01 00:00:00 UTC",
            True,
        ),
        (replace(TOKEN, used_at=NOW, keys=OURS), SHOWN.secret, OURS, 3601, "late", True),
    ],
)
def test_others_are_turned_away(
    token: JoinToken | None, secret: str, keys: str, after_s: int, reason: str, *, told: bool
) -> None:
    """Who has the secret may know why; who guesses is told nothing."""
    at = NOW + timedelta(seconds=after_s)
    verdict = judge(token, replace(SHOWN, secret=secret), keys, at, authority=SHOWN.authority)
    assert isinstance(verdict, TurnedAway)
    assert (verdict.reason.startswith(reason), verdict.told) == (True, told)


def test_a_token_that_nobody_used_expires() -> None:
    """It is open until then."""
    assert TOKEN.state(TOKEN.expires_at) is TokenState.OPEN
    assert TOKEN.state(TOKEN.expires_at + timedelta(seconds=1)) is TokenState.EXPIRED


def test_who_joins_is_enrolled_as_the_token_says() -> None:
    """Its pool is its role unless the token names one."""
    enrolment = TOKEN.enrolment("the key", NOW)
    assert (enrolment.id, enrolment.role, enrolment.pool) == ("worker-9", "worker", "worker")
    assert (enrolment.key, enrolment.joined, enrolment.labels) == ("the key", True, {"zone": "a"})


def test_two_pairs_of_keys_never_look_alike() -> None:
    """Wherever one key ends and the next begins."""
    assert keys_of(b"ab", b"c") != keys_of(b"a", b"bc")
