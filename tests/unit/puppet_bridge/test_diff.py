"""Changes that are alike on several instances are the same change."""

from dataclasses import replace

import pytest

from broker.ids import InstanceId
from puppet_bridge.diff import Scope, diff_hash, grouped, normalise
from puppet_bridge.report import Change

ONE = Scope(instance=InstanceId("worker-1"), root="/home/me/dev/worker-1/root")
TWO = Scope(instance=InstanceId("worker-2"), root="/srv/two/")
REAL = Scope(instance=InstanceId("worker-1"), root="/")
DIFF = (
    "--- {root}/etc/motd\t2026-11-22 23:25:10.445201744 +0000\n"
    "+++ /tmp/puppet-file20261122-{number}\t2026-11-22 23:25:13.5 +0000\n"
    "@@ -1 +1 @@\n-old\n+{instance} at {root}/etc\n"
)


def motd(scope: Scope, number: int) -> Change:
    root = scope.root.rstrip("/")
    return Change(
        resource=f"File[{root}/etc/motd]",
        property="content",
        before="{sha256}" + f"{number:064x}",
        after="{md5}" + f"{number:032x}",
        diff=DIFF.format(root=root, instance=scope.instance, number=number),
        file=f"/cache/{number}/site.pp",
        line=number,
    )


def test_alike_on_two_instances() -> None:
    """Root, id, temporary names, checksums, times and the manifest's place make no difference."""
    assert diff_hash([motd(ONE, 1)], ONE) == diff_hash([motd(TWO, 2)], TWO)
    normal = normalise(motd(ONE, 1), ONE)
    assert normal.resource == "File[${root}/etc/motd]"
    assert normal.diff == "@@ -1 +1 @@\n-old\n+${instance} at ${root}/etc\n"


def test_order_makes_no_difference() -> None:
    """The hash is over a set: Puppet's order of unrelated resources may differ."""
    other = replace(motd(ONE, 1), property="mode", before="0644", after="0600", diff=None)
    assert diff_hash([motd(ONE, 1), other], ONE) == diff_hash([other, motd(ONE, 1)], ONE)


@pytest.mark.parametrize(
    "changed",
    [
        replace(motd(ONE, 1), resource="File[/x]"),
        replace(motd(ONE, 1), property="mode"),
        replace(motd(ONE, 1), before="x"),
        replace(motd(ONE, 1), after=None),
        replace(motd(ONE, 1), diff="@@\n-x\n"),
    ],
)
def test_a_difference_shows(changed: Change) -> None:
    """Another resource, property, value or content is another change."""
    assert diff_hash([changed], ONE) != diff_hash([motd(ONE, 1)], ONE)


@pytest.mark.parametrize("text", ["worker-10", "my-worker-1", "worker-1_a", "xworker-1"])
def test_id_is_a_whole_word(text: str) -> None:
    """An id within another word is not the instance's."""
    change = Change(resource=f"Notify[{text}]", property=None, before=None, after=None)
    assert normalise(change, REAL).resource == f"Notify[{text}]"


def test_root_is_a_whole_directory() -> None:
    """A directory whose name begins like the root is another directory."""
    change = Change(resource="File[/srv/two-more/x]", property=None, before="/srv/two", after="/srv/two/x")
    normal = normalise(change, TWO)
    assert (normal.resource, normal.before, normal.after) == (
        "File[/srv/two-more/x]",
        "${root}",
        "${root}/x",
    )


def test_removed_dashes_stay() -> None:
    """Within a hunk a line that begins with dashes is content, and stays."""
    change = replace(motd(ONE, 1), diff="--- a\n+++ b\n@@ -1 +0 @@\n--- old rule\n")
    assert normalise(change, ONE).diff == "@@ -1 +0 @@\n--- old rule\n"


def test_times_are_left_out() -> None:
    """A time of modification is never the same twice."""
    one = Change(resource="File[/x]", property="mtime", before="2026-01-01 10:00:00 UTC", after="x")
    assert normalise(one, REAL).before == normalise(one, REAL).after == ""


def test_groups() -> None:
    """Instances that change alike are one group; the largest comes first."""
    lone = Scope(instance=InstanceId("etcd-1"), root="/")
    groups = grouped({TWO: [motd(TWO, 2)], lone: [], ONE: [motd(ONE, 1)]})
    assert [group.instances for group in groups] == [("worker-1", "worker-2"), ("etcd-1",)]
    assert groups[0].changes == (normalise(motd(ONE, 1), ONE),)
