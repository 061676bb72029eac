"""Reads a report in a process of its own, so that a resident wing never holds a large one.

    python -m puppet_bridge.report_child REPORT LOG BUNDLE

prints the RunReport as MessagePack, with the diffs of the log joined and the bundle's own files told
relative to BUNDLE. Its memory and processor time are bounded: a hostile report ends the child, not the
wing. Exit 1 says on stderr why there is no report.
"""

import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from puppet_bridge import loglines, report_parser
from puppet_bridge.errors import ReportError
from puppet_bridge.report import RunReport, with_diffs

MAX_REPORT: Final = 256 * 1024 * 1024
MAX_MEMORY: Final = 1024 * 1024 * 1024
MAX_CPU_S: Final = 120
MAX_DIFFS: Final = 64 * 1024 * 1024
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def main() -> int:
    """Read, print, and return the exit code."""
    report, log, bundle = map(Path, sys.argv[1:4])
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    try:
        parsed = read(report, log, bundle)
    except ReportError as error:
        sys.stderr.write(f"{error.reason}\n")
        return 1
    except MemoryError:
        sys.stderr.write(f"it needs more than {MAX_MEMORY} bytes of memory\n")
        return 1
    sys.stdout.buffer.write(msgspec.msgpack.encode(parsed))
    return 0


def read(report: Path, log: Path, bundle: Path) -> RunReport:
    """Return the report at `report` with the diffs of `log`; raises ReportError."""
    try:
        with report.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size > MAX_REPORT:
                raise ReportError(reason=f"it has more than {MAX_REPORT} bytes")
            parsed = report_parser.parse(stream)
    except OSError as error:
        raise ReportError(reason=f"{report.name}: {error.strerror}") from error
    return _relative(with_diffs(parsed, dict(_diffs(log, bundle))), bundle)


def _diffs(log: Path, bundle: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the diffs in the log, until they have more than 64 MiB together."""
    room = MAX_DIFFS
    try:
        with log.open("rb") as lines:
            for line in lines:
                found = loglines.diff_of(loglines.parse_line(line, bundle=bundle, at=EPOCH))
                if found is not None and room > 0:
                    room -= len(found[1])
                    yield found
    except FileNotFoundError:
        return


def _relative(report: RunReport, bundle: Path) -> RunReport:
    prefix = f"{bundle}/"
    changes = (replace(item, file=item.file and item.file.removeprefix(prefix)) for item in report.changes)
    failures = (
        replace(
            item, file=item.file and item.file.removeprefix(prefix), message=item.message.replace(prefix, "")
        )
        for item in report.failures
    )
    return replace(report, changes=tuple(changes), failures=tuple(failures))


if __name__ == "__main__":
    raise SystemExit(main())
