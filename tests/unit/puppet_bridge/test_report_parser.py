"""Puppet's report, whole, cut short and hostile."""

import contextlib
import io
import tracemalloc
from collections.abc import Iterator
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puppet_bridge.errors import ReportError
from puppet_bridge.report import RunReport, with_diffs
from puppet_bridge.report_parser import parse

HEAD = """--- !ruby/object:Puppet::Transaction::Report
host: worker-1
time: '2026-11-22T23:25:13.518366049+00:00'
report_format: {form}
puppet_version: 7.23.0
status: changed
transaction_completed: true
noop: false
logs:
- level: info
  message: hello
  tags: [a, b]
"""
METRICS = """metrics:
  resources: {name: resources, label: R, values: [[total, Total, 10], [failed, Failed, 0]]}
  time:
    name: time
    values:
    - - file
      - File
      - 0.25
"""
STATUS = """  File[/etc/motd{n}]:
    title: "/etc/motd"
    file: "/m/site.pp"
    line: 7
    containment_path:
    - Stage[main]
    - Main
    - File[/etc/motd{n}]
    failed: false
    changed: {changed}
    skipped: false
    tags:
    - file
    - class
    events: {events}
"""
CHANGED = """
    - property: content
      previous_value: "{md5}0123456789abcdef0123456789abcdef"
      desired_value: e21kNX0wMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==
      message: content changed
      status: success
    - property: mode
      previous_value:
      desired_value:
      - '0644'
      status: noop
    - property: seluser
      status: audit"""


def read(text: str) -> RunReport:
    return parse(io.BytesIO(text.encode()))


def whole(statuses: str = "resource_statuses: {}\n", form: str = "12") -> str:
    return HEAD.replace("{form}", form) + METRICS + statuses


def status(events: str = "[]", *, changed: str = "false", n: int = 0) -> str:
    return STATUS.replace("{n}", str(n)).replace("{changed}", changed).replace("{events}", events)


def test_reads_changes() -> None:
    """Each change has its resource, values, and place; what was only audited is none."""
    report = read(whole("resource_statuses:\n" + status(CHANGED, changed="true")))
    content, mode = report.changes
    assert (content.resource, content.property) == ("File[/etc/motd0]", "content")
    assert content.before == content.after == "{md5}0123456789abcdef0123456789abcdef"
    assert (mode.before, mode.after) == (None, "0644")
    assert (content.file, content.line, content.path) == (
        "/m/site.pp",
        7,
        "/Stage[main]/Main/File[/etc/motd0]",
    )
    assert (report.total, report.changed, report.noop, report.completed) == (10, 1, False, True)
    assert report.times == {"file": 0.25}


def test_joins_diffs() -> None:
    """A diff goes to the change of its resource and property."""
    report = read(whole("resource_statuses:\n" + status(CHANGED, changed="true")))
    joined = with_diffs(report, {("/Stage[main]/Main/File[/etc/motd0]", "content"): "@@"})
    assert [change.diff for change in joined.changes] == ["@@", None]


def test_reads_failures() -> None:
    """A failed resource is counted and told with its message and place, even if the metrics deny it."""
    events = "\n    - status: failure\n      message: no such user"
    text = whole("resource_statuses:\n" + status(events).replace("failed: false", "failed: true"))
    report = read(text)
    assert report.failed == 1
    assert str(report.failures[0]) == "File[/etc/motd0] (/m/site.pp:7): no such user"


def test_reads_skips_and_restarts() -> None:
    """What was skipped is named, what could not be restarted is counted."""
    text = status().replace("skipped: false", "skipped: true\n    failed_to_restart: true")
    report = read(whole("resource_statuses:\n" + text))
    assert (report.skipped, report.skipped_count) == (("File[/etc/motd0]",), 1)
    assert report.failed_to_restart == 1


def test_containers_do_not_change() -> None:
    """A class that would refresh in a noop is no change of its own."""
    text = status("[{status: noop, property: }]").replace("File[/etc/motd0]:", "Class[Main]:")
    assert read(whole("resource_statuses:\n" + text)).changes == ()


def test_aliases_of_scalars() -> None:
    """Ruby writes a text that it has written before as an alias."""
    text = (
        "resource_statuses:\n  A[b]:\n    file: &1 /m\n    events:\n    - {status: success, property: *1}\n"
    )
    assert read(whole(text)).changes[0].property == "/m"


def test_deep_values_are_json() -> None:
    """A value with structure is told as JSON, a long one is cut."""
    value = "{a: [1, 2], b: {c: d}}"
    text = whole(f"resource_statuses:\n  A[b]: {{events: [{{status: success, desired_value: {value}}}]}}\n")
    assert read(text).changes[0].after == '{"a": ["1", "2"], "b": {"c": "d"}}'
    long = whole(
        f"resource_statuses: {{a: {{events: [{{status: success, desired_value: {'x' * 9000}}}]}}}}\n"
    )
    assert str(read(long).changes[0].after).endswith("… (808 more characters)")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just text",
        "[]",
        "--- {}\n",
        "a: b: c",
        "{\0}",
        whole(form="13"),
        whole().replace("status: changed\n", "", 1),
        whole("resource_statuses: []\n"),
        whole("resource_statuses: {a: b}\n"),
        whole("resource_statuses: {a: {events: b}}\n"),
        whole("resource_statuses: {a: {events: [b]}}\n"),
        whole("resource_statuses: {[a]: {}}\n"),
        whole("resource_statuses: {~: {}}\n"),
        whole("metrics: {time: {values: [[a, b, c]]}}\n"),
        whole("metrics: {time: {values: [a]}}\n"),
        whole("metrics: b\n"),
        whole("x: *nowhere\n"),
        whole("x: &a [*a]\n"),
        whole("x: " + "[" * 5000 + "]" * 5000 + "\n"),
        whole("x: [" + "a," * 200_000 + "]\n"),
        whole() + "--- {}\n",
        "&a " * 3,
    ],
)
def test_refuses(text: str) -> None:
    """What is no whole report is a ReportError that says why, and nothing else."""
    with pytest.raises(ReportError) as caught:
        read(text)
    assert caught.value.reason


def test_tags_make_nothing() -> None:
    """A tag that asks for an object is read as the plain value that it stands at."""
    text = whole("x: !!python/object/apply:os.system ['false']\nresource_statuses: !ruby/object:Kernel {}\n")
    assert read(text).changes == ()


def test_alias_bomb() -> None:
    """Aliases of lists multiply nothing: they are refused."""
    levels = "".join(f"x{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    with pytest.raises(ReportError, match="stands for no earlier scalar"):
        read(whole("x0: &a0 [lol]\n" + levels))


@given(st.integers(min_value=0, max_value=len(whole()) - 1))
def test_cut_short(length: int) -> None:
    """A report that was cut anywhere gives an error or a report, never another exception."""
    with contextlib.suppress(ReportError):
        read((whole("resource_statuses:\n" + status(CHANGED)))[:length])


@given(st.binary(max_size=300))
def test_any_bytes(noise: bytes) -> None:
    """Any bytes give a ReportError."""
    with pytest.raises(ReportError):
        parse(io.BytesIO(noise))


class Generated(io.RawIOBase):
    """A report that is made while it is read, so that only the parser takes memory."""

    def __init__(self, parts: Iterator[str]) -> None:
        self._parts = parts
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (part := next(self._parts, None)) is not None:
            self._rest += part.encode()
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def large(resources: int) -> Iterator[str]:
    yield HEAD.replace("{form}", "12") + METRICS + "resource_statuses:\n"
    for n in range(resources):
        yield status(n=n)


def peak(resources: int) -> int:
    stream: IO[bytes] = Generated(large(resources))  # type: ignore[assignment] # read() is all that is used
    tracemalloc.start()
    try:
        parse(stream)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_bounded() -> None:
    """Ten times the resources take no more memory: only what changed is kept."""
    few = peak(300)
    assert peak(3000) < few + 100_000
