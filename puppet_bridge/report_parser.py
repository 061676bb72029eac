"""Puppet's report, read without believing a byte of it.

A report is YAML that Puppet writes, or that something on the host wrote in its place or cut short. So it is
read as a stream of the parser's events: no tag makes an object, no alias multiplies, and what is not
needed is passed over without being kept. Memory follows what changed, not what was managed.

Read is report format 12 (Puppet 7 and 8, OpenVox) and what differs little from it (10 and 11).
A file's diff is in Puppet's log only; `report.with_diffs` joins it.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Final

from puppet_bridge.errors import ReportError
from puppet_bridge.report import Change, Failure, RunReport
from puppet_bridge.yaml_stream import Node, YamlStream

FORMATS: Final = frozenset({"10", "11", "12"})
MAX_TEXT: Final = 8 * 1024
MAX_KEPT: Final = 20_000
MAX_SKIPPED: Final = 1_000
CHECKSUM: Final = re.compile(r"\{[a-z0-9]+\}[0-9a-f]{32,128}")
LINE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
CONTAINERS: Final = ("Class[", "Stage[")


def parse(stream: IO[bytes]) -> RunReport:
    """Return what the report in `stream` says; raises ReportError for anything that is no whole report."""
    draft = _Draft()
    for key, yaml in YamlStream(stream).top_level():
        match key:
            case "resource_statuses":
                for resource, status in yaml.entries():
                    draft.add(resource, _mapping(status, resource))
            case "metrics":
                draft.metrics = _mapping(yaml.node(), key)
            case "logs":
                yaml.skip()
            case _:
                draft.head[key] = yaml.node()
    return draft.finish()


class _Draft:
    """A report while it is read."""

    def __init__(self) -> None:
        self.head: dict[str, Node] = {}
        self.metrics: Mapping[str, Node] = {}
        self.changes: list[Change] = []
        self.failures: list[Failure] = []
        self.skipped: list[str] = []
        self.failed = self.changed = self.restarts = self.skips = self.left_out = 0
        self.corrective = False
        self.statuses_seen = False

    def add(self, resource: str, status: Mapping[str, Node]) -> None:
        """Take what is worth keeping from the status of one resource."""
        self.failed += status.get("failed") == "true"
        self.restarts += status.get("failed_to_restart") == "true"
        self.changed += status.get("changed") == "true"
        self.corrective |= status.get("corrective_change") == "true"
        if status.get("skipped") == "true":
            self.skips += 1
            if len(self.skipped) < MAX_SKIPPED:
                self.skipped.append(resource)
        for event in _events(status, resource):
            self._add_event(resource, status, event)

    def _add_event(self, resource: str, status: Mapping[str, Node], event: Mapping[str, Node]) -> None:
        file, line = _text(status.get("file")), _whole(status.get("line"))
        match event.get("status"):
            case "failure" if len(self.failures) < MAX_KEPT:
                message = _cut(_text(event.get("message")) or "failed without a word")
                self.failures.append(Failure(resource=resource, message=message, file=file, line=line))
            case "success" | "noop" if not resource.startswith(CONTAINERS):
                if len(self.changes) >= MAX_KEPT:
                    self.left_out += 1
                    return
                self.changes.append(_change(resource, status, event))
            case _:
                return

    def finish(self) -> RunReport:
        """Return the report, or raise ReportError for what a whole one would have."""
        form = _text(self.head.get("report_format"))
        if form not in FORMATS:
            raise ReportError(reason=f"report_format is {form!r}, not one of {', '.join(sorted(FORMATS))}")
        for key in ("status", "noop"):
            if _text(self.head.get(key)) is None:
                raise ReportError(reason=f"{key} is missing: it was cut short")
        counts = dict(_metric(self.metrics, "resources"))
        return RunReport(
            status=_text(self.head["status"]) or "",
            noop=self.head["noop"] == "true",
            completed=self.head.get("transaction_completed") == "true",
            version=_text(self.head.get("puppet_version")) or "",
            total=int(counts.get("total", 0)),
            changed=max(self.changed, int(counts.get("changed", 0))),
            failed=max(self.failed, int(counts.get("failed", 0))),
            failed_to_restart=max(self.restarts, int(counts.get("failed_to_restart", 0))),
            skipped_count=max(self.skips, int(counts.get("skipped", 0))),
            corrective=self.corrective,
            changes=tuple(self.changes),
            failures=tuple(self.failures),
            skipped=tuple(self.skipped),
            times=dict(_metric(self.metrics, "time")),
            left_out=self.left_out,
        )


def _events(status: Mapping[str, Node], resource: str) -> Iterator[Mapping[str, Node]]:
    events = status.get("events") or []
    if not isinstance(events, list):
        raise ReportError(reason=f"{resource}: events are no list")
    for event in events:
        yield _mapping(event, resource)


def _change(resource: str, status: Mapping[str, Node], event: Mapping[str, Node]) -> Change:
    containment = status.get("containment_path")
    path = "/" + "/".join(str(part) for part in containment) if isinstance(containment, list) else ""
    return Change(
        resource=resource,
        property=_text(event.get("property")),
        before=_value(event.get("previous_value")),
        after=_value(event.get("desired_value")),
        file=_text(status.get("file")),
        line=_whole(status.get("line")),
        path=path,
    )


def _metric(metrics: Mapping[str, Node], name: str) -> Iterator[tuple[str, float]]:
    """Yield the values of a metric: Puppet writes each as `[name, label, number]`."""
    metric = metrics.get(name)
    rows = metric.get("values") if isinstance(metric, dict) else None
    for row in rows if isinstance(rows, list) else ():
        match row:
            case [str(key), _, str(number)]:
                try:
                    yield key, float(number)
                except ValueError as error:
                    raise ReportError(reason=f"metric {key} is {number[:40]!r}, no number") from error
            case _:
                raise ReportError(reason=f"a value of metric {name} is not of its form")


def _value(node: Node) -> str | None:
    """Return a property's value as one text: a list of one as its item, anything deeper as JSON."""
    match node:
        case None:
            return None
        case str(text):
            return _cut(_unwrapped(text))
        case [only]:
            return _value(only)
        case _:
            return _cut(json.dumps(node, ensure_ascii=False, sort_keys=True))


def _unwrapped(text: str) -> str:
    """Return a checksum that Puppet has written in base64 (it does so for binary text) as itself."""
    try:
        plain = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return text
    return plain if CHECKSUM.fullmatch(plain) else text


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text) - MAX_TEXT} more characters)"


def _text(node: Node) -> str | None:
    return node if isinstance(node, str) else None


def _whole(node: Node) -> int | None:
    return int(node) if isinstance(node, str) and LINE.fullmatch(node) else None


def _mapping(node: Node, where: str) -> Mapping[str, Node]:
    if not isinstance(node, dict):
        raise ReportError(reason=f"{where[:200]} is no mapping")
    return node
