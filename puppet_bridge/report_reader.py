"""The resident side of `report_child`: ask for a report, get it whole or a reason."""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Final

import msgspec

from puppet_bridge.children import python_command, python_environment
from puppet_bridge.errors import ReportError
from puppet_bridge.report import RunReport

CHILD: Final = "puppet_bridge.report_child"
DECODER: Final = msgspec.msgpack.Decoder(RunReport)
MAX_WORDS: Final = 500


async def read_report(report: Path, log: Path, bundle: Path) -> RunReport:
    """Return what the report at `report` says, with the diffs in `log`; raises ReportError."""
    child = await asyncio.create_subprocess_exec(
        *python_command(CHILD, str(report), str(log), str(bundle)),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=python_environment(),
    )
    try:
        answer, words = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        said = words.decode(errors="replace").strip()[-MAX_WORDS:]
        raise ReportError(reason=said or f"its reader ended with {child.returncode}")
    return DECODER.decode(answer)
