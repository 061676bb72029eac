"""`tarmak enrol` as scripts see it."""

import json

from broker.ids import InstanceId, Role
from orchestrator.domain.join_views import EnrolmentView
from tests.unit.orchestrator.cli.program import Tarmak
from tests.unit.orchestrator.faces import NOW, Memory


def test_a_token_is_all_that_is_printed(tarmak: Tarmak, memory: Memory) -> None:
    """So that a script can hand it on; whom it is for and until when stands beside it."""
    words = (
        "--instance",
        "worker-9",
        "--role",
        "worker",
        "--label",
        "zone=a",
        "--address",
        "10.0.0.9",
        "--ttl",
        "90s",
    )
    said = tarmak("enrol", "token", *words)
    assert (said.code, said.out) == (0, "tmk1.the-token\n")
    assert (
        "worker-9 may join as worker until 2026-01-02 03:05:35 UTC, once, at https://bastion:8445" in said.err
    )
    (asked,) = memory.enrolments.asked
    assert (asked.labels, asked.addresses, asked.life_s) == ({"zone": "a"}, ("10.0.0.9",), 90)


def test_what_was_made_and_revoked_is_told_to_scripts(tarmak: Tarmak) -> None:
    """With all fields, in the form that they ask for."""
    made = tarmak("enrol", "token", "--instance", "worker-9", "--role", "worker", "-o", "json")
    assert json.loads(made.out)["token"] == "tmk1.the-token"
    taken = tarmak("enrol", "revoke", "worker-1", "--yes", "-o", "json")
    assert json.loads(taken.out)["instance"] == "worker-1"


def test_tokens_and_members_are_listed(tarmak: Tarmak, memory: Memory) -> None:
    """A member by what it belongs to the fleet; a token without its secret."""
    who = EnrolmentView(
        instance=InstanceId("worker-1"), role=Role("worker"), pool="large", joined=False, enrolled_at=NOW
    )
    memory.enrolments.who = [who]
    assert tarmak("enrol", "list").out.splitlines()[1].split()[:4] == [
        "worker-1",
        "worker",
        "large",
        "roster",
    ]
    assert "no tokens" in tarmak("enrol", "list", "--tokens").err
    tarmak("enrol", "token", "--instance", "worker-9", "--role", "worker")
    listed = tarmak("enrol", "list", "--tokens").out
    assert listed.splitlines()[1].split()[:4] == ["0123456789ab", "worker-9", "worker", "open"]
    assert "tmk1" not in listed


def test_nobody_is_revoked_unasked(tarmak: Tarmak, memory: Memory) -> None:
    """Without a terminal it has to be said."""
    assert tarmak("enrol", "revoke", "worker-1").code == 2
    assert memory.enrolments.revoked == []
    said = tarmak("enrol", "revoke", "worker-1", "--yes")
    assert (said.code, said.err) == (0, "worker-1 is off the fleet; open tokens withdrawn: 0\n")
    assert [name for name, _ in memory.enrolments.revoked] == ["worker-1"]
