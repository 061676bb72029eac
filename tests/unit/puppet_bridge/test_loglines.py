"""What Puppet's structured log says, line by line."""

import json
from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.messages import Level, LogLine
from puppet_bridge import loglines

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BUNDLE = PurePosixPath("/cache/abc")


def line(**fields: object) -> LogLine:
    said = {"level": "notice", "message": "hi", "source": "Puppet", **fields}
    return loglines.parse_line(json.dumps(said).encode(), bundle=BUNDLE, at=NOW)


def test_reads_a_line() -> None:
    """Level, source, message, place and time are taken; paths in the bundle are told relative to it."""
    got = line(
        level="err",
        source="/Stage[main]/Main/File[/x]",
        message="bad (file: /cache/abc/manifests/site.pp, line: 3)",
        file="/cache/abc/manifests/site.pp",
        line=3,
        time="2026-11-22T23:25:13.884008732+01:00",
    )
    assert got == LogLine(
        at=datetime(2026, 11, 22, 22, 25, 13, 884008, tzinfo=UTC),
        level=Level.ERR,
        source="/Stage[main]/Main/File[/x]",
        message="bad (file: manifests/site.pp, line: 3)",
        file="manifests/site.pp",
        line=3,
    )


@given(st.binary(max_size=200))
def test_noise_becomes_a_line(noise: bytes) -> None:
    """What is no line of Puppet's is kept as its own words."""
    assert isinstance(loglines.parse_line(noise, bundle=BUNDLE, at=NOW), LogLine)


def test_unknown_level_and_time() -> None:
    """A level or time that we don't know doesn't lose the line."""
    got = line(level="shout", time="yesterday")
    assert (got.level, got.at, got.message) == (Level.NOTICE, NOW, "hi")


def test_long_message_is_cut() -> None:
    """A message is bounded, and says how much is missing."""
    assert line(message="x" * 70_000).message.endswith("… (4464 more characters)")


def test_progress() -> None:
    """The evaluation trace tells how far Puppet is, and with which resource."""
    got = line(
        level="info",
        source="/Stage[main]/Main/File[/etc/a[1]/b]",
        message="Starting to evaluate the resource (5 of 16)",
    )
    assert loglines.evaluating(got) == loglines.Evaluating(done=5, total=16, resource="File[/etc/a[1]/b]")
    assert loglines.is_trace(got)
    assert loglines.evaluating(line()) is None
    assert not loglines.is_trace(line())
    assert loglines.is_trace(line(level="info", message="Evaluated in 0.02 seconds"))


@pytest.mark.parametrize(
    ("source", "resource"),
    [
        ("Puppet", "Puppet"),
        ("/Stage[main]/Base/Exec[/bin/x y]", "Exec[/bin/x y]"),
        ("Class[Main]", "Class[Main]"),
    ],
)
def test_resource_of(source: str, resource: str) -> None:
    """A slash in a title doesn't end the resource's name."""
    assert loglines.resource_of(source) == resource


def test_facter_is_no_failure() -> None:
    """What Facter could not look at is no failure of Puppet's."""
    assert not loglines.is_error(line(level="err", source="Facter"))
    assert loglines.is_error(line(level="err"))
    assert not loglines.is_error(line(level="warning"))


def test_dependency_skips() -> None:
    """A resource that was skipped for a failed dependency is told as such."""
    skipped = line(level="warning", message="Skipping because of failed dependencies")
    assert loglines.is_dependency_skip(skipped)
    assert not loglines.is_dependency_skip(line(message="Skipping because of failed dependencies"))


def test_diff() -> None:
    """A file's diff is found by the resource's path and property."""
    said = line(source="/Stage[main]/Main/File[/x]/content", message="\n--- a\n+++ b\n@@ -1 +1 @@\n-a\n+b\n")
    assert loglines.diff_of(said) == (
        ("/Stage[main]/Main/File[/x]", "content"),
        "--- a\n+++ b\n@@ -1 +1 @@\n-a\n+b\n",
    )
    assert loglines.diff_of(line(message="\n@@ -1 +1 @@\n")) is None
