"""An etcd member whose machine is made anew, while a client writes."""

import pytest

from tests.lab import account
from tests.lab.fleet import Fleet

pytestmark = pytest.mark.long
NETWORK = "198.18.215"
WITHOUT = ("master", "worker")


def test_a_member_is_made_anew_and_takes_its_place(fleet: Fleet) -> None:
    """Its state is given up by its name; it is added anew by itself, and no acknowledged write is lost."""
    refused = fleet.replaced("--instance", "etcd-2")
    assert (refused.code, "--destroy-stateful etcd-2" in refused.err) == (2, True)
    with fleet.writing("replace") as writer:
        done = fleet.replaced("--instance", "etcd-2", "--destroy-stateful", "etcd-2")
        assert done.code == 0, done.err
    assert max(map(len, writer.away)) == 1
    etcd = fleet.etcd()
    assert {etcd.version(address) for address in etcd.addresses} == {"3.4.23"}
    assert "has lost its data" in fleet.host("etcd-2").run("journalctl", "--unit", "etcd", "--output", "cat")
    account.check(fleet.events())
