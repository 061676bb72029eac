"""What one execution of Puppet did, as values that are light enough for a resident process.

They are made by `report_parser` from Puppet's own report, in a child (`report_child`), and travel to the
coordinator as the attachment `report` of a run (`account`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One property that was changed, or in a noop would be.

    `file` and `line` are where the manifest declares the resource. `path` is the resource's place in the
    catalog, as Puppet's log names it. Values longer than 8 KiB are cut.
    """

    resource: str
    property: str | None
    before: str | None
    after: str | None
    diff: str | None = None
    file: str | None = None
    line: int | None = None
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One resource that Puppet could not make so, and what it said."""

    resource: str
    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        """Return the failure as `File[/x] (profile/manifests/base.pp:3): why`."""
        place = "" if self.file is None else f" ({self.file}:{self.line})"
        return f"{self.resource}{place}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Puppet's account of one execution; counts are in resources, `times` in seconds.

    `skipped` names what was not looked at (for a failed dependency, a schedule or a tag), at most 1,000.
    `changes` and `failures` hold at most 20,000 each; `left_out` counts the changes that it does not hold.
    """

    status: str
    noop: bool
    completed: bool
    version: str
    total: int
    changed: int
    failed: int
    failed_to_restart: int
    skipped_count: int
    corrective: bool
    changes: tuple[Change, ...] = ()
    failures: tuple[Failure, ...] = ()
    skipped: tuple[str, ...] = ()
    times: Mapping[str, float]
    left_out: int = 0


def with_diffs(report: RunReport, diffs: Mapping[tuple[str, str], str]) -> RunReport:
    """Return `report` with each change's diff, looked up by the resource's path and the property."""
    joined = tuple(
        replace(change, diff=diffs.get((change.path, change.property or ""))) for change in report.changes
    )
    return replace(report, changes=joined)
